"""An error or a warning about a file, as a value."""

from dataclasses import dataclass, field

from odenet.diagnostics.codes import Code
from odenet.diagnostics.source import Span


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning about a file.

    Args:
        code: the kind of problem, which docs/errors.md explains.
        message: what is wrong, in the terms of the language.
        span: the characters that are wrong; None for the file as a whole.
        help: what to write instead.
        severity: "error" or "warning".
        file: the name of the file, for diagnostics without a span.
        label: a few words next to the underlined text.
    """

    code: Code
    message: str
    span: Span | None = None
    help: str = ""
    severity: str = "error"
    file: str = ""
    label: str = field(default="", kw_only=True)

    def to_json(self) -> dict[str, object]:
        """The diagnostic as plain values, for `--json`."""
        location = {"file": self.file}
        if self.span is not None:
            location = {
                "file": self.span.source.name,
                "line": self.span.line,
                "column": self.span.column,
                "text": self.span.text,
            }
        description = {"severity": self.severity, "code": self.code, "message": self.message}
        return {**description, "label": self.label, "help": self.help, **location}
