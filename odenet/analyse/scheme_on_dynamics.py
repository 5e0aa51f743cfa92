"""A scheme at the constants of a spec: where its steps are stable, and how exactly undone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from odenet.analyse.certificate import Certificate
from odenet.analyse.certify import certify
from odenet.analyse.step_constants import few_steps, not_undone, numbers_of_steps
from odenet.derive import Axis, Derivation, RoundTrip, Stability
from odenet.derive.describe import why_not_undone
from odenet.derive.linear_tests import Coupling
from odenet.derive.stability import TestedScheme
from odenet.derive.text import notation
from odenet.derive.tightest import tightest
from odenet.diagnostics import Diagnostic
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import states_read
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.program import Dynamics, Model, flows_of
from odenet.model.typed.right_hand_sides import without_decay
from odenet.model.typed.scheme import Scheme
from odenet.visible_drift import VISIBLE_DRIFT

EPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}  # spacing next to 1
DEFAULT_DEPTH = 100  # steps of a flow where no network says how many
PART_OF_LIMIT = 0.5  # part of the stable interval, from 0, that the round trip is predicted for
UNEVEN_FROM = 2.0  # times the estimate: an error by uneven weights that is mentioned


@dataclass(frozen=True)
class Undone:
    """A prediction for a number of steps.

    Attributes:
        steps: forward, and back.
        axis: on which the spectrum is assumed to lie.
        reach: up to where on it.
        error: of the rebuilt state in float32; infinite where it overflows.
        example: whether `steps` is an example only, since a library decides how many there are.
    """

    steps: int
    axis: Axis
    reach: float
    error: RoundTrip
    example: bool = False

    @property
    def counted(self) -> str:
        """The number of steps, in words."""
        text = f"{self.steps} step{'s' if self.steps != 1 else ''}"
        return f"{text} (an example: the network decides how many)" if self.example else text

    @property
    def fine(self) -> bool:
        """Whether float32 states are rebuilt well enough to train by."""
        return self.error.estimate <= VISIBLE_DRIFT

    def lines(self) -> list[str]:
        """The estimate in each precision, and what unequal weights may do to it."""
        errors = {
            name: self.error.times(eps / EPS["float32"]).estimate for name, eps in EPS.items()
        }
        fine = [
            f"{error:.1e} in {name}" for name, error in errors.items() if error <= VISIBLE_DRIFT
        ]
        coarse = [
            f"{name} ({error:.1e})" for name, error in errors.items() if not error <= VISIBLE_DRIFT
        ]
        under = f"while {self.axis.variable} ≤ {self.reach:.3g} and all steps have equal weights"
        begin = f"{self.counted} {'is' if self.steps == 1 else 'are'} undone"
        text = f"{begin} to an estimated {', '.join(fine)}, relative to the first state, {under}"
        bad = f"too coarse to train by: {', '.join(coarse)}"
        if not fine:
            return [f"{begin} too coarsely to train by, {under}: in {', '.join(coarse)}"]
        found = [f"{text}; {bad}" if coarse else text]
        return [*found, *self._unequal()]

    def _unequal(self) -> list[str]:
        error = self.error
        if error.uneven <= UNEVEN_FROM * error.estimate:
            return []
        large = "without bound" if error.uneven > 1 else f"to {error.uneven:.1e}"
        return [
            f"weights that differ from step to step can resonate: errors grew {large} in float32 "
            "in the worst of the patterns tried"
        ]

    def __str__(self) -> str:
        return "; ".join(self.lines())


def stability_of(model: Model, derivation: Derivation) -> Stability | str:
    """The stability at the constants of the file; why there is none where there is none.

    Only the test equation that has the form of the file's own is kept, if one has. If constants
    differ from step to step, it is the tightest stability of all steps.
    """
    chosen = model.discretisation
    found = _stability_of_steps(model, derivation)
    if isinstance(found, str):
        return found
    kind = form_of(model.scheme, model.dynamics, chosen.groups)
    return (found.on(kind) if kind else None) or found


def _stability_of_steps(model: Model, derivation: Derivation) -> Stability | str:
    """The stability of a step; where they differ, that of each by itself."""
    chosen = model.discretisation
    if not chosen.varying:
        return derivation.stability_at(chosen.numbers)
    found: list[Stability] = []
    for at in few_steps(model):
        one = derivation.stability_at(at.values)
        if isinstance(one, str):
            return f"at {at.step_name} {one}"
        found.append(one)
    return tightest(found)


def decisive(
    stability: Stability,
    scheme: Scheme,
    dynamics: Dynamics,
    groups: Mapping[str, tuple[State, ...]],
) -> TestedScheme | None:
    """The one test equation that has the form of the dynamics; None if none or several do."""
    kind = form_of(scheme, dynamics, groups)
    found = stability.on(kind) if kind else None
    return found.tested[0] if found is not None and len(found.tested) == 1 else None


def form_of(
    scheme: Scheme, dynamics: Dynamics, groups: Mapping[str, tuple[State, ...]]
) -> Coupling | None:
    """Whether the groups of states read only themselves or, being two, only each other."""
    system = without_decay(dynamics.system(scheme.patterns[0].order), scheme, groups)
    group = {state: name for name, states in groups.items() for state in states}
    pairs = {(group[state], group[read]) for state in group for read in states_read(system[state])}
    if all(reader == read for reader, read in pairs):
        return "own"
    if len(groups) == 2 and all(reader != read for reader, read in pairs):
        return "coupled"
    return None


def tested_spectrum(
    model: Model,
    certificate: Certificate,
    scheme: Scheme,
    groups: Mapping[str, tuple[State, ...]],
) -> Certificate:
    """What is proved about λ in the test equation: about F where a scheme takes a decay apart."""
    if not scheme.decays:
        return certificate
    order = scheme.patterns[0].order
    system = without_decay(model.dynamics.system(order), scheme, groups)
    if set(model.dynamics.states) != {state.name for state in system if not state.order}:
        return certificate
    rates = {state.name: rate for state, rate in system.items()}
    return certify(replace(model, dynamics=replace(model.dynamics, rates=rates)))


def depth(model: Model) -> int:
    """Steps of the longest flow of the net, or a round number where there is none."""
    return max((int(flow.arguments["N"]) for flow in flows_of(model.net)), default=DEFAULT_DEPTH)


def undone(model: Model, derivation: Derivation, steps: int) -> Undone | None:
    """How far rebuilt states are estimated to be from the true ones, well inside the limit.

    None where nothing is rebuilt, or not in floating point, or no axis has stable steps.
    """
    chosen = model.discretisation
    stability = stability_of(model, derivation)
    rebuilt = derivation.reversible and not chosen.exact and chosen.tolerance is None
    if not rebuilt or isinstance(stability, str):
        return None
    axes = (stability.imaginary, stability.real)
    axis = next((axis for axis in axes if axis is not None and axis.limit), None)
    if axis is None:
        return None
    reach = min(1.0, PART_OF_LIMIT * axis.limit)
    each = [at.values for at in numbers_of_steps(model, steps)]
    h = max((float(numbers.get("h", 1.0)) for numbers in each), default=float(chosen.h or 1.0))
    steps = len(each) or steps
    per_step = h if model.scheme.uses_step_size else 1.0
    if not math.isfinite(reach / per_step):
        return None
    values = {**each[0], **chosen.constants} if each else chosen.constants
    frequency = reach / per_step
    found = derivation.roundtrip_error(
        steps, h, EPS["float32"], frequency, values, each, axis.where
    )
    if found is None:
        return None
    rows = [LAYERS.get(layer.name) for layer in model.net]
    return Undone(steps, axis, reach, found, any(row.is_network for row in rows if row))


def drift_warning(model: Model, derivation: Derivation, steps: int) -> Diagnostic | None:
    """What to do where that many steps are not undone well enough to train by."""
    found = undone(model, derivation, steps)
    if found is None or found.fine:
        return None
    message = f"{found}; gradients by rebuilt states are as wrong"
    help_ = f"write `{model.scheme.name}(…) exact`, or train with stored activations"
    return Diagnostic(
        "inexact-inverse", message, model.discretisation.span, help_, severity="warning"
    )


def irreversible(model: Model, derivation: Derivation) -> str | None:
    """Why the steps have no inverse at the constants of the file, where they have none."""
    why = why_not_undone(derivation, model.discretisation.numbers)
    return why or not_undone(model, derivation) or None


def exact_refused(model: Model, derivation: Derivation) -> Diagnostic | None:
    """Why `exact` is not possible: what has no inverse is not undone bit for bit either."""
    own = model.scheme.foreign_node
    if model.discretisation.exact and derivation.exponents and own is not None:
        factor = notation(model.scheme).show(own)
        message = f"`exact` multiplies by fractions of whole numbers, and {factor} is a field"
        help_ = "remove `exact`: such steps are undone in floating point"
        return Diagnostic("no-inverse", message, model.discretisation.span, help_)
    why = irreversible(model, derivation) if model.discretisation.exact else None
    if why is None:
        return None
    message = f"`exact` undoes every step, and {model.scheme.name} is not reversible: {why}"
    help_ = "remove `exact`, or take a reversible scheme: `odenet schemes` lists them"
    if model.discretisation.varying and derivation.reversible:
        counted = (
            "write `n + 1` for `n`, say" if model.scheme.uses_step_number else "begin elsewhere"
        )
        help_ = f"remove `exact`, or {counted}"
    return Diagnostic("no-inverse", message, model.discretisation.span, help_)
