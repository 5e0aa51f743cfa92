"""The scheme of a conversion: from the library, a file, a text or a compiled program."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odenet.compiler import Program, load, loads
from odenet.derive import inverse_lines
from odenet.diagnostics import Report, Source
from odenet.language import canonical, tree
from odenet.language.source_files import read
from odenet.language.specs import parse_spec
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.reading.scheme_table import SchemeTable
from odenet.model.typed.scheme import Scheme
from odenet.model.typed.step_constants import StepNumber

SchemeLike = str | os.PathLike[str] | Program


@dataclass(frozen=True)
class ChosenScheme:
    """A scheme, and the constants of the program that it was taken from, if there was one.

    Attributes:
        scheme: the rule of one step.
        text: the text of the scheme; empty for a scheme of the library.
        constants: the constants of its program, h or T included; empty without a program.
    """

    scheme: Scheme
    text: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict)

    def merge_constants(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The constants of a conversion by name: the given ones, and others from the program.

        The step size h is 1 if neither has h or T.

        Args:
            given: constants by name, in any spelling; they override those of the program.

        Raises:
            ValueError: if the scheme has no such constant, one is given twice, or one is missing.
        """
        scheme, step_sizes = self.scheme, ("h", "T") if self.scheme.uses_step_size else ()
        defaults = {n: value for n, value in scheme.constants if n not in scheme.implied_constants}
        accepted = [*defaults, *step_sizes]
        merged: dict[str, Any] = {}
        for spelling, value in given.items():
            name = canonical(spelling)
            if name not in accepted:
                takes = f"it takes {', '.join(accepted)}" if accepted else "it takes none"
                raise ValueError(f"{scheme.name} has no constant {spelling}: {takes}")
            if name in merged:
                raise ValueError(f"the constant {name} of {scheme.name} is given twice")
            merged[name] = value
        overridden = {"h", "T"} if {"h", "T"} & merged.keys() else set()
        merged = {k: v for k, v in self.constants.items() if k not in overridden} | merged
        missing = [n for n, default in defaults.items() if default is None and n not in merged]
        if missing:
            needs = " and ".join(missing)
            raise ValueError(f"{scheme.name} needs a value for {needs}: say {missing[0]}=…")
        default_step_size = {"h": 1.0} if step_sizes and not {"h", "T"} & merged.keys() else {}
        return {**merged, **default_step_size}


def choose_scheme(scheme: SchemeLike) -> ChosenScheme:
    """Look up, read or build a scheme.

    Args:
        scheme: a name of the library, or a combination such as `coupled(heun)`; a file that ends
            in `.ode`, or a text, with one scheme or with a `discretise` line; or a program, whose
            scheme and constants are taken.

    Raises:
        ValueError: if there is no such scheme, or more than one.
        SpecError: if the text has an error.
    """
    if isinstance(scheme, Program):
        return _from_program(scheme)
    if isinstance(scheme, os.PathLike) or scheme.endswith(".ode"):
        path = Path(scheme)
        return _from_source(read(path), lambda: load(path))
    if "{" in scheme or "\n" in scheme:
        return _from_source(Source("scheme.ode", scheme), lambda: loads(scheme, name="scheme.ode"))
    if "(" in scheme:
        text = f"scheme made = {scheme}\n"  # which names the scheme `made`
        return _from_source(Source("scheme.ode", text), lambda: loads(text, name="scheme.ode"))
    if scheme not in library_names():
        raise ValueError(
            f"there is no scheme {scheme!r}; known: {', '.join(library_names())}; "
            "or give a file that ends in .ode, the text of a scheme, or a program"
        )
    return ChosenScheme(library_scheme(scheme))


def _from_program(program: Program) -> ChosenScheme:
    """The scheme of a program, and the constants, h or T that its `discretise` line gives it."""
    discretisation, scheme = program.model.discretisation, program.model.scheme
    step_sizes = {"h": discretisation.h, "T": discretisation.final_time}
    constants = {n: v for n, v in discretisation.constants.items() if n not in scheme.decays}
    constants |= {name: value for name, value in step_sizes.items() if value is not None}
    # the step number is part of the scheme's text
    constants |= {n: c for n, c in discretisation.varying.items() if not isinstance(c, StepNumber)}
    if scheme.name in library_names():
        return ChosenScheme(scheme, constants=constants)
    scheme = _named_as_in_text(scheme)
    return ChosenScheme(scheme, scheme.text, constants)


def _named_as_in_text(scheme: Scheme) -> Scheme:
    """The scheme, if its text defines it by its name; else both under the text's name and `made_`.

    The scheme `coupled(heun)` has a text that defines `coupled_heun`. Scheme and text are renamed
    to `made_coupled_heun`, since the library may have a scheme `coupled_heun`.
    """
    (name,) = re.findall(r"^\s*scheme\s+(\w+)", scheme.text)
    if canonical(name) == scheme.name:
        return scheme
    text = re.sub(r"^(\s*scheme\s+)\w+", rf"\1made_{name}", scheme.text)
    return replace(scheme, name=canonical(f"made_{name}"), text=text)


def _from_source(source: Source, compile_program: Callable[[], Program]) -> ChosenScheme:
    """The scheme of a `discretise` line, for which the program is compiled, or else the only one.

    Raises:
        ValueError: if there is no such line, and not exactly one scheme.
    """
    report = Report()
    file = parse_spec(source, report)
    report.raise_if_errors()
    if file.statements_of(tree.Discretise):
        return _from_program(compile_program())
    schemes = SchemeTable([file], SpecScope(report), inverse_lines).defined_schemes()
    report.raise_if_errors()
    if len(schemes) != 1:
        names = ", ".join(scheme.spellings.get(name, name) for name, scheme in schemes.items())
        contents = f"the schemes {names}" if schemes else "no scheme"
        advice = "give the text of it, or a file with a `discretise` line"
        raise ValueError(f"{source.name} has {contents}, and one is wanted: {advice}")
    (scheme,) = schemes.values()
    return ChosenScheme(scheme, scheme.text)
