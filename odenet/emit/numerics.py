"""A discretisation in numbers: stability limits, and the error of inverting its steps."""

import math

from odenet.analyse.scheme_on_dynamics import estimate_round_trip, flow_depth, scheme_stability
from odenet.analyse.step_constants import bits_kept, distinct_steps, sample_steps
from odenet.analyse.step_matrix import step_matrix_stability
from odenet.counted import counted
from odenet.derive import Derivation
from odenet.model.typed.program import Model
from odenet.model.typed.step_constants import LearnedConstant, Ramp


def numerics(model: Model, derivation: Derivation) -> list[str]:
    """Lines on stability, and on the error after all steps and their inverses; none if adaptive."""
    if model.discretisation.tolerance is not None:
        return []
    stability = scheme_stability(model, derivation)
    lines = [] if isinstance(stability, str) else [axis.sentence for axis in stability.axes]
    matrix_stability = step_matrix_stability(model)
    lines += [] if matrix_stability is None else [str(matrix_stability)]
    lines += differing_steps(model) if lines else []
    if model.discretisation.exact:
        return [*lines, exact_arithmetic_line(model, derivation)]
    round_trip = estimate_round_trip(model, derivation, flow_depth(model))
    return lines if round_trip is None else [*lines, *round_trip.lines()]


def differing_steps(model: Model) -> list[str]:
    """A caveat about stability where constants differ from step to step."""
    discretisation = model.discretisation
    if not discretisation.varying:
        return []
    tested, total = len(sample_steps(model)), len(distinct_steps(model))
    which = "every step by itself" if tested == total else f"{tested} of {total} kinds of steps"
    which = "the first step" if not model.depths and tested == 1 else which
    trained = [c for c in discretisation.varying.values() if isinstance(c, LearnedConstant | Ramp)]
    before = " before training" if trained else ""
    limits = f"these limits are those of {which}{before}"
    return [f"{limits}; products of stable steps that differ can grow"]


def exact_arithmetic_line(model: Model, derivation: Derivation) -> str:
    """A line about the bits that exact arithmetic keeps per step."""
    bits = bits_kept(model, derivation)
    always = "every step is undone bit for bit, in fixed point"
    if bits is None:
        return f"{always}; the bits it keeps depend on h"
    if not bits:
        return always
    steps = flow_depth(model)
    total = math.ceil(bits * steps)
    kept = f"{counted(bits, 'bit')} per value and step kept"
    return f"{always}, with {kept}: {total} after {counted(steps, 'step')}"
