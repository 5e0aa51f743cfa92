"""Residuals of the order conditions, against 1/γ minus the elementary weights of Butcher's trees.

The oracle computes the weights from the tableau (A, b, c).
"""

from fractions import Fraction

import numpy as np
import pytest

from odenet.derive.residuals import residuals
from odenet.model.elaboration.library import library_scheme


def residual_texts(name):
    """Elementary differential -> the residual of its order condition, as a text; empty for 0."""
    return {row.differential: row.difference for row in residuals(library_scheme(name))}


def test_the_classical_method_meets_all_conditions_to_order_4_and_not_those_of_5():
    found = residuals(library_scheme("rk4"))
    assert [row.order for row in found] == [1, 2, 3, 3, *[4] * 4, *[5] * 9]  # one per rooted tree
    assert not any(row.difference for row in found if row.order < 5)
    A = np.zeros((4, 4), dtype=object) + Fraction(0)
    A[1, 0] = A[2, 1] = Fraction(1, 2)
    A[3, 2] = Fraction(1)
    b, c = np.array([Fraction(k, 6) for k in (1, 2, 2, 1)]), A.sum(axis=1)
    expected = {
        "F''''(F, F, F, F)": Fraction(1, 5) - b @ c**4,
        "F'(F'(F'(F'(F))))": Fraction(1, 120) - b @ A @ A @ A @ c,
        "F'(F'''(F, F, F))": Fraction(1, 20) - b @ A @ c**3,
    }
    assert {key: Fraction(residual_texts("rk4")[key]) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("euler", {"F": "", "F'(F)": "1/2"}),
        ("heun", {"F": "", "F'(F)": "", "F''(F, F)": "-1/6", "F'(F'(F))": "1/6"}),
        ("verlet", {"F": "", "G": "", "F'(G)": "1/2", "G'(F)": "-1/2"}),
    ],
)
def test_a_residual_is_the_exact_coefficient_minus_that_of_the_step(name, expected):
    assert residual_texts(name) == expected


def test_schemes_without_conditions_say_why():
    assert residuals(library_scheme("momentum")) == "the scheme has no step size h"
    assert "decay" in residuals(library_scheme("damped_verlet"))
