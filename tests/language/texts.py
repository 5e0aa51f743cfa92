"""Texts to start from: the specs that ship, and one file per construct."""

from pathlib import Path

from odenet.diagnostics import Report, Source
from odenet.language import parse

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").glob("*.ode"))
SCHEMES = sorted((ROOT / "odenet" / "schemes").glob("*.ode"))
GOOD = sorted((ROOT / "tests" / "model" / "good").glob("*.ode"))
VALID = [path.read_text(encoding="utf-8") for path in (*SPECS, *SCHEMES, *GOOD)]


def tree_of(text):
    """The syntax tree of a text that has no syntax error."""
    report = Report()
    file = parse(Source("test.ode", text), report)
    assert not report.diagnostics, report.diagnostics
    return file


def errors_of(text):
    """The messages of a text's syntax errors."""
    report = Report()
    parse(Source("test.ode", text), report)
    return [diagnostic.message for diagnostic in report.diagnostics]
