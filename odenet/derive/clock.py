"""The time to which each value in a step of a scheme belongs, as a linear form in t and h.

It is found by solving t' = 1 with the lines of the scheme, like any other equation: for the stage
Z = Y[n] + h/2 F(Y[n]) it is t + h/2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

from sympy.polys.fields import FracElement

from odenet.derive.coefficients import CoefficientField, H
from odenet.derive.linear_forms import add, scale
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Rate, Slot
from odenet.model.expressions.fold import linear_terms, map_children
from odenet.model.typed.scheme import Scheme

# The time of a value is Σ factor * unknown * t^power, with (power, unknown) as keys. For an `aux`
# unknown V, one of the scheme's own, it is a + b t with unknown a = ("V", 0) and b = ("V", 1). The
# unknown None is the number 1.
Monomial = tuple[int, tuple[str, int] | None]
TimeForm = dict[Any, FracElement] | None  # None if the time is not known
LinearForm = dict[Any, FracElement]  # unknown, or None for the number 1 -> factor
ONE: Monomial = (0, None)
T: Monomial = (1, None)  # the monomial t


def without_decays(node: Node, decays: tuple[str, ...]) -> Node:
    """A scalar expression with 0 in place of decay rates."""
    if isinstance(node, expr.Constant) and node.name in decays:
        return expr.Number(Fraction(0), "0", span=node.span)
    return map_children(node, partial(without_decays, decays=decays))


class NoTime(Exception):
    """A right-hand side is not evaluated at a time t + c h with a constant c."""


@dataclass
class Clock:
    """Follows the time through the lines of a scheme.

    Args:
        scheme: the scheme, as parsed.
        coeff_field: the field of its coefficients.
        advancing: the right-hand sides for which t' = 1, one in each equation; t' = 0 for others.
        varying: the constants that differ from step to step.

    Attributes:
        times: slot or stage -> its time, for the values computed so far.
    """

    scheme: Scheme
    coeff_field: CoefficientField
    advancing: frozenset[str]
    varying: frozenset[str]
    times: dict[Node, TimeForm] = field(init=False)

    def __post_init__(self) -> None:
        self.patterns = {p.function: p for p in self.scheme.patterns}
        self.one = self.coeff_field.sympy_field.one
        self.h = self.coeff_field.element(H)
        self.times = self._pattern_times({})

    def read_line(self, target: Node, value: Node) -> None:
        """Compute the time of a line's value, unless that of the target is known already.

        It is known if the target belongs to an unknown of the equations.
        """
        self.times.setdefault(target, self._time_in(value, self.times))

    def begin_step(self) -> None:
        """Go on from the `start` lines to the lines of a step, at an arbitrary time t."""
        self.times = {**self._pattern_times({T: self.one}), **self._aux_times(self.times)}

    def time_of(self, rate: Rate) -> TimeForm:
        """The time at which a right-hand side is evaluated: that of the values it reads."""
        pattern = self.patterns[rate.function]
        argument = pattern.reads.index(pattern.unknown) if pattern.unknown in pattern.reads else 0
        return self._time_in(rate.arguments[argument], self.times)

    def _pattern_times(self, time_at_n: dict[Monomial, FracElement]) -> dict[Node, TimeForm]:
        """The times of the equations' unknowns before and after the step.

        `time_at_n` is the time of step n: t in a step, 0 (empty) in the start lines.
        """
        slots = self._slots(self.scheme.equations)
        times = {slot: add(time_at_n, {ONE: self.one}, self.h * slot.offset) for slot in slots}
        return {s: None if time_at_n and self._has_other_h(s) else at for s, at in times.items()}

    def _slots(self, unknowns: Iterable[str]) -> list[Slot]:
        """The slots of some unknowns, before and after the step."""
        return [Slot(name, k) for name in unknowns for k in (*self.scheme.stored_offsets(name), 1)]

    def _has_other_h(self, slot: Slot) -> bool:
        """Whether a stored value belongs to a step with another h, so that its time is unknown."""
        return slot.offset < 0 and "h" in self.varying

    def _aux_times(self, start_times: Mapping[Node, TimeForm]) -> dict[Node, TimeForm]:
        """The times a + b t of `aux` unknowns, solved for.

        The equations say that the lines of a step give every value the time it should have, h later
        than before. Unknowns that the equations leave open keep the time of the `start` line. Times
        are None if there is no solution, or if it differs from step to step.

        Raises:
            NoTime: there is no solution, and the right-hand sides are split into summands.
        """
        ansatz: dict[Node, TimeForm] = {}
        for slot in self._slots(self.scheme.aux):
            a, b = (slot.name, 0), (slot.name, 1)
            a_plus_bt = {(0, a): self.one, (1, b): self.one}
            value = add(a_plus_bt, {(0, b): self.one}, self.h * slot.offset)
            ansatz[slot] = None if self._has_other_h(slot) else value
        expected = {**self._pattern_times({T: self.one}), **ansatz}
        computed: dict[Node, TimeForm] = {s: v for s, v in expected.items() if _is_stored(s)}
        for update in self.scheme.updates:
            computed[update.target] = self._time_in(update.value, computed)
        errors = [self._difference(computed[s], expected[s]) for s in expected if not _is_stored(s)]
        solution = _solve([row for error in errors for row in _equations(error)])
        stored = {slot: value for slot, value in ansatz.items() if _is_stored(slot)}
        if solution is None and self.scheme.is_splitting:
            raise NoTime
        if solution is None or any(map(self._varies, solution.values())):
            return dict.fromkeys(stored)
        defaults: dict[Any, LinearForm] = {}
        for aux, i in product(self.scheme.aux, (0, 1)):
            if (aux, i) not in solution:
                start_time = start_times.get(Slot(aux, 0)) or {}
                defaults[aux, i] = {None: start_time[ONE]} if i == 0 and ONE in start_time else {}
        solution = {**defaults, **{u: _substitute(form, defaults) for u, form in solution.items()}}
        substitution: dict[Any, LinearForm] = {
            (power, unknown): {(power, None): form[None]} if form else {}
            for unknown, form in solution.items()
            for power in (0, 1)
        }
        return {s: None if v is None else _substitute(v, substitution) for s, v in stored.items()}

    def _varies(self, form: LinearForm) -> bool:
        """Whether a linear form has a coefficient that differs from step to step."""
        expressions = map(self.coeff_field.to_sympy, form.values())
        return not self.varying.isdisjoint(str(s) for x in expressions for s in x.free_symbols)

    def _difference(self, value: TimeForm, other: TimeForm) -> dict[Monomial, FracElement]:
        """The difference of two times; zero, the empty form, if one of them is not known."""
        return {} if value is None or other is None else add(value, other, -1)

    def _time_in(self, node: Node, values: Mapping[Node, TimeForm]) -> TimeForm:
        """The time of an expression, from the times of the values in it."""
        match node:
            case expr.Slot() | expr.Stage():
                return values.get(node)
            case expr.Rate():
                is_first_order = self.patterns[node.function].order == 1  # t' = 1, but t'' = 0
                return {ONE: self.one} if is_first_order and node.function in self.advancing else {}
            case expr.Zero():
                return {}
            case expr.Sum() | expr.Product() | expr.Quotient():
                total: dict[Monomial, FracElement] = {}
                for factor, term in linear_terms(node, self._factor):
                    value = self._time_in(term, values)
                    if value is None:
                        return None
                    total = add(total, value, factor)
                return total
            case _:
                return None  # a learned parameter in a start line of the file

    def _factor(self, node: Node) -> FracElement:
        """A coefficient, without decay: the unknowns decay, and the time does not."""
        return self.coeff_field.read(without_decays(node, self.scheme.decays))


def _is_stored(node: Node) -> bool:
    """Whether a value is stored before the step, and not computed in it."""
    return isinstance(node, Slot) and node.offset < 1


def _equations(error: dict[Monomial, FracElement]) -> Iterable[LinearForm]:
    """The equations that make a form 0 at every t, one for each power of t."""
    rows = ({u: f for (degree, u), f in error.items() if degree == power} for power in (0, 1))
    yield from filter(None, rows)


def _solve(rows: list[LinearForm]) -> dict[Any, LinearForm] | None:
    """Solve equations Σ factor * unknown = 0.

    Returns:
        Determined unknown -> a linear form in the others; None if the equations have no solution.
    """
    solution: dict[Any, LinearForm] = {}
    while rows:
        row, *rows = rows
        pivot = next((unknown for unknown in row if unknown is not None), None)
        if pivot is None:
            return None
        value = scale({u: f for u, f in row.items() if u != pivot}, -1 / row[pivot])
        rows = [rest for other in rows if (rest := _substitute(other, {pivot: value}))]
        solution = {u: _substitute(form, {pivot: value}) for u, form in solution.items()}
        solution[pivot] = value
    return solution


def _substitute(form: Mapping[Any, FracElement], known: Mapping[Any, LinearForm]) -> LinearForm:
    """A linear form with other linear forms in place of some of its unknowns."""
    total: LinearForm = {}
    for unknown, factor in form.items():
        # factor / factor is the 1 of the field
        total = add(total, known.get(unknown, {unknown: factor / factor}), factor)
    return total
