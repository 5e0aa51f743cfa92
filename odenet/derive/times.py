"""The times at which a scheme evaluates its right-hand sides, written into its text.

The time is treated as one more unknown, with t' = 1 (t'' = 0 for second-order equations). It is
t + k h in Y[n+k], and the lines of the scheme determine it in stages and `aux` unknowns, which are
the scheme's own. So a Runge-Kutta stage has t + c h. A right-hand side that reads only the other
unknown, F(Z), takes the time of that unknown.

For a splitting, Y' = F(Y) + G(Y), each summand has its own time, which only that summand advances:
unknowns s and t with (s', t') = (1, 0) + (0, 1), where F depends on s and G on t. At the end of a
step both are the same, and the order is that of the splitting (Blanes and Moan 2001, Splitting
methods for non-autonomous Hamiltonian equations).
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.clock import ONE, Clock, Monomial, NoTime, T, without_decays
from odenet.derive.coefficients import CoefficientField, UnknownPower
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.expressions.fold import map_children
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import Scheme, Update


def with_times(model: Model) -> Model:
    """The model with the time of evaluation in every right-hand side of its scheme.

    Raises:
        SpecError: the scheme has no step size, or does not determine these times.
    """
    time_node = model.first_time_node
    if time_node is None or model.discretisation_or_none is None:
        return model
    scheme = model.scheme
    if not scheme.uses_step_size:
        message = f"`t` is n h at step n, and {scheme.name} has no step size h"
        help_ = "take a scheme with an h, or write what changes with the step as a `param`"
        raise SpecError.of("no-time", message, time_node.span, help_)
    if scheme.exp_or_map is not None:
        message = f"the steps of {scheme.name} are not those of the equations, and have no time `t`"
        help_ = "take a scheme without `exp(…)` of fields and maps, or write a `param` for `t`"
        raise SpecError.of("no-time", message, time_node.span, help_)
    varying = frozenset(model.discretisation.varying)
    annotated = _with_evaluation_times(scheme, varying)
    if annotated is None:
        message, help_ = _why_no_times(scheme, varying)
        raise SpecError.of("no-time", message, time_node.span, help_)
    chosen = replace(model.discretisation, scheme=annotated, starts=annotated.starts)
    return replace(model, discretisation_or_none=chosen)


def _with_evaluation_times(scheme: Scheme, varying: frozenset[str]) -> Scheme | None:
    """The scheme with times; None if they cannot be found.

    The `let`s are kept as symbols, which print as the author wrote them, if that is possible.
    """
    lets = tuple((name, without_decays(value, scheme.decays)) for name, value in scheme.lets)
    undamped = replace(scheme, lets=lets)
    # Expanded `let`s show which coefficients contain a constant that varies.
    for expand in (True,) if varying else (False, True):
        try:
            coeff_field = CoefficientField(undamped, expand)
            return TimeAnnotator(scheme, coeff_field, varying).annotated_scheme()
        except NoTime:
            continue
        except (SpecError, UnknownPower):
            if not scheme.decays:
                raise
            continue  # without its decay the scheme divides by zero
    return None


def _why_no_times(scheme: Scheme, varying: frozenset[str]) -> tuple[str, str]:
    """Why a scheme has no times, and what the author could write instead."""
    if varying and _with_evaluation_times(scheme, frozenset()) is not None:
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
class TimeAnnotator:
    """Writes the time of evaluation into every right-hand side of a scheme.

    Args:
        scheme: the scheme, as parsed.
        coeff_field: the field of its coefficients.
        varying: the constants that differ from step to step.
    """

    scheme: Scheme
    coeff_field: CoefficientField
    varying: frozenset[str]

    def __post_init__(self) -> None:
        choices = product(*self.scheme.equations.values())
        advancing = (frozenset(p.function for p in patterns) for patterns in choices)
        self.clocks = [Clock(self.scheme, self.coeff_field, f, self.varying) for f in advancing]

    def annotated_scheme(self) -> Scheme:
        """The scheme with times.

        Raises:
            NoTime: the text does not determine them.
        """
        starts: list[tuple[Slot, Node]] = []
        for slot, value in self.scheme.starts:
            starts.append((slot, self._annotated(value, in_step=False)))
            self._read_line(slot, value)
        for clock in self.clocks:
            clock.begin_step()
        updates: list[Update] = []
        for update in self.scheme.updates:
            updates.append(replace(update, value=self._annotated(update.value, in_step=True)))
            self._read_line(update.target, update.value)
        return replace(self.scheme, starts=tuple(starts), updates=tuple(updates))

    def _read_line(self, target: Node, value: Node) -> None:
        for clock in self.clocks:
            clock.read_line(target, value)

    def _annotated(self, node: Node, in_step: bool) -> Node:
        """An expression with the time in its right-hand sides.

        Args:
            node: the expression.
            in_step: whether it is in a line of the step, at t + c h, and not in a start line.

        Raises:
            NoTime: a time is not of this form, or differs between the summands of an equation.
        """
        annotated = map_children(node, partial(self._annotated, in_step=in_step))
        if not isinstance(annotated, expr.Rate):
            return annotated
        clocks = [clock for clock in self.clocks if annotated.function in clock.advancing]
        time, *others = [clock.time_of(annotated) for clock in clocks]
        if time is None or time.get(T) != (self.coeff_field.sympy_field.one if in_step else None):
            raise NoTime
        if any(other != time for other in others):
            raise NoTime
        return replace(annotated, time=self._time_expression(time))

    def _time_expression(self, time: dict[Monomial, FracElement]) -> Node:
        """A time as an expression, such as `t + h/2`; in a start line without t."""
        constant = time[ONE] if ONE in time else self.coeff_field.sympy_field.zero
        offset = to_expr.scalar(self.coeff_field.to_sympy(constant))
        if T not in time:
            return offset
        if ONE not in time:
            return expr.Time()
        terms = offset.terms if isinstance(offset, expr.Sum) else ((1, offset),)
        return expr.Sum(((1, expr.Time()), *terms))
