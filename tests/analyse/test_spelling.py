"""Equal systems have the same verdict, however their formulas are written."""

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odenet.analyse import certify
from odenet.analyse.jacobian import FormulaEvaluator
from odenet.analyse.sampling import draw_point, state_sizes
from tests.analyse.numpy_checks import check_certificate
from tests.analyse.rewriting import rewrite_model
from tests.analyse.specs import RandomSpec, load_model

# name -> verdict, declarations, equal systems (equations separated by semicolons)
SPELLINGS = {
    "coupled by a square, first order": ("real", "param A : dense", [
        "Y' = -A^T A (Y - Z); Z' = -A^T A (Z - Y)",
        "Y' = A^T A (Z - Y); Z' = A^T A (Y - Z)",
        "Y' = A^T A Z - A^T A Y; Z' = -A^T A Z + A^T A Y",
        "Y' = -A^T (A Y - A Z); Z' = A^T (A Y - A Z)",
    ]),
    "coupled by a square, second order": ("imaginary", "param A : dense", [
        "Y'' = A^T (A Z - A Y); Z'' = A^T (A Y - A Z)",
        "Y'' = A^T A Z - A^T A Y; Z'' = A^T A Y - A^T A Z",
        "Y'' = -A^T A (Y - Z); Z'' = A^T A (Y - Z)",
        "Y'' = A^T A (Z - Y); Z'' = -(A^T A) Z + A^T (A Y)",
    ]),
    "coupled by an odd activation": ("imaginary", "param A : dense", [
        "Y'' = -A^T tanh(A (Y - Z)); Z'' = A^T tanh(A (Y - Z))",
        "Y'' = A^T tanh(A (Z - Y)); Z'' = -A^T tanh(A (Z - Y))",
        "Y'' = A^T tanh(A Z - A Y); Z'' = A^T tanh(A Y - A Z)",
        "Y'' = A^T (-tanh(A Y - A Z)); Z'' = -A^T tanh(A (Z - Y))",
    ]),
    "a quadratic potential of two states": ("imaginary", "param A, B : dense", [
        "Y' = B^T (A Y + B Z); Z' = -A^T (A Y + B Z)",
        "Y' = B^T A Y + B^T B Z; Z' = -A^T A Y - A^T B Z",
    ]),
    "three in a ring": ("imaginary", "param A : dense", [
        "X'' = A^T A (Y - X) + A^T A (Z - X); Y'' = A^T A (X - Y) + A^T A (Z - Y);"
        " Z'' = A^T A (X - Z) + A^T A (Y - Z)",
        "X'' = A^T A (Y + Z - 2 X); Y'' = A^T A (X + Z - 2 Y); Z'' = A^T (A X + A Y - 2 A Z)",
    ]),
    "a learned denominator": ("stable", "param K : dense\nparam g : scalar\nlet a = 2", [
        "Y'' = -K^T tanh(K Y) / (1 + a) - g g Y'; Z' = -Z",
        "Y'' = -(1/(a + 1)) K^T tanh(K Y) - g^2 Y'; Z' = -Z",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_has_the_same_verdict_and_an_energy(name: str):
    verdict, params, spellings = SPELLINGS[name]
    for spelling in spellings:
        states = "X, Y, Z" if "X'" in spelling else "Y, Z"
        equations = "\n".join(line.strip() for line in spelling.split(";"))
        model = load_model(f"state {states}\n{params}\n{equations}")
        certificate = certify(model)
        assert certificate.verdict == verdict, spelling
        assert certificate.energy is not None and certificate.energy.terms, spelling
        for seed in range(10):
            check_certificate(model, certificate, np.random.default_rng(seed))


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_rewriting_by_distributivity_sign_and_order_changes_no_verdict(rnd: Random, seed: int):
    model = load_model(RandomSpec(rnd).text())
    rewritten = rewrite_model(model, Random(seed))
    original, changed = ((c.verdict, c.conditions) for c in map(certify, (model, rewritten)))
    assert original == changed, model.source.text


def test_rewriting_keeps_the_values():
    for seed in range(40):
        model = load_model(RandomSpec(Random(seed)).text())
        rewritten = rewrite_model(model, Random(seed))
        size = state_sizes(model)[0]
        point = draw_point(model, size, np.random.default_rng(seed))
        original, changed = (
            FormulaEvaluator(m, point, size).value_and_jacobian()[1] for m in (model, rewritten)
        )
        assert np.allclose(original, changed, atol=1e-9 * (1 + abs(original).max()))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(SPELLINGS)), st.integers(0, 2**32 - 1))
def test_rewriting_coupled_systems_changes_no_verdict(name: str, seed: int):
    verdict, params, spellings = SPELLINGS[name]
    rnd = Random(seed)
    spelling = rnd.choice(spellings)
    states = "X, Y, Z" if "X'" in spelling else "Y, Z"
    equations = "\n".join(line.strip() for line in spelling.split(";"))
    model = load_model(f"state {states}\n{params}\n{equations}")
    assert certify(rewrite_model(model, rnd)).verdict == verdict
