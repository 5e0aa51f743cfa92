"""A scheme at the constants of a spec: where its steps are stable, and how exactly undone."""

import math
from dataclasses import dataclass

from odenet.derive import Axis, Derivation, RoundTrip, Stability
from odenet.derive.describe import conditions
from odenet.diagnostics import Diagnostic
from odenet.model.program import Model, flows_of

SINGLE = 2.0**-23  # spacing of the numbers next to 1 in float32
DEPTH = 100  # steps of a flow where no network says how many
NEAR = 0.5  # part of the stable interval, from 0, that the round trip is predicted for
LARGE = 1e-2  # a relative error of rebuilt states at which gradients are visibly others


@dataclass(frozen=True)
class Undone:
    """A prediction for a number of steps in float32.

    Attributes:
        steps: forward, and back.
        axis: on which the spectrum is assumed to lie.
        reach: up to where on it.
        error: of the rebuilt state; None where it grows without bound.
    """

    steps: int
    axis: Axis
    reach: float
    error: RoundTrip | None

    def __str__(self) -> str:
        if self.error is None:
            return f"{self.steps} steps are not undone in float32: errors grow without bound"
        return (
            f"{self.steps} steps are undone in float32 to {self.error}, relative to the state, "
            f"while {self.axis.variable} ≤ {self.reach:.3g}"
        )


def stability_of(model: Model, derivation: Derivation) -> Stability | str:
    """The stability at the constants of the file; why there is none where there is none."""
    chosen = model.discretisation
    return derivation.stability_at(chosen.numbers)


def depth(model: Model) -> int:
    """Steps of the longest flow of the net, or a round number where there is none."""
    return max((int(flow.arguments["N"]) for flow in flows_of(model.net)), default=DEPTH)


def undone(model: Model, derivation: Derivation, steps: int) -> Undone | None:
    """How far rebuilt states are from the true ones, at frequencies well inside the limit.

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
    reach = min(1.0, NEAR * axis.limit)
    h = float(chosen.h or 1.0)
    per_step = h if model.scheme.uses_step_size else 1.0
    found = derivation.roundtrip_error(steps, h, SINGLE, reach / per_step, chosen.constants)
    if found is None:
        return None
    return Undone(steps, axis, reach, found if math.isfinite(found.bound) else None)


def drift_warning(model: Model, derivation: Derivation, steps: int) -> Diagnostic | None:
    """What to do where so many steps are not undone well enough to train by."""
    found = undone(model, derivation, steps)
    if found is None or (found.error is not None and found.error.estimate <= LARGE):
        return None
    message = f"{found}; gradients of a memory-free backward are as wrong"
    help_ = f"write `{model.scheme.name}(…) exact`, or train with stored activations"
    return Diagnostic(message, model.discretisation.span, help=help_, severity="warning")


def irreversible(model: Model, derivation: Derivation) -> str | None:
    """Why the steps have no inverse at the constants of the file, where they have none."""
    if derivation.obstacle is not None:
        return derivation.obstacle.message
    if derivation.violated(model.discretisation.numbers):
        return f"it has an inverse only where {' and '.join(conditions(derivation))}"
    return None


def exact_refused(model: Model, derivation: Derivation) -> Diagnostic | None:
    """Why `exact` cannot be had: what has no inverse is not undone bit for bit either."""
    why = irreversible(model, derivation) if model.discretisation.exact else None
    if why is None:
        return None
    message = f"`exact` undoes every step, and {model.scheme.name} is not reversible: {why}"
    help_ = "remove `exact`, or take a reversible scheme: `odenet schemes` lists them"
    return Diagnostic(message, model.discretisation.span, help=help_)
