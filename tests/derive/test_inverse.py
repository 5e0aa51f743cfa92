"""The derived inverse of a step, on numbers, for all schemes and for random sequences of shears.

A shear adds to one unknown a function of the others. The oracle runs the lines on random networks.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from odenet.derive import derive
from odenet.derive.coefficients import CoefficientField
from odenet.derive.inverse import derive_inverse, is_verified
from odenet.derive.scheme_notation import scheme_notation
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from tests.derive.numeric import (
    SCHEMES,
    Network,
    as_vector,
    constant_values,
    jacobian,
    read_scheme,
    step,
    step_back,
    step_by_shears,
)

DERIVED = {name: derive(scheme) for name, scheme in SCHEMES.items()}
REVERSIBLE = [name for name, derivation in DERIVED.items() if derivation.reversible]
IRREVERSIBLE = [
    "euler",
    "explicit_decay",
    "heun",
    "rk4",
    "bosh3",
    "dopri5",
    "kutta3",
    "adams_bashforth2",
    "nystrom4",
    "divided_velocity",
    "coupled",
]


def inverse_text(name: str) -> list[str]:
    shown = scheme_notation(SCHEMES[name])
    return [shown.equation(update) for update in DERIVED[name].inverse]


def test_every_scheme_that_should_has_an_inverse():
    assert sorted(set(SCHEMES) - set(IRREVERSIBLE)) == sorted(REVERSIBLE)


@pytest.mark.parametrize("name", REVERSIBLE)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), h=st.floats(0.01, 1.0))
def test_the_inverse_gives_back_the_state_on_nonlinear_dynamics(name, seed, h):
    scheme, derivation = SCHEMES[name], DERIVED[name]
    network = Network(scheme, seed)
    rates, numbers = network.rates(), constant_values(scheme, h)
    before = network.state(scheme, seed + 1)
    after = step(scheme, before, rates, numbers)
    assert np.allclose(
        as_vector(step_back(derivation, after, rates, numbers)),
        as_vector(before),
        rtol=0,
        atol=1e-11,
    )


@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_shears_one_after_the_other_make_the_step(name):
    scheme, derivation = SCHEMES[name], DERIVED[name]
    network = Network(scheme)
    rates, numbers = network.rates(), constant_values(scheme, 0.3)
    before = network.state(scheme)
    by_lines = step(scheme, before, rates, numbers)
    by_shears = step_by_shears(derivation, before, rates, numbers)
    assert set(by_shears) == set(by_lines)
    for slot, x in by_lines.items():
        assert np.allclose(by_shears[slot], x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_volume_is_the_determinant_of_the_jacobian(name):
    scheme, derivation = SCHEMES[name], DERIVED[name]
    network = Network(scheme)
    rates, numbers = network.rates(), constant_values(scheme, 0.3)
    step_jacobian = jacobian(lambda s: step(scheme, s, rates, numbers), network.state(scheme))
    volume = derivation.volume.subs({sympy.Symbol(n): v for n, v in numbers.items()})
    assert abs(np.linalg.det(step_jacobian)) == pytest.approx(
        float(volume) ** network.width, rel=1e-10
    )


def test_the_inverses_are_written_as_on_paper():
    assert inverse_text("verlet") == ["Z[n] = Z[n+1] - h G(Y[n+1])", "Y[n] = Y[n+1] - h F(Z[n])"]
    assert inverse_text("midpoint") == ["Y[n-1] = Y[n+1] - 2 h F(Y[n])"]
    assert inverse_text("leapfrog") == ["Y[n-1] = 2 Y[n] + h^2 F(Y[n]) - Y[n+1]"]
    assert inverse_text("momentum") == [
        "x[n] = x[n+1] - v[n+1]",
        "v[n] = (v[n+1] - (1 - γ) f(x[n]))/γ",
    ]
    assert inverse_text("asynchronous_leapfrog") == [
        "x1 = x[n+1] - h/2 v[n+1]",
        "v[n] = 2 f(x1) - v[n+1]",
        "x[n] = x1 - h/2 v[n]",
    ]


def test_a_scheme_has_the_same_inverse_however_its_lines_are_combined():
    short = inverse_text("asynchronous_leapfrog_in_two_lines")
    assert short == inverse_text("asynchronous_leapfrog")


def test_two_step_schemes_exchange_their_older_and_newer_value():
    older, newer = Slot("Y", -1), Slot("Y", 0)
    assert DERIVED["midpoint"].relabel == {older: newer, newer: older}
    (only,) = DERIVED["leapfrog"].shears
    assert (only.target, only.scale, only.linear_terms) == (older, -1, ((2, newer),))
    assert [str(factor) for factor, _ in only.rate_terms] == ["h**2"]
    assert DERIVED["verlet"].relabel == {}


def test_a_shear_knows_the_line_it_comes_from():
    lines = [shear.scheme_line for shear in DERIVED["yoshida4"].shears]
    assert lines == list(SCHEMES["yoshida4"].updates)


def test_the_scale_of_a_shear_is_a_side_condition():
    assert [str(c) for c in DERIVED["momentum"].conditions] == ["gamma"]
    assert DERIVED["momentum"].violated_conditions() == ()
    assert [str(c) for c in DERIVED["momentum"].violated_conditions({"gamma": 0})] == ["gamma"]
    assert DERIVED["yoshida4"].conditions == ()


def test_a_division_inside_an_argument_is_a_side_condition():
    text = """scheme s(a, b) {
        for Y' = F(Z), Z' = G(Y)
        Y[n+1] = a Y[n] + b Z[n]
        Z[n+1] = Z[n] + h G(Y[n])
    }"""
    derivation = derive(read_scheme(text))
    assert not derivation.reversible
    solvable = derive(read_scheme(text.replace("h G(Y[n])", "h G(a Y[n] + b Z[n])")))
    assert [str(c) for c in solvable.conditions] == ["a"]


def test_lost_bits_are_counted_where_a_shear_contracts():
    assert DERIVED["momentum"].bits_lost() == pytest.approx(-np.log2(0.9))
    assert DERIVED["momentum"].bits_lost({"gamma": 0.5}) == pytest.approx(1)
    assert DERIVED["leapfrog"].bits_lost() == 0


@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_proof_ends_in_zero_for_every_shear(name):
    proof = DERIVED[name].proof
    assert len(proof) == len(DERIVED[name].inverse)
    assert all(line.endswith(" = 0") for line in proof)


def test_a_wrong_inverse_is_detected():
    scheme, derivation = SCHEMES["verlet"], DERIVED["verlet"]
    first, *others = derive_inverse(scheme, derivation.shears, derivation.relabel)
    value = first.backward.value
    assert isinstance(value, expr.Sum)
    wrong = replace(value, terms=tuple((1, term) for _, term in value.terms))
    wrong_pair = replace(first, backward=replace(first.backward, value=wrong))
    with pytest.raises(AssertionError, match="does not give back"):
        is_verified(scheme, (wrong_pair, *others), CoefficientField(scheme))


# random sequences of shears -----------------------------------------------------------------------

UNKNOWNS = "ABC"
SCALES = ["", "-1 ", "2 ", "γ ", "(1/2) "]
WEIGHTS = ["2", "1/2", "-1", "γ", "1 - γ"]


@dataclass(frozen=True)
class RandomShear:
    """One shear of a random scheme, with p and q the unknowns other than the target.

    The target becomes scale · target + h F(p + weight q, q), with F the function of the target. If
    the shear is nested, h Fp(q, p) is added inside F, with Fp the function of p. If there is an
    added unknown, 1/4 of it is added to the whole.
    """

    target: str
    scale: str
    weight: str
    is_nested: bool
    added_unknown: str | None

    def text(self, values: dict[str, str]) -> str:
        """The right-hand side, with the text of each unknown's current value put in."""
        one, other = (f"({values[name]})" for name in UNKNOWNS if name != self.target)
        inner = f"{one} + ({self.weight}) {other}"
        if self.is_nested:
            first = next(name for name in UNKNOWNS if name != self.target)
            inner += f" + h F{first}({other}, {one})"
        text = f"{self.scale}({values[self.target]}) + h F{self.target}({inner}, {other})"
        return text + (f" + (1/4) ({values[self.added_unknown]})" if self.added_unknown else "")


