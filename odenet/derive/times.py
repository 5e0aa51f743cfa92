"""At which time a scheme evaluates each right-hand side.

The time is one more unknown of the equations, with t' = 1 (t'' = 0 for a scheme of second order).
What a right-hand side is handed for it follows from the text, as what it is handed for a state
does: it is `t + k h` in Y[n+k], and what the lines make of that in stages and `aux` unknowns. So a
Runge-Kutta stage sees t + c h, and a kick after a drift the time after the drift. A pattern that
reads only another group's states, F(Z), finds the time in that group.

Each summand of Y' = F(Y) + G(Y) has a time of its own, which passes by that summand alone: the
unknowns s and t with (s', t') = (1, 0) + (0, 1), where F reads s and G reads t. Both are the time
at the end of a step, and the order is that of the splitting (Blanes and Moan 2001, Splitting
methods for non-autonomous Hamiltonian equations).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.coefficients import H, Scalars, UnknownPower
from odenet.derive.linear_forms import add, scale
from odenet.diagnostics import Diagnostic, SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Rate, Slot
from odenet.model.expressions.fold import combination, rebuilt
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import Scheme, Update

# The time in a value: Σ factor * unknown * t^power. The unknowns are a and b of an `aux` value,
# a + b t (`None` is the number 1).
Key = tuple[int, tuple[str, int] | None]
Value = dict[Any, FracElement] | None  # None where it is not known
Row = dict[Any, FracElement]  # unknown, or None for the number 1 -> factor
ONE: Key = (0, None)
T: Key = (1, None)


def with_times(model: Model) -> Model:
    """The model with a scheme whose right-hand sides say when they are evaluated.

    Raises:
        SpecError: the scheme has no step size, or does not say it.
    """
    read = model.time
    if read is None or model.discretisation_or_none is None:
        return model
    scheme = model.scheme
    if not scheme.uses_step_size:
        message = f"`t` is n h at step n, and {scheme.name} has no step size h"
        help_ = "take a scheme with an h, or write what changes with the step as a `param`"
        raise SpecError([Diagnostic("no-time", message, read.span, help=help_)])
    if scheme.own is not None:
        message = f"the steps of {scheme.name} are not those of the equations, and have no time `t`"
        help_ = "take a scheme without `exp(…)` of fields and maps, or write a `param` for `t`"
        raise SpecError([Diagnostic("no-time", message, read.span, help=help_)])
    varying = frozenset(model.discretisation.varying)
    timed = _timed(scheme, varying)
    if timed is None:
        message, help_ = _untimed(scheme, varying)
        raise SpecError([Diagnostic("no-time", message, read.span, help=help_)])
    chosen = replace(model.discretisation, scheme=timed, starts=timed.starts)
    return replace(model, discretisation_or_none=chosen)


def _timed(scheme: Scheme, varying: frozenset[str]) -> Scheme | None:
    """With `let`s as symbols of their own, which print as the author's, or else written out."""
    lets = tuple((name, _without(value, scheme.decays)) for name, value in scheme.lets)
    still = replace(scheme, lets=lets)
    for expand in (False, True)[bool(varying) :]:
        try:
            return Times(scheme, Scalars(still, expand), varying).annotated()
        except _NoTime:
            continue
        except (SpecError, UnknownPower):
            if not scheme.decays:
                raise
            continue  # without its decay it divides by zero
    return None


def _untimed(scheme: Scheme, varying: frozenset[str]) -> tuple[str, str]:
    """Why a scheme has no times, and what to write."""
    if varying and _timed(scheme, frozenset()) is not None:
        return (
            f"the times `t` of {scheme.name} are known where all steps are alike, and these differ",
            "write one number for all steps, or take a scheme that reads `[n]` alone",
        )
    if scheme.splits:
        return (
            f"the lines of {scheme.name} leave open when parts of a right-hand side are evaluated",
            "each part has its own time: let it come to one step h, and read its own unknown",
        )
    if scheme.decays:
        return (
            f"without a decay the steps of {scheme.name} do not follow t' = 1, and `t` has none",
            "leave the decay in the right-hand side, with a scheme for Y' = F(Y)",
        )
    return (
        f"the steps of {scheme.name} do not follow t' = 1, and have no time `t`",
        "take a scheme with an order of accuracy",
    )


def _without(node: Node, decays: tuple[str, ...]) -> Node:
    """A number with 0 for its decays."""
    if isinstance(node, expr.Constant) and node.name in decays:
        return expr.Number(Fraction(0), "0", span=node.span)
    return rebuilt(node, partial(_without, decays=decays))


