"""Diagnostics collected and raised together."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn

from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.frame import render
from odenet.diagnostics.source import Span


class SpecError(Exception):
    """A specification that cannot be compiled.

    Attributes:
        diagnostics: everything that is wrong with it, in the order of the text.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(render(diagnostic) for diagnostic in self.diagnostics)


class Report:
    """Collects diagnostics so that one run reports all of a file's errors."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    @property
    def failed(self) -> bool:
        """Whether an error was reported."""
        return any(d.severity == "error" for d in self._found)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything reported, in the order of the text, each once."""
        unique = dict.fromkeys(self._found)
        return tuple(sorted(unique, key=lambda d: d.span.start if d.span else -1))

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep one diagnostic."""
        self._found.append(diagnostic)

    def error(self, message: str, span: Span | None, label: str = "", help: str = "") -> None:
        """Keep an error and go on."""
        self.add(Diagnostic(message, span, label, help))

    def fail(self) -> NoReturn:
        """Raise what was found."""
        raise SpecError(self.diagnostics)

    def check(self) -> None:
        """Raise if an error was reported."""
        if self.failed:
            self.fail()


def suggest(name: str, known: Iterable[str]) -> str:
    """A "did you mean" for a name, or the empty string when nothing is near."""
    near = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""
