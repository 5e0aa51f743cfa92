"""Verdicts on systems from the literature, against a table of what is known of them."""

from pathlib import Path

import pytest

from odenet.analyse import decide
from tests.analyse.literature import ROWS, Row
from tests.analyse.specs import load_model

PAGE = Path(__file__).parents[2] / "docs" / "systems.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_verdict_is_the_one_known_from_the_table(row: Row):
    certificate = decide(load_model(row.text))
    assert certificate.verdict == row.verdict, certificate
    if row.note.startswith("if "):
        assert row.note == f"if {' and '.join(certificate.conditions)}"


def test_the_page_shows_the_table():
    page = PAGE.read_text(encoding="utf-8")
    for row in ROWS:
        assert table_row(row) in page, f"docs/systems.md lacks the row\n{table_row(row)}"


def table_row(row: Row) -> str:
    """A row in the Markdown of the page."""
    widths = [line for line in row.params.splitlines() if "(in = " in line or "(out = " in line]
    shown = [*row.equations.splitlines(), *widths]  # without them the equations do not compile
    equations = ", ".join(f"`{' '.join(line.split())}`" for line in shown)
    return f"| {row.name} | {row.source} | {equations} | {row.verdict} | {row.note} |"
