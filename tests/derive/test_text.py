"""How a derivation prints, and that names of schemes and unknowns do not influence it."""

import ast
import json
import re
from pathlib import Path

import pytest

import odenet.derive
from odenet.derive import derive
from odenet.derive.scheme_notation import scheme_notation
from odenet.model.elaboration.library import library_names
from tests.derive.numeric import SCHEMES, read_scheme

VERLET = """\
forward
    Y[n+1] = Y[n] + h F(Z[n])
    Z[n+1] = Z[n] + h G(Y[n+1])
inverse
    Z[n] = Z[n+1] - h G(Y[n+1])
    Y[n] = Y[n+1] - h F(Z[n])
proof that it is the inverse
    Z[n] + h G(Y[n+1]) - h G(Y[n+1]) - Z[n] = 0
    Y[n] + h F(Z[n]) - h F(Z[n]) - Y[n] = 0
order      1
symmetric  no
volume     preserved"""

MOMENTUM = """\
order      none: the scheme has no step size h
symmetric  no
volume     times |γ| per value and step
condition  γ ≠ 0
destroys   log2(1/|γ|) bits per value and step where |γ| < 1 (0.152 at the default)"""


def test_a_derivation_prints_itself():
    assert str(derive(SCHEMES["verlet"])) == VERLET
    assert str(derive(SCHEMES["momentum"])).endswith(MOMENTUM)


def test_the_summary_is_a_few_sentences():
    assert derive(SCHEMES["stormer_verlet"]).summary() == [
        "Reversible; order 2; symmetric; volume preserving."
    ]
    assert derive(SCHEMES["momentum"]).summary() == [
        "Reversible; volume times |γ| per value and step.",
        "Needs γ ≠ 0.",
    ]
    assert derive(SCHEMES["euler"]).summary() == [
        "Not reversible: Y[n] also appears inside F(Y[n]), in the line that would have to give it.",
        "Order 1.",
    ]


def test_latex_has_the_inverse_and_the_conditions():
    latex = derive(SCHEMES["momentum"])._repr_latex_()
    assert (
        r"v_{n} &= \frac{v_{n+1} - \left(1 - \gamma\right)\,f\left(x_{n}\right)}{\gamma}" in latex
    )
    assert r"$\gamma \neq 0$" in latex
    assert derive(SCHEMES["euler"]).latex().startswith("No explicit inverse: Y[n]")


@pytest.mark.parametrize("name", SCHEMES)
def test_the_json_form_is_plain_values(name):
    found = json.loads(json.dumps(derive(SCHEMES[name]).to_json()))
    assert found["reversible"] == (found["inverse"] is not None) == (found["obstacle"] is None)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_printed_step_reads_back_as_the_same_step(name):
    scheme = SCHEMES[name]
    shown = scheme_notation(scheme)
    written = {update.span.start - scheme.span.start: update for update in scheme.updates}
    text = scheme.text
    for start in sorted(written, reverse=True):
        line = written[start]
        text = text[:start] + shown.equation(line) + text[start + len(line.span.text) :]
    assert read_scheme(text) == scheme


# names that sympy uses itself, or that look like others of the derivation
RENAMED = {"F": "Q", "G": "E", "f": "I", "Y": "beta", "Z": "S", "x": "N", "v": "zeta", "Z1": "O"}


@pytest.mark.parametrize("name", ["verlet", "stormer_verlet", "midpoint", "leapfrog", "momentum"])
def test_renaming_changes_nothing_but_the_names(name):
    scheme = SCHEMES[name]

    def rename(text: str) -> str:
        return re.sub(r"[A-Za-z]\w*", lambda word: RENAMED.get(word[0], word[0]), text)

    renamed = derive(read_scheme(rename(scheme.text)))
    assert str(renamed).split() == rename(str(derive(scheme))).split()


def test_the_source_of_derive_names_no_scheme():
    folder = Path(odenet.derive.__file__).parent
    nodes = [node for file in folder.glob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    names = {getattr(node, key, "") for node in nodes for key in ("id", "attr", "name")}
    assert not set(library_names()) & (texts | names)


def test_a_step_that_divides_by_a_number_divides_the_volume_by_it():
    text = """scheme s(a = 0.5) {
        for Y' = F(Z), Z' = G(Y)
        Y[n+1] = (Y[n] + h F(Z[n])) / a
        Z[n+1] = Z[n] + h G(Y[n+1])
    }"""
    assert "volume     times |1/a| per value and step" in str(derive(read_scheme(text)))
