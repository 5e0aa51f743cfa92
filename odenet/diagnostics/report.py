"""Collects diagnostics, to raise them together as one SpecError, and "did you mean" hints."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import NoReturn

from odenet.counted import counted
from odenet.diagnostics.code_frame import render
from odenet.diagnostics.codes import Code
from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.source import Span

MAX_SHOWN = 20  # diagnostics in the text of an error
MAX_ERRORS = 100  # errors in a report, after which it raises them
MAX_COMPARED = 1000  # names that a misspelled one is compared with


class SpecError(Exception):
    """A specification that cannot be compiled.

    Attributes:
        diagnostics: all errors in it, in the order of the text.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    @staticmethod
    def of(
        code: Code,
        message: str,
        span: Span | None = None,
        help: str = "",
        file: str = "",
        *,
        label: str = "",
    ) -> "SpecError":
        """The error with a single diagnostic; the arguments are those of `Diagnostic`."""
        return SpecError([Diagnostic(code, message, span, help, file=file, label=label)])

    def __str__(self) -> str:
        frames = [render(diagnostic) for diagnostic in self.diagnostics[:MAX_SHOWN]]
        hidden_count = len(self.diagnostics) - len(frames)
        rest = [f"and {counted(hidden_count, 'more error')}"] if hidden_count else []
        return "\n\n".join([*frames, *rest])


class Rejected(Exception):
    """Raised after an error was added to a report, to skip the part of the file that has it."""


class Report:
    """Collects diagnostics so that one run reports all of a file's errors.

    Attributes:
        error_count: the number of errors so far.
    """

    def __init__(self) -> None:
        self._diagnostics: list[Diagnostic] = []
        self.error_count = 0

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All diagnostics without repetitions, file by file in the order of the text."""
        unique = list(dict.fromkeys(self._diagnostics))
        files = list(dict.fromkeys(d.span.source for d in unique if d.span))

        def position(d: Diagnostic) -> tuple[int, int]:
            return (files.index(d.span.source), d.span.start) if d.span else (-1, -1)

        return tuple(sorted(unique, key=position))

    def add(self, diagnostic: Diagnostic) -> None:
        """Add a diagnostic; raises SpecError once there are MAX_ERRORS errors."""
        self._diagnostics.append(diagnostic)
        self.error_count += diagnostic.severity == "error"
        if self.error_count >= MAX_ERRORS:
            self.raise_all()

    def error(
        self, code: Code, message: str, span: Span | None, help: str = "", *, label: str = ""
    ) -> None:
        """Add an error."""
        self.add(Diagnostic(code, message, span, help, label=label))

    def reject(
        self, code: Code, message: str, span: Span | None, help: str = "", *, label: str = ""
    ) -> NoReturn:
        """Add an error and raise Rejected, to give up the part of the file that has the error."""
        self.error(code, message, span, help, label=label)
        raise Rejected

    def raise_all(self) -> NoReturn:
        """Raise a SpecError with all diagnostics."""
        raise SpecError(self.diagnostics)

    def raise_if_errors(self) -> None:
        """Raise a SpecError if there are errors."""
        if self.error_count:
            self.raise_all()


def strip_digits(name: str) -> str:
    """A name without its digits; names that differ only in digits, `K1` and `K2`, are not typos."""
    return re.sub("[0-9₀-₉]", "", name)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The known name that is spelled most like `name`; empty if none is similar."""
    known = list(islice(known, MAX_COMPARED))
    matches = get_close_matches(name, sorted(known), n=1) if len(name) > 1 else ()
    return matches[0] if matches else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """The hint "did you mean `…`?" for an unknown name; empty if no known name is similar."""
    near = nearest_name(name, [n for n in known if strip_digits(n) != strip_digits(name)])
    return f"did you mean `{near}`?" if near else ""
