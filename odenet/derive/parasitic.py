"""Parasitic solutions of multistep schemes.

At h = 0 the solution belongs to the eigenvalue 1 of the one-step matrix. Another eigenvalue on the
unit circle belongs to a component that the errors of the start lines excite and that does not decay
(Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, III.3, "weakly stable").
"""

from collections.abc import Sequence

import mpmath

from odenet.derive.exact_numbers import DIGITS
from odenet.derive.power_bounded import TOLERANCE, Matrix, Number, distinct, eigenvalues, to_mpmath
from odenet.model.expressions.expr import Slot

ORDINALS = {2: "second", 3: "third"}
NUMERALS = {2: "two", 3: "three", 4: "four"}


def parasitic_text(matrix: Matrix, slots: Sequence[Slot], variable: str) -> str:
    """The parasitic eigenvalues and what they mean, in words; empty if there are none.

    Args:
        matrix: the matrix of a step at h = 0, which maps stored values to stored values.
        slots: the stored values, in the order of rows and columns.
        variable: the unknown that is the network's output.
    """
    with mpmath.workdps(DIGITS):
        values = [v for v in distinct(eigenvalues(matrix)) if abs(v - 1) > TOLERANCE]
        on_circle = [value for value in values if abs(abs(value) - 1) < TOLERANCE]
    if not on_circle:
        return ""
    texts = ", ".join(sorted({_eigenvalue_text(value) for value in on_circle}))
    subject = "the eigenvalues" if len(on_circle) > 1 else "the eigenvalue"
    cycle = _cycle_length(matrix, slots.index(Slot(variable, 0)))
    if cycle:
        number, nth = NUMERALS.get(cycle, str(cycle)), ORDINALS.get(cycle, f"{cycle}th")
        return (
            f"{subject} {texts} at h = 0: {number} interleaved networks, "
            f"every {nth} step writes to the output"
        )
    return f"{subject} {texts} at h = 0: errors of the start do not die out but oscillate"


def _eigenvalue_text(value: Number) -> str:
    """An eigenvalue on the unit circle, or a conjugate pair: `-1`, `±i`, `exp(±1.2 i)`."""
    real, imaginary = mpmath.re(value), abs(mpmath.im(value))
    if imaginary < TOLERANCE:
        return "-1"
    if abs(real) < TOLERANCE:
        return "±i"
    return f"exp(±{float(mpmath.atan2(imaginary, real)):.4g} i)"


def _cycle_length(rows: Matrix, first: int) -> int:
    """If at h = 0 a step only permutes stored values: after how many steps the first one returns.

    Otherwise, and if it stays where it is, 0.
    """
    sources: list[int] = []
    for row in rows:
        entries = list(map(to_mpmath, row))
        ones = [i for i, entry in enumerate(entries) if abs(entry - 1) < TOLERANCE]
        if len(ones) != 1 or any(abs(x) > TOLERANCE for i, x in enumerate(entries) if i != ones[0]):
            return 0
        sources.append(ones[0])
    if sorted(sources) != list(range(len(rows))):
        return 0
    position, length = sources[first], 1
    while position != first:
        position, length = sources[position], length + 1
    return length if length > 1 else 0
