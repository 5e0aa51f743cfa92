"""What each stage of the compiler prints for the shipped specs, against recorded texts."""

from pathlib import Path

import pytest

import odenet
from odenet.emit.printing import as_latex

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.ode"))


def printed_forms(program) -> str:
    """The stages one after the other, in the order in which they are made."""
    is_discretised = program.discretised
    shown = {
        "tree": program.tree,
        "program": program.model,
        "derivation": program.derivation if is_discretised else "",
        "certificate": program.certificate,
        "latex": as_latex(program.facts),
    }
    return "\n".join(f"=== {name}\n\n{str(form).rstrip()}\n" for name, form in shown.items())


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_the_forms_are_as_recorded(spec, golden):
    golden(f"forms/{spec.stem}.txt", printed_forms(odenet.load(spec)))


def test_a_file_without_steps_prints_its_program():
    text = "state Y\nparam K : conv(3)\nparam a : scalar\nmap f = bn -> relu\nY' = a K Y + f(Y)\n"
    shown = str(odenet.loads(text).model)
    assert "f   bn -> relu   c -> c channels   one for each step" in shown
    assert "Y' = a K Y + f(Y)" in shown and "\nsteps" not in shown