@st.composite
def random_shears(draw) -> RandomShear:
    target = draw(st.sampled_from(UNKNOWNS))
    others = [name for name in UNKNOWNS if name != target]
    return RandomShear(
        target=target,
        scale=draw(st.sampled_from(SCALES)),
        weight=draw(st.sampled_from(WEIGHTS)),
        is_nested=draw(st.booleans()),
        added_unknown=draw(st.sampled_from([None, *others])),
    )


def scheme_text(shears: list[RandomShear], sources: tuple[str, ...], at_once: bool) -> str:
    """A scheme of shears, after which the unknowns are permuted.

    Args:
        shears: the shears in their order.
        sources: for each of UNKNOWNS, the unknown that it takes its value from in the end.
        at_once: whether to substitute every line into those that read it.
    """
    current = {name: f"{name}[n]" for name in UNKNOWNS}
    lines = []
    for number, shear in enumerate(shears):
        text = shear.text(current)
        current[shear.target] = text if at_once else f"s{number}"
        lines += [] if at_once else [f"s{number} = {text}"]
    lines += [
        f"{name}[n+1] = {current[source]}" for name, source in zip(UNKNOWNS, sources, strict=True)
    ]
    equations = (f"{n}' = F{n}({', '.join(o for o in UNKNOWNS if o != n)})" for n in UNKNOWNS)
    return "\n".join(["scheme random(γ = 0.75) {", f"for {', '.join(equations)}", *lines, "}"])


