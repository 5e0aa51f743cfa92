"""The specifications that ship, the test files with one construct each, and ways to parse texts."""

from pathlib import Path

from odenet.diagnostics import Report, Source
from odenet.language import parse

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").glob("*.ode"))
SCHEMES = sorted((ROOT / "odenet" / "schemes").glob("*.ode"))
CONSTRUCTS = sorted((ROOT / "tests" / "model" / "good").glob("*.ode"))
VALID_TEXTS = [path.read_text(encoding="utf-8") for path in (*SPECS, *SCHEMES, *CONSTRUCTS)]


def parse_text(text):
    """The syntax tree of a text that has no syntax error."""
    report = Report()
    file = parse(Source("test.ode", text), report)
    assert not report.diagnostics, report.diagnostics
    return file


def syntax_errors(text):
    """The messages of the syntax errors of a text."""
    report = Report()
    parse(Source("test.ode", text), report)
    return [diagnostic.message for diagnostic in report.diagnostics]
