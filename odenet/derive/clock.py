"""The time in the values of a scheme, line by line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

from sympy.polys.fields import FracElement

from odenet.derive.coefficients import H, Scalars
from odenet.derive.linear_forms import add, scale
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Rate, Slot
from odenet.model.expressions.fold import linear_terms, map_children
from odenet.model.typed.scheme import Scheme

# The time in a value: Σ factor * unknown * t^power. The unknowns are a and b of an `aux` value,
# a + b t (`None` is the number 1).
Key = tuple[int, tuple[str, int] | None]
Value = dict[Any, FracElement] | None  # None where it is not known
Row = dict[Any, FracElement]  # unknown, or None for the number 1 -> factor
ONE: Key = (0, None)
T: Key = (1, None)


def without_decays(node: Node, decays: tuple[str, ...]) -> Node:
    """A number with 0 for its decays."""
    if isinstance(node, expr.Constant) and node.name in decays:
        return expr.Number(Fraction(0), "0", span=node.span)
    return map_children(node, partial(without_decays, decays=decays))


class NoTime(Exception):
    """A right-hand side is evaluated at a time that is not t and a multiple of h."""


@dataclass
class Clock:
    """What a scheme's text makes of the time, line by line.

    Args:
        scheme: its text.
        scalars: the field of its numbers.
        moves: the right-hand sides by which the time passes, one of each equation.
        varying: the constants that differ from step to step.
    """

    scheme: Scheme
    scalars: Scalars
    moves: frozenset[str]
    varying: frozenset[str]
    values: dict[Node, Value] = field(init=False)

    def __post_init__(self) -> None:
        self.patterns = {p.function: p for p in self.scheme.patterns}
        self.one = self.scalars.field.one
        self.h = self.scalars.symbol(H)
        self.values = self._states({})

    def follow(self, target: Node, value: Node) -> None:
        """Goes on by a line; a state after the step has its own time, which it keeps."""
        self.values.setdefault(target, self._read(value, self.values))

    def step(self) -> None:
        """Goes on from the `start` lines to a step at any time t."""
        self.values = {**self._states({T: self.one}), **self._aux(self.values)}

    def when(self, rate: Rate) -> Value:
        """The time that a right-hand side is handed, in its own unknown where it reads that."""
        pattern = self.patterns[rate.function]
        own = pattern.reads.index(pattern.variable) if pattern.variable in pattern.reads else 0
        return self._read(rate.arguments[own], self.values)

    def _states(self, now: dict[Key, FracElement]) -> dict[Node, Value]:
        """The time in the values of states, those after the step with them."""
        slots = self._slots(self.scheme.equations)
        times = {slot: add(now, {ONE: self.one}, self.h * slot.offset) for slot in slots}
        return {slot: None if now and self._lost(slot) else at for slot, at in times.items()}

    def _slots(self, unknowns: Iterable[str]) -> list[Slot]:
        """The stored values of some unknowns, and those after the step."""
        return [Slot(name, k) for name in unknowns for k in (*self.scheme.stored_offsets(name), 1)]

    def _lost(self, slot: Slot) -> bool:
        """Whether a value is from a step of another size."""
        return slot.offset < 0 and "h" in self.varying

    def _aux(self, start: Mapping[Node, Value]) -> dict[Node, Value]:
        """The time in `aux` unknowns: the a + b t with which every line keeps to the time.

        What that leaves open is as it starts. It is not known where no a and b do, nor where they
        are others in the next step.

        Raises:
            NoTime: a part of a right-hand side that is taken apart does not keep to the time.
        """
        unknown: dict[Node, Value] = {}
        for slot in self._slots(self.scheme.aux):
            a, b = (slot.name, 0), (slot.name, 1)
            line = {(0, a): self.one, (1, b): self.one}
            value = add(line, {(0, b): self.one}, self.h * slot.offset)
            unknown[slot] = None if self._lost(slot) else value
        wanted = {**self._states({T: self.one}), **unknown}
        found: dict[Node, Value] = {s: v for s, v in wanted.items() if _held(s)}
        for update in self.scheme.updates:
            found[update.target] = self._read(update.value, found)
        errors = [self._less(found[s], wanted[s]) for s in wanted if not _held(s)]
        solved = _solved([row for error in errors for row in _powers(error)])
        held = {slot: value for slot, value in unknown.items() if _held(slot)}
        if solved is None and self.scheme.is_splitting:
            raise NoTime
        if solved is None or any(map(self._moves, solved.values())):
            return dict.fromkeys(held)
        free: dict[Any, Row] = {}
        for aux, i in product(self.scheme.aux, (0, 1)):
            if (aux, i) not in solved:
                begins = start.get(Slot(aux, 0)) or {}
                free[aux, i] = {None: begins[ONE]} if i == 0 and ONE in begins else {}
        solved = {**free, **{u: _put_in(form, free) for u, form in solved.items()}}
        at: dict[Any, Row] = {
            (power, unknown): {(power, None): form[None]} if form else {}
            for unknown, form in solved.items()
            for power in (0, 1)
        }
        return {slot: None if value is None else _put_in(value, at) for slot, value in held.items()}

    def _moves(self, row: Row) -> bool:
        """Whether a number differs from step to step."""
        shown = map(self.scalars.show, row.values())
        return not self.varying.isdisjoint(str(s) for number in shown for s in number.free_symbols)

    def _less(self, value: Value, other: Value) -> dict[Key, FracElement]:
        """The difference; nothing where a value is not known."""
        return {} if value is None or other is None else add(value, other, -1)

    def _read(self, node: Node, values: Mapping[Node, Value]) -> Value:
        """The time in a value: what its formula makes of that in the values it reads."""
        match node:
            case expr.Slot() | expr.Stage():
                return values.get(node)
            case expr.Rate():
                first = self.patterns[node.function].order == 1  # t' = 1, but t'' = 0
                return {ONE: self.one} if first and node.function in self.moves else {}
            case expr.Zero():
                return {}
            case expr.Sum() | expr.Product() | expr.Quotient():
                total: dict[Key, FracElement] = {}
                for factor, part in linear_terms(node, self._number):
                    value = self._read(part, values)
                    if value is None:
                        return None
                    total = add(total, value, factor)
                return total
            case _:
                return None  # something learned, in a start line of the file

    def _number(self, node: Node) -> FracElement:
        """A factor; a decay beside F is one of the states, and the time has none."""
        return self.scalars.read(without_decays(node, self.scheme.decays))


def _held(node: Node) -> bool:
    """Whether a value is one from before the step."""
    return isinstance(node, Slot) and node.offset < 1


def _powers(error: dict[Key, FracElement]) -> Iterable[Row]:
    """The equations that make a value 0 at every time: unknown, or None for 1, -> factor."""
    rows = ({u: f for (own, u), f in error.items() if own == power} for power in (0, 1))
    yield from filter(None, rows)


def _solved(rows: list[Row]) -> dict[Any, Row] | None:
    """The unknowns that equations Σ factor * unknown = 0 determine, by those they do not.

    None if the equations contradict each other.
    """
    solved: dict[Any, Row] = {}
    while rows:
        row, *rows = rows
        pivot = next((unknown for unknown in row if unknown is not None), None)
        if pivot is None:
            return None
        value = scale({u: f for u, f in row.items() if u != pivot}, -1 / row[pivot])
        rows = [left for other in rows if (left := _put_in(other, {pivot: value}))]
        solved = {u: _put_in(form, {pivot: value}) for u, form in solved.items()}
        solved[pivot] = value
    return solved


def _put_in(form: Mapping[Any, FracElement], known: Mapping[Any, Row]) -> Row:
    """A sum with other sums in place of some of its unknowns."""
    total: Row = {}
    for unknown, factor in form.items():
        total = add(total, known.get(unknown, {unknown: factor / factor}), factor)
    return total
