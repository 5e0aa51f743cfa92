"""A discretisation in numbers: where its steps are stable, and how exactly they are undone."""

import math
from collections.abc import Iterator

from odenet.analyse.scheme_on_dynamics import depth, stability_of, undone
from odenet.derive import Derivation, Stability
from odenet.emit.spectrum import axis_text
from odenet.model.program import Model


def numerics(model: Model, derivation: Derivation) -> list[str]:
    """Lines on stability and on the error of the round trip; none for adaptive steps."""
    if model.discretisation.tolerance is not None:
        return []
    stability = stability_of(model, derivation)
    lines = [] if isinstance(stability, str) else list(_axes(stability))
    if model.discretisation.exact:
        return [*lines, _kept(model, derivation)]
    found = undone(model, derivation, depth(model))
    return lines if found is None else [*lines, str(found)]


def _axes(stability: Stability) -> Iterator[str]:
    yield f"{axis_text(stability.imaginary)} on the imaginary axis"
    if stability.real is not None:
        yield f"{axis_text(stability.real)} on the negative real axis"


def _kept(model: Model, derivation: Derivation) -> str:
    """What exact arithmetic costs."""
    bits = derivation.bits(model.discretisation.numbers)
    always = "every step is undone bit for bit, in fixed point"
    if bits is None:
        return f"{always}; the bits it keeps depend on h"
    if not bits:
        return always
    steps = depth(model)
    total = math.ceil(bits * steps)
    return f"{always}, with {bits:.3g} bits per value and step kept: {total} after {steps} steps"
