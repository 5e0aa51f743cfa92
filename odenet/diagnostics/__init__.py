"""Errors and warnings about a file: where they are, how they are collected and printed."""

from odenet.diagnostics.code_frame import render
from odenet.diagnostics.codes import CODES, Code
from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.printable import printable, printable_lines, shell_quoted
from odenet.diagnostics.report import Rejected, Report, SpecError, nearest_name, suggest
from odenet.diagnostics.source import Source, Span

__all__ = [
    "CODES", "Code", "Diagnostic", "Rejected", "Report", "Source", "Span", "SpecError",
    "nearest_name", "printable", "printable_lines", "render", "shell_quoted", "suggest",
]  # fmt: skip
