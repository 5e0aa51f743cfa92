"""A discretisation in numbers: where its steps are stable, and how exactly they are undone."""

import math

from odenet.analyse.numbers_only import numbers_only
from odenet.analyse.scheme_on_dynamics import depth, stability_of, undone
from odenet.derive import Derivation
from odenet.model.typed.program import Model


def numerics(model: Model, derivation: Derivation) -> list[str]:
    """Lines on stability and on the error of the round trip; none for adaptive steps."""
    if model.discretisation.tolerance is not None:
        return []
    stability = stability_of(model, derivation)
    lines = [] if isinstance(stability, str) else [axis.sentence for axis in stability.axes]
    exactly = numbers_only(model)
    lines += [] if exactly is None else [str(exactly)]
    if model.discretisation.exact:
        return [*lines, _kept(model, derivation)]
    found = undone(model, derivation, depth(model))
    return lines if found is None else [*lines, *found.lines()]


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
