"""Diagnostics collected and raised together."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import NoReturn

from odenet.diagnostics.codes import Code
from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.frame import render
from odenet.diagnostics.source import Span

MOST_SHOWN = 20
MOST_ERRORS = 100
MOST_COMPARED = 1000  # names that one is compared with


class SpecError(Exception):
    """A specification that cannot be compiled.

    Attributes:
        diagnostics: everything that is wrong with it, in the order of the text.
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
        """The error of one diagnostic, of which these are the parts."""
        return SpecError([Diagnostic(code, message, span, help, file=file, label=label)])

    def __str__(self) -> str:
        shown = [render(diagnostic) for diagnostic in self.diagnostics[:MOST_SHOWN]]
        hidden = len(self.diagnostics) - len(shown)
        more = [f"and {hidden} more error{'s' * (hidden > 1)}"] if hidden else []
        return "\n\n".join([*shown, *more])


class Rejected(Exception):
    """A part of the file has an error, which has been reported; what needs that part gives up."""


class Report:
    """Collects diagnostics so that one run reports all of a file's errors.

    Attributes:
        errors: how many errors were reported.
    """

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []
        self.errors = 0

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything reported, file by file in the order of the text, each once."""
        unique = list(dict.fromkeys(self._found))
        files = list(dict.fromkeys(d.span.source for d in unique if d.span))

        def place(d: Diagnostic) -> tuple[int, int]:
            return (files.index(d.span.source), d.span.start) if d.span else (-1, -1)

        return tuple(sorted(unique, key=place))

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep one diagnostic; with very many errors nothing more is looked for."""
        self._found.append(diagnostic)
        self.errors += diagnostic.severity == "error"
        if self.errors >= MOST_ERRORS:
            self.fail()

    def error(
        self, code: Code, message: str, span: Span | None, help: str = "", *, label: str = ""
    ) -> None:
        """Keep an error and go on."""
        self.add(Diagnostic(code, message, span, help, label=label))

    def reject(
        self, code: Code, message: str, span: Span | None, help: str = "", *, label: str = ""
    ) -> NoReturn:
        """Keep an error and give up the part of the file that has it; raises Rejected."""
        self.error(code, message, span, help, label=label)
        raise Rejected

    def fail(self) -> NoReturn:
        """Raise what was found."""
        raise SpecError(self.diagnostics)

    def check(self) -> None:
        """Raise if an error was reported."""
        if self.errors:
            self.fail()


def strip_digits(name: str) -> str:
    """A name without its digits: `K2` is not `K1` misspelled, but another name."""
    return re.sub("[0-9₀-₉]", "", name)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like another, or the empty string when none is near."""
    known = list(islice(known, MOST_COMPARED))
    near = get_close_matches(name, sorted(known), n=1) if len(name) > 1 else ()
    return near[0] if near else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """A "did you mean" for a name, or the empty string when nothing is near."""
    near = nearest(name, [n for n in known if strip_digits(n) != strip_digits(name)])
    return f"did you mean `{near}`?" if near else ""
