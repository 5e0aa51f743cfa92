"""The scheme that modules become steps of: of the library, a file, a text, or a program."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odenet.compiler import Program, load, loads
from odenet.derive import inverse_lines
from odenet.diagnostics import Report, Source
from odenet.language import canonical, tree
from odenet.language.reading import read
from odenet.language.specs import parse_spec
from odenet.model.elaboration.library import library, library_scheme
from odenet.model.elaboration.scope import SpecScope
from odenet.model.reading.scheme_table import SchemeTable
from odenet.model.typed.scheme import Scheme
from odenet.model.typed.step_constants import Counted

GivenScheme = str | os.PathLike[str] | Program


@dataclass(frozen=True)
class ChosenScheme:
    """A scheme, and what is known of it where it was found.

    Attributes:
        scheme: the rule of one step.
        block: its text, where the library does not have it.
        constants: that a program uses it with, and its h or T.
    """

    scheme: Scheme
    block: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict)

    def with_constants(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The constants to write, by canonical name; h is 1 where nothing says it.

        Raises:
            ValueError: if the scheme has no such constant, one is given twice, or one is missing.
        """
        scheme, steps = self.scheme, ("h", "T") if self.scheme.uses_step_size else ()
        free = {n: default for n, default in scheme.constants if n not in scheme.implied}
        known = [*free, *steps]
        found: dict[str, Any] = {}
        for spelling, value in given.items():
            name = canonical(spelling)
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise ValueError(f"{scheme.name} has no constant {spelling}: {takes}")
            if name in found:
                raise ValueError(f"the constant {name} of {scheme.name} is given twice")
            found[name] = value
        replaced = {"h", "T"} if {"h", "T"} & found.keys() else set()
        found = {k: v for k, v in self.constants.items() if k not in replaced} | found
        missing = [n for n, default in free.items() if default is None and n not in found]
        if missing:
            needs = " and ".join(missing)
            raise ValueError(f"{scheme.name} needs a value for {needs}: say {missing[0]}=…")
        one = {"h": 1.0} if steps and not {"h", "T"} & found.keys() else {}
        return {**found, **one}


def choose(given: GivenScheme) -> ChosenScheme:
    """The scheme that is meant.

    Args:
        given: a name of the library, or what makes a scheme of these, `coupled(heun)`; a file that
            ends in `.ode`, or a text, with one scheme or with a `discretise` line; or a program,
            whose scheme and constants are taken.

    Raises:
        ValueError: if there is no such scheme, or more than one.
        SpecError: if the text has an error.
    """
    if isinstance(given, Program):
        return _of_program(given)
    if isinstance(given, os.PathLike) or given.endswith(".ode"):
        path = Path(given)
        return _of_source(read(path), lambda: load(path))
    if "{" in given or "\n" in given:
        return _of_source(Source("scheme.ode", given), lambda: loads(given, name="scheme.ode"))
    if "(" in given:
        return _of_source(Source("scheme.ode", f"scheme made = {given}\n"), lambda: loads(given))
    if given not in library():
        raise ValueError(
            f"there is no scheme {given!r}; known: {', '.join(library())}; "
            "or give a file that ends in .ode, the text of a scheme, or a program"
        )
    return ChosenScheme(library_scheme(given))


def _of_program(program: Program) -> ChosenScheme:
    chosen = program.model.discretisation
    steps = {"h": chosen.h, "T": chosen.horizon}
    constants = {n: v for n, v in chosen.constants.items() if n not in chosen.scheme.decays}
    constants |= {name: value for name, value in steps.items() if value is not None}
    own = {n: c for n, c in chosen.varying.items() if not isinstance(c, Counted)}  # in its text
    constants = {**constants, **own}
    if chosen.scheme.name in library():
        return ChosenScheme(chosen.scheme, constants=constants)
    scheme = _by_its_own_name(chosen.scheme)
    return ChosenScheme(scheme, scheme.text, constants)


def _by_its_own_name(scheme: Scheme) -> Scheme:
    """A scheme by the name in its text; one that is made where it is used gets a name of its own.

    `coupled(heun)` is written as a scheme `coupled_heun`, which may be another one in the library.
    """
    (name,) = re.findall(r"^\s*scheme\s+(\w+)", scheme.text)
    if canonical(name) == scheme.name:
        return scheme
    text = re.sub(r"^(\s*scheme\s+)\w+", rf"\1made_{name}", scheme.text)
    return replace(scheme, name=canonical(f"made_{name}"), text=text)


def _of_source(source: Source, program) -> ChosenScheme:
    report = Report()
    file = parse_spec(source, report)
    report.check()
    if file.of(tree.Discretise):
        return _of_program(program())
    own = SchemeTable([file], SpecScope(report), inverse_lines, report).own()
    report.check()
    if len(own) != 1:
        names = ", ".join(scheme.spellings.get(name, name) for name, scheme in own.items())
        what = f"the schemes {names}" if own else "no scheme"
        cure = "give the text of it, or a file with a `discretise` line"
        raise ValueError(f"{source.name} has {what}, and one is wanted: {cure}")
    (scheme,) = own.values()
    return ChosenScheme(scheme, scheme.text)
