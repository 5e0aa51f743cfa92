"""The linear test equations that fit a scheme.

The `for` line of a scheme says which unknowns each right-hand side depends on. If each depends on
its own unknown, the test equation is y' = λ y. If two unknowns depend on each other, it is y' = ω
z, z' = -ω y, in which neither depends on itself. For a second-order equation it is y'' = -ω² y. A
decay in the `for` line stays in the test equation. If both of the first two fit, the scheme is
tested on both, since a scheme may be stable on one and unstable on the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import sympy

from odenet.derive.coefficients import H
from odenet.derive.intervals import S
from odenet.model.typed.scheme import Pattern, Scheme

Coupling = Literal["coupled", "scalar"]


@dataclass(frozen=True)
class LinearTest:
    """A linear test equation for a scheme.

    Args:
        kind: "scalar" if unknowns depend on themselves, "coupled" if two depend on each other.
        text: the equation, as it is printed.
        has_real_eigenvalue: whether λ may be real, as in y' = -μ y.
        coefficients: name of a right-hand side -> the factors of its arguments, with s = hλ.
    """

    kind: Coupling
    text: str
    has_real_eigenvalue: bool
    coefficients: dict[str, tuple[sympy.Expr, ...]]


def linear_tests(scheme: Scheme) -> list[LinearTest]:
    """The test equations of a scheme, coupled ones first; empty if none fits.

    None fits a sum F(Y) + G(Y): λ could be divided among the summands in any ratio.
    """
    if scheme.is_splitting:
        return []
    tests = list(_coupled_tests(scheme))
    if all(pattern.unknown in pattern.reads for pattern in scheme.patterns):
        tests.append(_scalar_test(scheme))
    return tests


def _scalar_test(scheme: Scheme) -> LinearTest:
    """The test equation in which each unknown depends on itself."""
    orders = sorted({pattern.order for pattern in scheme.patterns})
    equations = {1: "y' = λ y", 2: "y'' = -ω² y"}
    decays = {1: " - γ y", 2: " - γ y'"} if scheme.decays else {1: "", 2: ""}
    text = " and ".join(equations[order] + decays[order] for order in orders)
    coefficients = {p.function: _factors(scheme, p, p.unknown) for p in scheme.patterns}
    return LinearTest("scalar", text, orders == [1], coefficients)


def _coupled_tests(scheme: Scheme) -> Iterator[LinearTest]:
    """One test equation for every pair of first-order unknowns that depend on each other."""
    for one, other in combinations(scheme.patterns, 2):
        mutual = other.unknown in one.reads and one.unknown in other.reads
        if not mutual or one.order != 1 or other.order != 1:
            continue
        partner = {one.function: other.unknown, other.function: one.unknown}
        patterns = scheme.patterns
        factors = {p.function: _factors(scheme, p, partner.get(p.function)) for p in patterns}
        y, z = ("y", "z") if len(scheme.patterns) == 2 else (one.unknown, other.unknown)
        first, second = (f" - γ {v}" if p.decay else "" for p, v in ((one, y), (other, z)))
        text = f"{y}' = ω {z}{first}, {z}' = -ω {y}{second}"
        yield LinearTest("coupled", text, has_real_eigenvalue=False, coefficients=factors)


def _factors(scheme: Scheme, pattern: Pattern, unknown: str | None) -> tuple[sympy.Expr, ...]:
    """For each argument of a right-hand side its factor: λ^order for `unknown`, 0 for others."""
    eigenvalue = S / H if scheme.uses_step_size else S
    zero = sympy.Integer(0)
    return tuple(eigenvalue**pattern.order if name == unknown else zero for name in pattern.reads)
