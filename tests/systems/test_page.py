"""The table of networks in docs/systems.md is that of the specs: presets and counts."""

import re
from pathlib import Path

import pytest

import odenet
from odenet.model.reading.presets import preset, presets
from odenet.model.typed.size import network_size

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "systems.md").read_text("utf-8")
ROWS = re.findall(r"^\| .*\| `(\w+)` \| (?:`@([\w-]+)`)? ?\| ([\d,]+) \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("spec", "name", "count"), ROWS)
def test_a_row_has_the_parameters_of_its_network(spec, name, count):
    path = ROOT / "specs" / f"{spec}.ode"
    program = odenet.load(path, set=preset(path, name) if name else {})
    assert network_size(program.model).parameters == int(count.replace(",", ""))


@pytest.mark.parametrize("spec", ["revnet", "hamiltonian", "midpoint", "leapfrog"])
def test_every_preset_of_a_reversible_network_has_a_row(spec):
    known = set(presets(ROOT / "specs" / f"{spec}.ode"))
    assert {name for row, name, _ in ROWS if row == spec} == known
