"""One finding about a file, as a value."""

from dataclasses import dataclass, field

from odenet.diagnostics.codes import Code
from odenet.diagnostics.source import Span


@dataclass(frozen=True)
class Diagnostic:
    """One thing that is wrong, or worth knowing, about a file.

    Args:
        code: its kind, which docs/errors.md explains.
        message: what is wrong, in the language's own words.
        span: where; None when it is about the file as a whole.
        help: what to write instead.
        severity: "error" or "warning".
        file: the file's name, for diagnostics without a span.
        label: a few words under the underlined piece.
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
        place = {"file": self.file}
        if self.span is not None:
            place = {
                "file": self.span.source.name,
                "line": self.span.line,
                "column": self.span.column,
                "text": self.span.text,
            }
        words = {"severity": self.severity, "code": self.code, "message": self.message}
        return {**words, "label": self.label, "help": self.help, **place}
