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

from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.clock import ONE, Clock, Key, NoTime, T, without_decays
from odenet.derive.coefficients import Scalars, UnknownPower
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.expressions.fold import map_children
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import Scheme, Update


def with_times(model: Model) -> Model:
    """The model with a scheme whose right-hand sides say when they are evaluated.

    Raises:
        SpecError: the scheme has no step size, or does not say it.
    """
    read = model.first_time_node
    if read is None or model.discretisation_or_none is None:
        return model
    scheme = model.scheme
    if not scheme.uses_step_size:
        message = f"`t` is n h at step n, and {scheme.name} has no step size h"
        help_ = "take a scheme with an h, or write what changes with the step as a `param`"
        raise SpecError.of("no-time", message, read.span, help_)
    if scheme.foreign_node is not None:
        message = f"the steps of {scheme.name} are not those of the equations, and have no time `t`"
        help_ = "take a scheme without `exp(…)` of fields and maps, or write a `param` for `t`"
        raise SpecError.of("no-time", message, read.span, help_)
    varying = frozenset(model.discretisation.varying)
    timed = _timed(scheme, varying)
    if timed is None:
        message, help_ = _untimed(scheme, varying)
        raise SpecError.of("no-time", message, read.span, help_)
    chosen = replace(model.discretisation, scheme=timed, starts=timed.starts)
    return replace(model, discretisation_or_none=chosen)


def _timed(scheme: Scheme, varying: frozenset[str]) -> Scheme | None:
    """With `let`s as symbols of their own, which print as the author's, or else written out."""
    lets = tuple((name, without_decays(value, scheme.decays)) for name, value in scheme.lets)
    still = replace(scheme, lets=lets)
    for expand in (False, True)[bool(varying) :]:
        try:
            return Times(scheme, Scalars(still, expand), varying).annotated()
        except NoTime:
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
    if scheme.is_splitting:
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
        """The scheme with the time in every right-hand side; raises NoTime."""
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
            NoTime: it is neither t nor a constant from it, or by another part of a right-hand
                side another.
        """
        marked = map_children(node, partial(self._marked, moving=moving))
        if not isinstance(marked, expr.Rate):
            return marked
        now, *others = [c.when(marked) for c in self.clocks if marked.function in c.moves]
        if now is None or now.get(T) != (self.scalars.field.one if moving else None):
            raise NoTime
        if any(other != now for other in others):
            raise NoTime
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
