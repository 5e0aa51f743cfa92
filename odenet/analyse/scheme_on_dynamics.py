"""A scheme at the constants of a file: its stability, its inverse and the rounding of a round trip.

A round trip is n steps forward and n steps back; training rebuilds activations that way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from odenet.analyse.certificate import Certificate
from odenet.analyse.certify import certify
from odenet.analyse.step_constants import constants_by_step, reason_not_invertible, sample_steps
from odenet.counted import counted
from odenet.derive import AxisStability, Derivation, RoundTrip, Stability
from odenet.derive.describe import why_no_inverse
from odenet.derive.linear_tests import Coupling
from odenet.derive.scheme_notation import scheme_notation
from odenet.derive.stability import EquationStability
from odenet.derive.varying_stability import tightest_stability
from odenet.diagnostics import Diagnostic
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import states_read
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.program import Dynamics, Model, flows_of
from odenet.model.typed.right_hand_sides import without_decay
from odenet.model.typed.scheme import Scheme
from odenet.visible_drift import VISIBLE_DRIFT

Groups = Mapping[str, tuple[State, ...]]  # unknown of a scheme -> the states that take its place

EPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}  # from 1 to the next number
DEFAULT_DEPTH = 100  # steps of a flow if the file has no network
FRACTION_OF_LIMIT = 0.5  # of the stable interval: the round trip is estimated for spectra within it
UNEVEN_FACTOR = 2.0  # the error with unequal weights is reported if it is larger by this factor


@dataclass(frozen=True)
class RoundTripEstimate:
    """The estimated rounding error of the state after n steps forward and n steps back.

    Attributes:
        steps: n.
        axis: the axis on which the spectrum is assumed to lie, imaginary or real.
        axis_bound: the largest hω, or h|λ|, that is assumed on that axis: half the stability limit,
            and at most 1.
        error: the error of the rebuilt state in float32, for equal and for unequal weights;
            infinite where it overflows.
        is_example: whether `steps` is only an example, since a library chooses the number of steps.
    """

    steps: int
    axis: AxisStability
    axis_bound: float
    error: RoundTrip
    is_example: bool = False

    @property
    def step_count_text(self) -> str:
        """The number of steps in words, `100 steps`."""
        text = counted(self.steps, "step")
        return f"{text} (an example: the network decides how many)" if self.is_example else text

    @property
    def is_accurate(self) -> bool:
        """Whether states in float32 are rebuilt accurately enough for training."""
        return self.error.estimate <= VISIBLE_DRIFT

    def lines(self) -> list[str]:
        """Sentences: the estimate in each precision, and the effect of unequal weights."""
        single = EPS["float32"]
        errors = {name: self.error.scaled(eps / single).estimate for name, eps in EPS.items()}
        accurate = [f"{e:.1e} in {name}" for name, e in errors.items() if e <= VISIBLE_DRIFT]
        coarse = [f"{name} ({e:.1e})" for name, e in errors.items() if not e <= VISIBLE_DRIFT]
        limit = f"{self.axis.variable} ≤ {self.axis_bound:.3g}"
        conditions = f"while {limit} and all steps have equal weights"
        subject = f"{self.step_count_text} {'is' if self.steps == 1 else 'are'} undone"
        if not accurate:
            return [f"{subject} too coarsely to train by, {conditions}: in {', '.join(coarse)}"]
        estimates = ", ".join(accurate)
        text = f"{subject} to an estimated {estimates}, relative to the first state, {conditions}"
        text += f"; too coarse to train by: {', '.join(coarse)}" if coarse else ""
        return [text, *self._unequal_weights()]

    def _unequal_weights(self) -> list[str]:
        error = self.error
        if error.uneven <= UNEVEN_FACTOR * error.estimate:
            return []
        large = "without bound" if error.uneven > 1 else f"to {error.uneven:.1e}"
        return [
            f"weights that differ from step to step can resonate: errors grew {large} in float32 "
            "in the worst of the patterns tried"
        ]

    def __str__(self) -> str:
        return "; ".join(self.lines())


def scheme_stability(model: Model, derivation: Derivation) -> Stability | str:
    """The stability of the scheme at the constants of the file, or a text: why it is unknown.

    If one of the test equations couples its unknowns as the dynamics do, the others are dropped.
    If constants differ from step to step, this is the smallest stability interval of all steps.
    """
    stability = _step_stability(model, derivation)
    if isinstance(stability, str):
        return stability
    kind = coupling_kind(model.scheme, model.dynamics, model.discretisation.groups)
    return (stability.for_kind(kind) if kind else None) or stability


def _step_stability(model: Model, derivation: Derivation) -> Stability | str:
    """The stability of a step; if constants differ from step to step, the smallest of all steps."""
    discretisation = model.discretisation
    if not discretisation.varying:
        return derivation.stability_at(discretisation.numbers)
    stabilities: list[Stability] = []
    for step in sample_steps(model):
        stability = derivation.stability_at(step.values)
        if isinstance(stability, str):
            return f"at {step.step_name} {stability}"
        stabilities.append(stability)
    return tightest_stability(stabilities)


def matching_test_equation(
    stability: Stability, scheme: Scheme, dynamics: Dynamics, groups: Groups
) -> EquationStability | None:
    """The only test equation that couples its unknowns as the dynamics do; None if not just one."""
    kind = coupling_kind(scheme, dynamics, groups)
    matching = stability.for_kind(kind) if kind else None
    equations = matching.per_equation if matching is not None else ()
    return equations[0] if len(equations) == 1 else None


def coupling_kind(scheme: Scheme, dynamics: Dynamics, groups: Groups) -> Coupling | None:
    """How groups of states couple: "scalar" if each reads itself, "coupled" if two read each other.

    None if neither is the case.
    """
    system = without_decay(dynamics.system(scheme.patterns[0].order), scheme, groups)
    group_of_state = {state: name for name, states in groups.items() for state in states}
    dependencies = {
        (group_of_state[state], group_of_state[read])
        for state in group_of_state
        for read in states_read(system[state])
    }
    if all(reader == read for reader, read in dependencies):
        return "scalar"
    if len(groups) == 2 and all(reader != read for reader, read in dependencies):
        return "coupled"
    return None


def tested_certificate(
    model: Model, certificate: Certificate, scheme: Scheme, groups: Groups
) -> Certificate:
    """What is proved about λ in the test equation, which excludes decay that the scheme treats."""
    if not scheme.decays:
        return certificate
    system = without_decay(model.dynamics.system(scheme.patterns[0].order), scheme, groups)
    if set(model.dynamics.states) != {state.name for state in system if not state.order}:
        return certificate
    rates = {state.name: rate for state, rate in system.items()}
    return certify(replace(model, dynamics=replace(model.dynamics, rates=rates)))


def flow_depth(model: Model) -> int:
    """The number of steps of the longest flow of the net, or DEFAULT_DEPTH without one."""
    return max((int(flow.arguments["N"]) for flow in flows_of(model.net)), default=DEFAULT_DEPTH)


def estimate_round_trip(
    model: Model, derivation: Derivation, steps: int
) -> RoundTripEstimate | None:
    """Estimate the rounding error of a round trip, well inside the stability limit.

    Returns:
        None if the scheme does not rebuild states or does so exactly, or has no stable axis.
    """
    discretisation = model.discretisation
    stability = scheme_stability(model, derivation)
    is_exact, is_adaptive = discretisation.exact, discretisation.tolerance is not None
    if not derivation.reversible or is_exact or is_adaptive or isinstance(stability, str):
        return None
    axes = (stability.imaginary_axis, stability.real_axis)
    axis = next((axis for axis in axes if axis is not None and axis.limit), None)
    if axis is None:
        return None
    axis_bound = min(1.0, FRACTION_OF_LIMIT * axis.limit)
    step_values = [step.values for step in constants_by_step(model, steps)]
    # A scheme without a step size does not read h: any number will do.
    h = max((float(v.get("h", 1.0)) for v in step_values), default=float(discretisation.h or 1.0))
    steps = len(step_values) or steps
    frequency = axis_bound / (h if model.scheme.uses_step_size else 1.0)
    if not math.isfinite(frequency):
        return None
    values = {**(step_values[0] if step_values else {}), **discretisation.constants}
    error = derivation.roundtrip_error(
        steps, h, EPS["float32"], frequency, values, step_values, axis.axis
    )
    if error is None:
        return None
    layer_rows = [LAYERS.get(layer.name) for layer in model.net]
    is_example = any(row.is_network for row in layer_rows if row)
    return RoundTripEstimate(steps, axis, axis_bound, error, is_example)


def drift_warning(model: Model, derivation: Derivation, steps: int) -> Diagnostic | None:
    """A warning if a round trip of `steps` steps is too inaccurate for training, else None."""
    estimate = estimate_round_trip(model, derivation, steps)
    if estimate is None or estimate.is_accurate:
        return None
    message = f"{estimate}; gradients that use the rebuilt states have errors as large"
    help_ = f"write `{model.scheme.name}(…) exact`, or train with stored activations"
    return Diagnostic("inexact-inverse", message, model.discretisation.span, help_, "warning")


def reason_irreversible(model: Model, derivation: Derivation) -> str | None:
    """Why the steps have no inverse at the constants of the file; None if they have one."""
    reason = why_no_inverse(derivation, model.discretisation.numbers)
    return reason or reason_not_invertible(model, derivation) or None


def exact_error(model: Model, derivation: Derivation) -> Diagnostic | None:
    """The error of `exact` in a file whose steps have no exact inverse; None if it is possible."""
    exponent = model.scheme.exp_or_map
    if model.discretisation.exact and derivation.volume_exponents and exponent is not None:
        factor = scheme_notation(model.scheme).show(exponent)
        message = f"`exact` multiplies by fractions of whole numbers, and {factor} is a field"
        help_ = "remove `exact`: such steps are undone in floating point"
        return Diagnostic("no-inverse", message, model.discretisation.span, help_)
    reason = reason_irreversible(model, derivation) if model.discretisation.exact else None
    if reason is None:
        return None
    message = f"`exact` undoes every step, and {model.scheme.name} is not reversible: {reason}"
    help_ = "remove `exact`, or take a reversible scheme: `odenet schemes` lists them"
    if model.discretisation.varying and derivation.reversible:
        help_ = "remove `exact`, or begin at another value"
        if model.scheme.uses_step_number:
            help_ = "remove `exact`, or write `n + 1` for `n`, say"
    return Diagnostic("no-inverse", message, model.discretisation.span, help_)
