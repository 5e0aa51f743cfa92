"""docs/language.md agrees with the code: its samples load, its tables are those of the code."""

import re

import pytest

from odenet.compiler import loads
from odenet.diagnostics import Source
from odenet.language.format import format_source
from odenet.model.elaboration.builtin_names import CORE_NAMES
from odenet.model.tables import reference
from tests.language.spec_texts import ROOT, SCHEMES, parse_text

REFERENCE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python)?\n(.*?)```", REFERENCE, re.DOTALL)


def table_rows(heading):
    """The rows of the table whose first column has this heading."""
    start = REFERENCE.index(f"| {heading} |")
    lines = REFERENCE[start : REFERENCE.find("\n\n", start)].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def first_column(heading):
    """The names in the first column of the table."""
    return [row[0].strip("`") for row in table_rows(heading)]


@pytest.mark.parametrize(
    ("heading", "rows"),
    [
        ("type", reference.types),
        ("activation", reference.activations),
        ("layer", reference.layers),
        ("claim", reference.claims),
    ],
)
def test_a_table_of_the_reference_has_the_rows_of_the_code(heading, rows):
    start = REFERENCE.index(f"| {heading} |")
    assert REFERENCE[start : REFERENCE.find("\n\n", start)].splitlines() == rows()


def test_the_initialisations_are_those_of_the_table():
    assert first_column("`init`") == reference.initialisations()


def test_the_names_that_cannot_be_redefined_are_listed():
    listed = set(
        re.findall(r"`(\w+)`", REFERENCE[REFERENCE.index("A name of the language's own") :])
    )
    assert set(CORE_NAMES) <= listed


@pytest.mark.parametrize("block", [b for b in BLOCKS if "discretise" in b])
def test_every_whole_sample_loads_and_is_formatted(block):
    loads(block)
    formatted = format_source(Source("sample.ode", block))
    assert formatted in (block, f"odenet 1\n{block}")


def test_the_schemes_shown_are_those_that_ship():
    (block,) = [b for b in BLOCKS if "scheme euler" in b]
    shipped = {path.stem: path.read_text(encoding="utf-8") for path in SCHEMES}
    schemes = parse_text(block).statements
    assert [parse_text(shipped[s.name.id]).statements[-1] for s in schemes] == list(schemes)


def test_the_message_shown_is_the_recorded_one():
    recorded = ROOT / "tests/bad/discretise/verlet_reads_its_own_state.expected"
    message = recorded.read_text(encoding="utf-8").replace("verlet_reads_its_own_state", "bad")
    assert message in BLOCKS
