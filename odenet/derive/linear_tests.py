"""The linear equations on which a scheme is tested, as its `for` line implies them.

A right-hand side that reads its own unknown is tested on y' = λ y; two unknowns that read each
other are tested on y' = ω z, z' = -ω y, where neither feels itself; second-order equations are
tested on y'' = -ω² y. A decay in the `for` line stays in the equation. A scheme whose right-hand
sides do both is tested on both, and a statement about one of these equations says nothing of the
other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import sympy

from odenet.derive.coefficients import H
from odenet.derive.intervals import S
from odenet.model.typed.scheme import Pattern, Scheme

Coupling = Literal["coupled", "own"]


@dataclass(frozen=True)
class LinearTest:
    """A linear equation in λ that a scheme takes.

    Args:
        kind: whether unknowns read themselves, or two of them each other.
        text: the equation.
        real: whether it has a real eigenvalue to test, as y' = -μ y.
        rates: function of the pattern -> the coefficient of each of its arguments, with s = hλ.
    """

    kind: Coupling
    text: str
    real: bool
    rates: dict[str, tuple[sympy.Expr, ...]]


def linear_tests(scheme: Scheme) -> list[LinearTest]:
    """The test equations of a scheme, coupled ones first; empty where none fits.

    There is none for a sum, F(Y) + G(Y): no one number says how λ is divided among its summands.
    """
    if scheme.is_splitting:
        return []
    found = list(_coupled(scheme))
    if all(pattern.variable in pattern.reads for pattern in scheme.patterns):
        found.append(_own(scheme))
    return found


def _own(scheme: Scheme) -> LinearTest:
    orders = sorted({pattern.order for pattern in scheme.patterns})
    decay = " - γ y" if scheme.decays else ""
    text = " and ".join(
        f"y' = λ y{decay}" if order == 1 else f"y'' = -ω² y{decay and decay + chr(39)}"
        for order in orders
    )
    rates = {p.function: _reading(scheme, p, p.variable) for p in scheme.patterns}
    return LinearTest("own", text, orders == [1], rates)


def _coupled(scheme: Scheme) -> Iterator[LinearTest]:
    """One test for every two unknowns of first order that read each other."""
    for one, other in combinations(scheme.patterns, 2):
        mutual = other.variable in one.reads and one.variable in other.reads
        if not mutual or one.order != 1 or other.order != 1:
            continue
        partner = {one.function: other.variable, other.function: one.variable}
        rates = {p.function: _reading(scheme, p, partner.get(p.function)) for p in scheme.patterns}
        y, z = ("y", "z") if len(scheme.patterns) == 2 else (one.variable, other.variable)
        first, second = (f" - γ {v}" if p.decay else "" for p, v in ((one, y), (other, z)))
        text = f"{y}' = ω {z}{first}, {z}' = -ω {y}{second}"
        yield LinearTest("coupled", text, False, rates)


def _reading(scheme: Scheme, pattern: Pattern, read: str | None) -> tuple[sympy.Expr, ...]:
    """λ^order on one of the unknowns that a right-hand side reads, nothing on the others."""
    slope = S / H if scheme.uses_step_size else S
    zero = sympy.Integer(0)
    return tuple(slope**pattern.order if name == read else zero for name in pattern.reads)
