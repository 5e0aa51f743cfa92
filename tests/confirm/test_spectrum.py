"""The numerical check of a spectrum reports an eigenvalue only if rounding cannot explain it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.analyse import certificate, certify, prove
from odenet.confirm import Disagreement, confirmed_certificate
from odenet.confirm.spectrum import violating_eigenvalue
from tests.analyse.specs import load_model
from tests.confirm.fault_injection import replace_everywhere

DECAY_OF_ONE_STATE = "state X, P, Y\nX' = P\nP' = -3 X + Y\nY' = P - 0.001 Y\n"


def jordan_block(value: float, size: int) -> np.ndarray:
    return value * np.eye(size) + np.eye(size, k=1)


def similar_matrix(matrix: np.ndarray, seed: int, max_log_stretch: float) -> list[list[float]]:
    """T matrix T⁻¹ with a random T that stretches a vector by e^±max_log_stretch at most."""
    rng = np.random.default_rng(seed)
    size = len(matrix)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(2))
    T = left @ np.diag(np.exp(rng.uniform(-max_log_stretch, max_log_stretch, size))) @ right
    return (T @ matrix @ np.linalg.inv(T)).tolist()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    max_log_stretch=st.floats(0, 3),
    sizes=st.lists(st.integers(1, 4), max_size=5),
)
def test_defective_and_badly_conditioned_eigenvalues_raise_no_false_alarm(
    seed, max_log_stretch, sizes
):
    size = sum(sizes) + 1
    matrix, start = np.zeros((size, size)), 0
    for n in sizes:
        matrix[start : start + n, start : start + n] = jordan_block(0.0, n)
        start += n
    for verdict in ("stable", "imaginary", "real"):
        assert violating_eigenvalue(similar_matrix(matrix, seed, max_log_stretch), verdict) is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 8), rank=st.integers(0, 3))
def test_many_equal_frequencies_raise_no_false_alarm(seed, size, rank):
    """Y'' = -(KᵀK + I/2) Y with K of low rank, as where most slopes are 0."""
    rng = np.random.default_rng(seed)
    K = rng.standard_normal((rank, size))
    stiffness = K.T @ K + np.eye(size) / 2
    matrix = np.block(
        [[np.zeros((size, size)), np.eye(size)], [-stiffness, np.zeros((size, size))]]
    )
    assert violating_eigenvalue(matrix.tolist(), "imaginary") is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-8, 0))
def test_a_small_positive_real_part_of_a_simple_eigenvalue_is_found(seed, exponent):
    values = np.diag([10**exponent, -1.0, -2.0, -0.5])
    eigenvalue = violating_eigenvalue(similar_matrix(values, seed, 1.0), "stable")
    assert eigenvalue is not None and eigenvalue.real == pytest.approx(10**exponent, rel=1e-3)


@pytest.mark.parametrize("value", [1e-2, 1e-1])
def test_a_double_eigenvalue_is_found_where_it_is_far_enough_to_the_right(value):
    assert (
        violating_eigenvalue(similar_matrix(jordan_block(value, 2), 1, 0.5), "stable") is not None
    )


def test_a_scaling_that_does_not_commute_with_the_decay_is_caught(monkeypatch):
    assert not certify(load_model(DECAY_OF_ONE_STATE)).proved
    replace_everywhere(monkeypatch, prove._allows_matrix_scaling, lambda block, decay: True)
    model = load_model(DECAY_OF_ONE_STATE)
    wrong = certify(model)
    assert wrong.verdict == "stable"
    with pytest.raises(Disagreement, match="C does not commute"):
        confirmed_certificate(model, wrong)
    with pytest.raises(Disagreement, match="an eigenvalue"):
        confirmed_certificate(model, certificate.Certificate(verdict="stable"))
