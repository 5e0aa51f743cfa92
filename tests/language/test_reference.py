"""docs/language.md says what the code does: its samples load, its tables are those of the code."""

import re
from fractions import Fraction

import pytest

from odenet.diagnostics import Source
from odenet.language.format import format_source
from odenet.model.activations import ROWS
from odenet.model.build import CLAIMS
from odenet.model.check import check
from odenet.model.layers import LAYERS, NAMES, SAME
from odenet.model.numbers import Width
from odenet.model.parameters import RULES, TYPES
from odenet.model.recipe_values import Call
from odenet.model.scope import FIXED
from tests.language.texts import ROOT, SCHEMES, tree_of

TEXT = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)


def table(heading):
    """The rows of the table whose first column is headed so."""
    start = TEXT.index(f"| {heading} |")
    lines = TEXT[start : TEXT.find("\n\n", start)].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def first_column(heading):
    return [row[0].strip("`") for row in table(heading)]


def shown(value):
    """A default as it is written in a file."""
    if isinstance(value, Call):
        return value.name
    if isinstance(value, Width):
        return str(value)
    return f"{value:g}" if isinstance(value, float | Fraction) else str(value)


def signature(name, form):
    """A form as it is documented: what must be given, then what may be."""
    arguments = [
        key if parameter.default in (None, SAME) else f"{key} = {shown(parameter.default)}"
        for key, parameter in form.items()
    ]
    return f"{name}({', '.join(arguments)})" if arguments else name


def test_the_types_of_parameters_are_those_of_the_table():
    assert first_column("type") == [signature(name, form) for name, form in TYPES.forms.items()]


def test_the_initialisations_are_those_of_the_table():
    assert first_column("`init`") == [signature(name, form) for name, form in RULES.forms.items()]


def test_the_layers_are_those_of_the_table():
    activations = {row.name for row in ROWS}
    forms = {name: form for name, form in NAMES.forms.items() if name not in activations}
    expected = [signature(name, form) for name, form in forms.items()] + ["residual(LAYERS)"]
    assert first_column("layer") == expected
    in_map = {row[0].strip("`").partition("(")[0]: row[1] for row in table("layer")}
    for name, kind in LAYERS.items():
        if name not in activations:
            assert in_map[name] == ("yes" if kind.in_map else "no")


def test_the_activations_are_those_of_the_table():
    def word(fact):
        return "yes" if fact else "no"

    assert [[cell.replace("\\|", "|") for cell in row] for row in table("activation")] == [
        [f"`{row.name}({', '.join(row.constants)})`" if row.constants else f"`{row.name}`",
         row.least_slope.text, row.slope.text, word(row.odd), word(row.nonnegative)]
        for row in ROWS
    ]  # fmt: skip


def test_the_claims_are_those_of_the_table():
    (line,) = [row for row in table("statement") if row[0] == "`require CLAIM`"]
    assert tuple(re.findall(r"`([\w()]+)`", line[1].partition(":")[2])) == CLAIMS


def test_the_names_that_cannot_be_redefined_are_listed():
    listed = set(re.findall(r"`(\w+)`", TEXT[TEXT.index("A name of the language's own") :]))
    assert set(FIXED) - {row.name for row in ROWS} <= listed


@pytest.mark.parametrize("block", [b for b in BLOCKS if "discretise" in b])
def test_every_whole_sample_loads_and_is_formatted(block):
    source = Source("sample.ode", block)
    check(source, {})
    formatted = format_source(source)
    assert formatted in (block, f"odenet 1\n{block}")


def test_the_schemes_shown_are_those_that_ship():
    (block,) = [b for b in BLOCKS if "scheme euler" in b]
    shipped = {path.stem: path.read_text(encoding="utf-8") for path in SCHEMES}
    schemes = tree_of(block).statements
    assert [tree_of(shipped[s.name.id]).statements[-1] for s in schemes] == list(schemes)


def test_the_message_shown_is_the_one_that_is_given():
    recorded = ROOT / "tests" / "bad" / "verlet_reads_its_own_state.expected"
    message = recorded.read_text(encoding="utf-8").replace("verlet_reads_its_own_state", "bad")
    assert message in BLOCKS
