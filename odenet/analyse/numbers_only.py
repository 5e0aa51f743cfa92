"""Linear equations with numbers only: whether a scheme is stable on them, decided and not bounded.

RevNet's growth (Chang et al. 2018, AAAI, Eq. 21) is the case Y' = β Z, Z' = α Y under `verlet`: the
step has the characteristic polynomial ξ² - (2 + αβ h²) ξ + 1, and no eigenvalue exceeds 1 exactly
if -4 ≤ αβ h² ≤ 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mpmath

from odenet.analyse.read_formulas import FormulaReader, OutsideTheorems, reads_state
from odenet.derive.exact_numbers import DIGITS, as_mpf, constants
from odenet.derive.power_bounded import NEAR, bounded_powers, spectral_radius
from odenet.diagnostics.effort import MOST_PRODUCTS, TooMuch, at_most
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, State
from odenet.model.expressions.fold import arithmetic, combination
from odenet.model.typed.program import Model

Row = dict[tuple[Slot, int], Any]  # coefficients of the stored values, component by component
Values = list[Row]


@dataclass(frozen=True)
class NumbersOnly:
    """The one-step matrix of a scheme on equations that have numbers only.

    Args:
        radius: the largest absolute value of an eigenvalue.
        stable: whether that is at most 1; decided to 20 digits.
        bounded: whether all powers of the matrix are bounded.
    """

    radius: float
    stable: bool
    bounded: bool

    def __str__(self) -> str:
        if self.bounded:
            return "with these numbers steps are stable: powers of the step's matrix are bounded"
        if self.stable:
            return (
                "with these numbers no eigenvalue of a step exceeds 1, but one of absolute value 1 "
                "is defective: values grow with a power of the depth"
            )
        return f"with these numbers steps grow: an eigenvalue of absolute value {self.radius:.6g}"


def numbers_only(model: Model) -> NumbersOnly | None:
    """Whether the file's scheme is stable on its own equations.

    Args:
        model: the typed program.

    Returns:
        None where the equations have anything but numbers and states, or are too long to be
        multiplied out, the step size is not known, or unknowns of the scheme's own have no definite
        place among groups of unequal size.
    """
    chosen = model.discretisation
    sizes = {len(states) for states in chosen.groups.values()}
    unknown_size = bool(model.scheme.aux) and len(sizes) > 1
    if (
        chosen.varying
        or unknown_size
        or model.scheme.own is not None
        or (model.scheme.uses_step_size and chosen.h is None)
    ):
        return None
    try:
        with at_most(MOST_PRODUCTS):
            rates = _coefficients(model)
    except TooMuch:
        return None
    if rates is None:
        return None
    with mpmath.workdps(DIGITS):
        matrix = _Stepper(model, rates).matrix()
        radius = spectral_radius(matrix)
        return NumbersOnly(float(radius), bool(radius <= 1 + NEAR), bounded_powers(matrix))


def _coefficients(model: Model) -> dict[tuple[State, str], dict[State, Any]] | None:
    """Right-hand side -> the number in front of each state; None if there is more than that."""
    reader = FormulaReader(model)
    found: dict[tuple[State, str], dict[State, Any]] = {}
    for key, rate in model.rates.items():
        try:
            form = reader.form(rate)
        except OutsideTheorems:
            return None
        found[key] = {}
        for leaf, operator in form.items():
            scalar = operator.scalar
            if not isinstance(leaf, State) and not reads_state(leaf):
                continue  # a forcing moves the solution, not its stability
            known = scalar.at(reader.values).terms if scalar is not None else (((("?", 1),), 1),)
            if not isinstance(leaf, State) or any(monomial for monomial, _ in known):
                return None
            found[key][leaf] = sum(as_mpf(number) for _, number in known)
    return found


class _Stepper:
    """Runs the lines of a scheme on rows of numbers."""

    def __init__(self, model: Model, rates: Mapping[tuple[State, str], Mapping[State, Any]]):
        chosen = model.discretisation
        self.scheme, self.groups, self.rates = model.scheme, chosen.groups, rates
        given = dict(chosen.constants) | ({} if chosen.h is None else {"h": chosen.h})
        self.numbers = constants(model.scheme, given)
        self.patterns = {p.function: p for p in model.scheme.patterns}

    def matrix(self) -> list[list[Any]]:
        """One step, on the components of all stored values."""
        one = mpmath.mpf(1)
        places = [(s, i) for s in self.scheme.slots for i in range(self._size(s.name))]
        values: dict[Node, Values] = {
            s: [{(s, i): one} for i in range(self._size(s.name))] for s in self.scheme.slots
        }
        for update in self.scheme.updates:
            values[update.target] = self._read(update.value, values)
        rows = [
            (values[Slot(s.name, s.offset + 1)] or [{} for _ in range(i + 1)])[i] for s, i in places
        ]
        return [[row.get(place, mpmath.mpf(0)) for place in places] for row in rows]

    def _size(self, name: str) -> int:
        states = self.groups.get(name) or next(iter(self.groups.values()))
        return len(states)

    def _read(self, node: Node, values: Mapping[Node, Values]) -> Values:
        """A formula; the zero field is an empty list."""
        match node:
            case expr.Slot() | expr.Stage():
                return values[node]
            case expr.Sum() | expr.Product() | expr.Quotient():
                total: Values = []
                for factor, part in combination(node, self._number):
                    total = _plus(total, self._read(part, values), factor)
                return total
            case expr.Rate():
                return self._rate(node, values)
            case _:
                return []

    def _rate(self, node: expr.Rate, values: Mapping[Node, Values]) -> Values:
        pattern = self.patterns[node.function]
        read = {
            state: component
            for name, argument in zip(pattern.reads, node.arguments, strict=True)
            for state, component in zip(
                self.groups[name], self._read(argument, values) or [{} for _ in self.groups[name]],
                strict=True,
            )
        }  # fmt: skip
        found: Values = []
        for state in self.groups[pattern.variable]:
            row: Values = [{}]
            for other, number in self.rates[state, node.function].items():
                row = _plus(row, [read[other]], number)
            found += row
        return found

    def _number(self, node: Node) -> Any:
        match node:
            case expr.Number():
                return as_mpf(node.value)
            case expr.Constant():
                return as_mpf(self.numbers[node.name])
            case expr.Exp():
                return mpmath.exp(self._number(node.exponent))
            case _:
                return arithmetic(node, self._number)


def _plus(one: Values, other: Values, factor: Any) -> Values:
    if not one:
        return [{key: factor * value for key, value in row.items()} for row in other]
    total = [dict(row) for row in one]
    for row, added in zip(total, other, strict=False):
        for key, value in added.items():
            row[key] = row.get(key, mpmath.mpf(0)) + factor * value
    return total
