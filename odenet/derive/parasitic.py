"""Parasitic solutions: what else a step with memory carries along beside the solution.

At h = 0 the solution is in the eigenvalue 1 of the one-step matrix. A further eigenvalue on the
unit circle belongs to a component that starts with the errors of the start lines and does not die
out (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, III.3, "weakly stable").
"""

from collections.abc import Sequence

import mpmath

from odenet.derive.exact_numbers import DIGITS
from odenet.derive.power_bounded import NEAR, Matrix, Number, distinct, eigenvalues, plain
from odenet.model.expressions.expr import Slot

ORDINALS = {2: "second", 3: "third"}
NUMBERS = {2: "two", 3: "three", 4: "four"}


def parasitic(matrix: Matrix, slots: Sequence[Slot], variable: str) -> str:
    """The parasitic eigenvalues and what they mean; empty where there are none.

    Args:
        matrix: how the stored values go over in a step at h = 0.
        slots: these values.
        variable: the unknown that the output reads.
    """
    with mpmath.workdps(DIGITS):
        values = [v for v in distinct(eigenvalues(matrix)) if abs(v - 1) > NEAR]
        found = [value for value in values if abs(abs(value) - 1) < NEAR]
    if not found:
        return ""
    places = ", ".join(sorted({_show(value) for value in found}))
    several = "the eigenvalues" if len(found) > 1 else "the eigenvalue"
    cycle = _cycle(matrix, slots.index(Slot(variable, 0)))
    if cycle:
        number, nth = NUMBERS.get(cycle, str(cycle)), ORDINALS.get(cycle, f"{cycle}th")
        return (
            f"{several} {places} at h = 0: {number} interleaved networks, "
            f"every {nth} step writes to the output"
        )
    return f"{several} {places} at h = 0: errors of the start do not die out but oscillate"


def _show(value: Number) -> str:
    """-1, ±i, or the angle of a pair."""
    real, imaginary = mpmath.re(value), abs(mpmath.im(value))
    if imaginary < NEAR:
        return "-1"
    if abs(real) < NEAR:
        return "±i"
    return f"exp(±{float(mpmath.atan2(imaginary, real)):.4g} i)"


def _cycle(rows: Matrix, first: int) -> int:
    """After how many steps a value is continued, if at h = 0 a step only passes values on."""
    places: list[int] = []
    for row in rows:
        entries = list(map(plain, row))
        ones = [i for i, entry in enumerate(entries) if abs(entry - 1) < NEAR]
        if len(ones) != 1 or any(abs(x) > NEAR for i, x in enumerate(entries) if i != ones[0]):
            return 0
        places.append(ones[0])
    if sorted(places) != list(range(len(rows))):
        return 0
    place, length = places[first], 1
    while place != first:
        place, length = places[place], length + 1
    return length if length > 1 else 0
