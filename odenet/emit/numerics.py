"""A discretisation in numbers: where its steps are stable, and how exactly they are undone."""

import math
from collections.abc import Iterator

from odenet.derive import Axis, Derivation, Stability
from odenet.emit.spectrum import axis_text, stability_of
from odenet.model.program import Model, flows_of

SINGLE = 2.0**-23  # spacing of the numbers next to 1 in float32
DEPTH = 100  # steps of a flow where no network says how many
NEAR = 0.5  # part of the stable interval, from 0, that the round trip is predicted for


def numerics(model: Model, derivation: Derivation) -> list[str]:
    """Lines on stability and on the error of the round trip; none for adaptive steps."""
    if model.discretisation.tolerance is not None:
        return []
    stability = stability_of(model, derivation)
    lines = [] if isinstance(stability, str) else list(_axes(stability))
    if model.discretisation.exact:
        return [*lines, _kept(model, derivation)]
    if not derivation.reversible or isinstance(stability, str):
        return lines
    return [*lines, *_round_trip(model, derivation, stability)]


def depth(model: Model) -> int:
    """Steps of the longest flow of the net, or a round number where there is none."""
    return max((int(flow.arguments["N"]) for flow in flows_of(model.net)), default=DEPTH)


def _axes(stability: Stability) -> Iterator[str]:
    yield f"{axis_text(stability.imaginary)} on the imaginary axis"
    if stability.real is not None:
        yield f"{axis_text(stability.real)} on the negative real axis"


def _round_trip(model: Model, derivation: Derivation, stability: Stability) -> Iterator[str]:
    """How far a rebuilt state is from the true one, at frequencies well inside the limit."""
    axis = _stable_axis(stability)
    if axis is None:
        return
    reach = min(1.0, NEAR * axis.limit)
    steps = depth(model)
    h = float(model.discretisation.h or 1.0)
    per_step = h if model.scheme.uses_step_size else 1.0
    found = derivation.roundtrip_error(
        steps, h, SINGLE, reach / per_step, model.discretisation.constants
    )
    if found is None or not math.isfinite(found.bound):
        yield f"{steps} steps are not undone in float32: errors grow without bound"
        return
    yield (
        f"{steps} steps are undone in float32 to {found}, relative to the state, "
        f"while {axis.variable} ≤ {reach:.3g}"
    )


def _stable_axis(stability: Stability) -> Axis | None:
    """The axis for which the round trip is predicted."""
    axes = (stability.imaginary, stability.real)
    return next((axis for axis in axes if axis is not None and axis.limit), None)


def _kept(model: Model, derivation: Derivation) -> str:
    """What exact arithmetic costs."""
    bits = derivation.bits(model.discretisation.constants)
    undone = "every step is undone bit for bit, in fixed point"
    if not bits:
        return undone
    steps = depth(model)
    total = math.ceil(bits * steps)
    return f"{undone}, with {bits:.3g} bits per value and step kept: {total} after {steps} steps"
