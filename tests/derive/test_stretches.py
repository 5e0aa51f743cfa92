"""Stretches, factors exp(s(…)) of an unknown where s reads others, as in affine couplings."""

import pytest
import sympy

from odenet.confirm.scheme import confirm_derivation
from odenet.derive import derive
from odenet.derive.scheme_notation import scheme_notation
from odenet.diagnostics import Report, Source
from odenet.language import parse, tree
from odenet.model.elaboration.scheme_reader import elaborate_scheme

PAIR = "for Y' = F(Z), Z' = G(Y)"


def derive_lines(lines, maps=("s", "t")):
    """The derivation of a scheme with these lines, in a file that declares these maps."""
    report = Report()
    (block,) = parse(Source("test", f"scheme own {{\n{lines}\n}}\n"), report).statements_of(
        tree.Scheme
    )
    scheme = elaborate_scheme(block, report, maps)
    report.raise_if_errors()
    return derive(scheme)


def inverse_lines(derivation):
    return [scheme_notation(derivation.scheme).equation(line) for line in derivation.inverse]


# name -> lines of a scheme, some lines of its inverse, exponents of its volume factor
REVERSIBLE = {
    "affine coupling (Dinh et al. 2017)": (
        "Y[n+1] = exp(s(Z[n])) * Y[n] + h F(Z[n])\nZ[n+1] = exp(t(Y[n+1])) * Z[n] + h G(Y[n+1])",
        [
            "Z[n] = exp(-t(Y[n+1])) * (Z[n+1] - h G(Y[n+1]))",
            "Y[n] = exp(-s(Z[n])) * (Y[n+1] - h F(Z[n]))",
        ],
        ["s(Z[n])", "t(Y[n+1])"],
    ),
    "the factor on the outside (Kingma and Dhariwal 2018)": (
        "Y[n+1] = exp(s(Z[n])) * (Y[n] + h F(Z[n]))\nZ[n+1] = Z[n] + h G(Y[n+1])",
        ["Z[n] = Z[n+1] - h G(Y[n+1])", "Y[n] = Y1 - h F(Z[n])"],
        ["s(Z[n])"],
    ),
    "a factor after the value, with a number": (
        "Y[n+1] = 3 Y[n] * exp(2 s(Z[n]) - t(Z[n])) + h F(Z[n])\nZ[n+1] = Z[n] + h G(Y[n+1])",
        ["Z[n] = Z[n+1] - h G(Y[n+1])"],
        ["2 s(Z[n]) - t(Z[n])"],
    ),
    "a map that is added": (
        "Y[n+1] = Y[n] + s(Z[n]) + h F(Z[n])\nZ[n+1] = exp(Y[n+1]) * Z[n] + h G(Y[n+1])",
        ["Z[n] = exp(-Y[n+1]) * (Z[n+1] - h G(Y[n+1]))", "Y[n] = Y[n+1] - s(Z[n]) - h F(Z[n])"],
        ["Y[n+1]"],
    ),
    "beside the exponential of a number": (
        "Y[n+1] = exp(-h) Y[n] + h F(Z[n])\nZ[n+1] = exp(s(Y[n+1])) * Z[n] + h G(Y[n+1])",
        [
            "Z[n] = exp(-s(Y[n+1])) * (Z[n+1] - h G(Y[n+1]))",
            "Y[n] = (Y[n+1] - h F(Z[n]))/exp(-h)",
        ],
        ["s(Y[n+1])"],
    ),
    "two factors of a stage": (
        "A = exp(s(Z[n])) * Y[n]\nB = exp(t(A)) * Z[n] + h G(A)\n"
        "Y[n+1] = exp(s(B)) * A + h F(B)\nZ[n+1] = B",
        [],
        ["s(Z[n])", "t(A)", "s(Z[n+1])"],
    ),
}


@pytest.mark.parametrize(("lines", "inverse", "exponents"), REVERSIBLE.values(), ids=REVERSIBLE)
def test_the_inverse_divides_by_the_exponential_that_multiplies(lines, inverse, exponents):
    found = derive_lines(f"{PAIR}\n{lines}")
    assert found.reversible, found.obstacle
    assert set(inverse) <= set(inverse_lines(found))
    assert [
        scheme_notation(found.scheme).show(node) for node in found.volume_exponents
    ] == exponents
    assert all(line.endswith("= 0") for line in found.proof)
    confirm_derivation(found)


def test_neither_order_nor_stability_is_derived_of_a_stretch():
    found = derive_lines(f"{PAIR}\n{REVERSIBLE['affine coupling (Dinh et al. 2017)'][0]}")
    assert found.order is None and "exp(s(Z[n])) is not part of the equations" in str(
        found.accuracy
    )
    assert found.stability == "a linear test equation has no counterpart of exp(s(Z[n]))"
    assert found.volume is None and not found.volume_preserving
    assert found.to_json()["log_volume"] == ["s(Z[n])", "t(Y[n+1])"]
    assert r"volume times $\exp(\textrm{mean of } s\left(Z_{n}\right)" in found.latex()


def test_half_a_stretch_before_and_half_after_make_a_symmetric_step():
    half = "exp(h/2 s(Z[n])) * Y[n]"
    lines = f"A = {half}\nZ[n+1] = Z[n] + h G(A)\nY[n+1] = exp(h/2 s(Z[n+1])) * A"
    found = derive_lines(f"{PAIR}\n{lines}")
    assert found.symmetric
    confirm_derivation(found)


def test_numbers_beside_an_exponential_are_a_constant_factor_of_the_volume():
    lines = REVERSIBLE["a factor after the value, with a number"][0]
    found = derive_lines(f"{PAIR}\n{lines}")
    assert found.constant_volume_factor == sympy.Integer(3)
    assert "volume     times 3 exp(mean of 2 s(Z[n]) - t(Z[n])) per value and step" in str(found)


@pytest.mark.parametrize(
    "line",
    [
        "exp(s(Y[n])) * Y[n] + h F(Z[n])",  # the exponent reads what it multiplies
        "exp(s(Z[n])) * Y[n] + exp(t(Z[n])) * Z[n] + h F(Z[n])",  # two values, each with its factor
        "Y[n] + exp(s(Z[n])) * h F(Z[n])",
        "exp(s(Y[n] + Z[n])) * Y[n] + h F(Z[n])",
    ],
)
def test_what_cannot_be_divided_out_has_no_inverse(line):
    found = derive_lines(f"{PAIR}\nY[n+1] = {line}\nZ[n+1] = Z[n] + h G(Y[n+1])")
    assert not found.reversible
    assert "cannot be divided out of Y[n+1]" in str(found.obstacle)
    assert found.obstacle.span.text.startswith("exp(")