@settings(max_examples=30, deadline=None)
@given(st.lists(random_shears(), min_size=1, max_size=4), st.permutations(UNKNOWNS), st.booleans())
def test_every_sequence_of_shears_is_undone(shears, sources, at_once):
    scheme = read_scheme(scheme_text(shears, sources, at_once))
    derivation = derive(scheme)
    assert derivation.reversible, derivation.obstacle
    network = Network(scheme, width=2)
    rates, numbers = network.rates(), constant_values(scheme, 0.1)
    before = network.state(scheme)
    after = step(scheme, before, rates, numbers)
    back = step_back(derivation, after, rates, numbers)
    assert np.allclose(as_vector(back), as_vector(before), rtol=1e-9, atol=1e-9)
    in_place = step_by_shears(derivation, before, rates, numbers)
    for slot, x in after.items():
        assert np.allclose(in_place[slot], x, rtol=1e-9, atol=1e-9)


MIXED = """scheme mixed {{
    for A' = F(B), B' = G(C), C' = H(A)
    A1 = ({}) A[n] + ({}) B[n] + ({}) C[n]
    B1 = ({}) A[n] + ({}) B[n] + ({}) C[n]
    C1 = ({}) A[n] + ({}) B[n] + ({}) C[n]
    A[n+1] = A1 + h F(B1)
    B[n+1] = B1 + h G(C1)
    C[n+1] = C1 + h H(A[n+1])
}}"""


@settings(max_examples=12, deadline=None)
@given(entries=st.lists(st.integers(-3, 3), min_size=9, max_size=9))
@example(
    entries=[1, 2, 0, 1, 5, 0, 0, 0, 1]
)  # B1 - A1 = 3 B[n] has one value, but not with factor 1
def test_mixed_unknowns_are_separated_exactly_if_their_matrix_is_invertible(entries):
    scheme = read_scheme(MIXED.format(*entries))
    derivation = derive(scheme)
    determinant = round(np.linalg.det(np.reshape(entries, (3, 3))))
    assert derivation.reversible == (determinant != 0)
    if determinant:
        network = Network(scheme)
        rates, numbers = network.rates(), constant_values(scheme, 0.3)
        before = network.state(scheme)
        after = step(scheme, before, rates, numbers)
        back = step_back(derivation, after, rates, numbers)
        assert np.allclose(as_vector(back), as_vector(before), rtol=0, atol=1e-9)