class _NoTime(Exception):
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
        slots = [
            Slot(name, k) for name in self.scheme.equations for k in (*self.scheme.history(name), 1)
        ]
        return {
            slot: None if now and self._lost(slot) else self._at(now, slot.offset) for slot in slots
        }

    def _at(self, now: dict[Key, FracElement], offset: int) -> Value:
        return add(now, {ONE: self.one}, self.h * offset)

    def _lost(self, slot: Slot) -> bool:
        """Whether a value is from a step of another size."""
        return slot.offset < 0 and "h" in self.varying

    def _aux(self, start: Mapping[Node, Value]) -> dict[Node, Value]:
        """The time in `aux` unknowns: the a + b t with which every line keeps to the time.

        What that leaves open is as it starts. It is not known where no a and b do, nor where they
        are others in the next step.

        Raises:
            _NoTime: a part of a right-hand side that is taken apart does not keep to the time.
        """
        unknown: dict[Node, Value] = {}
        for aux in self.scheme.aux:
            for k in (*self.scheme.history(aux), 1):
                a, b = (aux, 0), (aux, 1)
                line = {(0, a): self.one, (1, b): self.one}
                slot = Slot(aux, k)
                value = add(line, {(0, b): self.one}, self.h * k)
                unknown[slot] = None if self._lost(slot) else value
        wanted = {**self._states({T: self.one}), **unknown}
        found: dict[Node, Value] = {s: v for s, v in wanted.items() if _held(s)}
        for update in self.scheme.updates:
            found[update.target] = self._read(update.value, found)
        errors = [self._less(found[s], wanted[s]) for s in wanted if not _held(s)]
        solved = _solved([row for error in errors for row in _powers(error)])
        held = {slot: value for slot, value in unknown.items() if _held(slot)}
        if solved is None and self.scheme.splits:
            raise _NoTime
        if solved is None or any(map(self._moves, solved.values())):
            return dict.fromkeys(held)
        free: dict[Any, Row] = {
            (aux, i): {} for aux in self.scheme.aux for i in (0, 1) if (aux, i) not in solved
        }
        for aux, i in free:
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
                for factor, part in combination(node, self._number):
                    value = self._read(part, values)
                    if value is None:
                        return None
                    total = add(total, value, factor)
                return total
            case _:
                return None  # something learned, in a start line of the file

    def _number(self, node: Node) -> FracElement:
        """A factor; a decay beside F is one of the states, and the time has none."""
        return self.scalars.read(_without(node, self.scheme.decays))


@dataclass
class Times:
    """Writes into a scheme's text when each right-hand side is evaluated.

    Args:
        scheme: its text.
        scalars: the field of its numbers.
        varying: the constants that differ from step to step.
    """

    scheme: Scheme
    scalars: Scalars
    varying: frozenset[str]

    def __post_init__(self) -> None:
        choices = product(*self.scheme.equations.values())
        self.clocks = [
            Clock(self.scheme, self.scalars, frozenset(p.function for p in one), self.varying)
            for one in choices
        ]

    def annotated(self) -> Scheme:
        """The scheme with the time in every right-hand side; raises _NoTime."""
        starts: list[tuple[Slot, Node]] = []
        for slot, value in self.scheme.starts:
            starts.append((slot, self._marked(value, moving=False)))
            self._follow(slot, value)
        for clock in self.clocks:
            clock.step()
        updates: list[Update] = []
        for update in self.scheme.updates:
            updates.append(replace(update, value=self._marked(update.value, moving=True)))
            self._follow(update.target, update.value)
        return replace(self.scheme, starts=tuple(starts), updates=tuple(updates))

    def _follow(self, target: Node, value: Node) -> None:
        for clock in self.clocks:
            clock.follow(target, value)

    def _marked(self, node: Node, moving: bool) -> Node:
        """A formula with the time in its right-hand sides, which is that of the start, or moves.

        Raises:
            _NoTime: it is neither t nor a constant from it, or by another part of a right-hand
                side another.
        """
        marked = rebuilt(node, partial(self._marked, moving=moving))
        if not isinstance(marked, expr.Rate):
            return marked
        now, *others = [c.when(marked) for c in self.clocks if marked.function in c.moves]
        if now is None or now.get(T) != (self.scalars.field.one if moving else None):
            raise _NoTime
        if any(other != now for other in others):
            raise _NoTime
        return replace(marked, time=self._shown(now))

    def _shown(self, now: dict[Key, FracElement]) -> Node:
        """`t + h/2`; in a start line a number."""
        since = to_expr.scalar(
            self.scalars.show(now[ONE] if ONE in now else self.scalars.field.zero)
        )
        if T not in now:
            return since
        if ONE not in now:
            return expr.Time()
        terms = since.terms if isinstance(since, expr.Sum) else ((1, since),)
        return expr.Sum(((1, expr.Time()), *terms))


def _held(node: Node) -> bool:
    """Whether a value is one from before the step."""
    return isinstance(node, Slot) and node.offset < 1


def _powers(error: dict[Key, FracElement]) -> Iterable[Row]:
    """The equations that make a value 0 at every time: unknown, or None for 1, -> factor."""
    for power in (0, 1):
        row = {unknown: factor for (own, unknown), factor in error.items() if own == power}
        if row:
            yield row


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
