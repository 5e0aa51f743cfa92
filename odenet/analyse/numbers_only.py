"""Linear equations with numbers only: whether a scheme is stable on them, decided and not bounded.

RevNet's growth (Chang et al. 2018, AAAI, Eq. 21) is the case Y' = β Z, Z' = α Y under `verlet`: the
step has the characteristic polynomial ξ² - (2 + αβ h²) ξ + 1, and no eigenvalue exceeds 1 exactly
if -4 ≤ αβ h² ≤ 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath

from odenet.analyse.laurent import rational
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
        or model.scheme.foreign_node is not None
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
            number = None if scalar is None else rational(scalar.at(reader.values))
            if number is None or not isinstance(leaf, State):
                return None
            found[key][leaf] = as_mpf(number)
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
                terms = [
                    (f, self._read(part, values)) for f, part in combination(node, self._number)
                ]
                count = max((len(rows) for _, rows in terms), default=0)
                return [
                    _combined((f, rows[i]) for f, rows in terms if i < len(rows))
                    for i in range(count)
                ]
            case expr.Rate():
                return self._rate(node, values)
            case _:
                return []

    def _rate(self, node: expr.Rate, values: Mapping[Node, Values]) -> Values:
        pattern = self.patterns[node.function]
        read: dict[State, Row] = {}
        for name, argument in zip(pattern.reads, node.arguments, strict=True):
            rows = self._read(argument, values) or [{} for _ in self.groups[name]]
            read |= zip(self.groups[name], rows, strict=True)
        return [
            _combined((n, read[other]) for other, n in self.rates[state, node.function].items())
            for state in self.groups[pattern.variable]
        ]

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


def _combined(terms: Iterable[tuple[Any, Row]]) -> Row:
    """The sum of rows, each times a number."""
    total: Row = {}
    for factor, row in terms:
        for key, value in row.items():
            total[key] = total.get(key, mpmath.mpf(0)) + factor * value
    return total
