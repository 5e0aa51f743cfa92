"""What is said to the user about a file: spans, diagnostics, the code frame, did-you-mean."""

from odenet.diagnostics.codes import CODES, Code
from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.frame import render
from odenet.diagnostics.printable import printable, printable_lines, typed
from odenet.diagnostics.report import Rejected, Report, SpecError, nearest, strip_digits, suggest
from odenet.diagnostics.source import Source, Span

__all__ = [
    "CODES", "Code", "Diagnostic", "Rejected", "Report", "Source", "Span", "SpecError", "nearest",
    "printable", "printable_lines", "render", "strip_digits", "suggest", "typed",
]  # fmt: skip
