"""The check of an energy: dE/dt = ∇E · f along solutions is compared with what is claimed."""

from odenet.analyse.conditions import ProofPart
from odenet.analyse.energy import Energy
from odenet.confirm.evaluation import Evaluation
from odenet.confirm.matrices import apply, dot, transpose
from odenet.confirm.operator_evaluation import OperatorEvaluation
from odenet.confirm.proof_parts import PartCheck
from odenet.confirm.unit_form import state_ranges, state_velocity, unit_values
from odenet.model.expressions import expr

TOLERANCE = 1e-9  # relative to the size of the terms that are added up


def energy_failure(
    energy: Energy, part: ProofPart | None, operators: OperatorEvaluation
) -> str | None:
    """What the numbers contradict, as a sentence; None if nothing.

    dE/dt is computed from the formula of the energy, if there is one, and from the units φ(R s + b)
    of the part of the proof that it comes from, where E = Σ Ψ(R s + b) with Ψ' = φ.

    Args:
        energy: the energy, with what is claimed of dE/dt.
        part: the part of the proof that the energy comes from; None if it comes from none.
        operators: evaluates formulas and operators at the point.
    """
    velocity = state_velocity(operators.evaluation)
    rates = [] if not energy.terms else [_rate_by_terms(energy, operators.evaluation, velocity)]
    if part is not None:
        rates.append(_rate_by_units(part, operators, velocity))
    for rate, scale in rates:
        if abs(rate) > TOLERANCE * scale if energy.conserved else rate > TOLERANCE * scale:
            claimed = "= 0" if energy.conserved else "≤ 0"
            return f"dE/dt = {rate:.3g}, not {claimed}, for E = {energy.formula}"
    if part is not None:
        (rate, scale), (claimed_rate, claimed_scale) = rates[-1], _claimed_rate(part, operators)
        if abs(claimed_rate - rate) > TOLERANCE * (claimed_scale + scale):
            return f"dE/dt = {rate:.3g} is not {energy.rate} = {claimed_rate:.3g}"
    return None


def _rate_by_terms(
    energy: Energy, evaluation: Evaluation, velocity: list[float]
) -> tuple[float, float]:
    """dE/dt from the formula that the generated module has, and the size of its terms."""
    rate = scale = 0.0
    for term in energy.terms:
        argument = evaluation.field(term.argument)
        rows = ([d[i] for d in argument.derivatives] for i in range(len(argument.value)))
        argument_rate = [dot(velocity, row) for row in rows]
        gradient = evaluation.field(expr.Activate(term.activation, term.argument)).value
        weight = evaluation.number(term.coefficient)
        for i, (a, b) in enumerate(zip(gradient, argument_rate, strict=True)):
            factor = weight
            for name, power in term.diagonal:
                factor *= evaluation.repeated_per_cell(name)[i] ** power
            rate += factor * a * b
            scale += abs(factor * a) * _rate_bound(velocity, argument.derivatives, i)
    return rate, scale


def _rate_bound(velocity: list[float], derivatives: list[list[float]], i: int) -> float:
    """A bound on the rate of change of entry i, with room for rounding errors of the velocity."""
    return sum((abs(f) + 1) * abs(d[i]) for f, d in zip(velocity, derivatives, strict=True))


def _rate_by_units(
    part: ProofPart, operators: OperatorEvaluation, velocity: list[float]
) -> tuple[float, float]:
    """dE/dt = (C φ)ᵀ R f from the units, where f is the velocity, and the size of its terms."""
    ranges, start, rate, scale = state_ranges(operators), 0, 0.0, 0.0
    values = [unit_values(unit, operators).value for unit in part.units]
    unit_outputs = [x for value in values for x in value]
    gradients = apply(transpose(PartCheck(part, operators).scaling()), unit_outputs)
    for unit, value in zip(part.units, values, strict=True):
        gradient, start = gradients[start : start + len(value)], start + len(value)
        for state, operator in unit.row.items():
            state_rate = velocity[ranges[state].start : ranges[state].stop]
            matrix = operators.matrix(operator, len(state_rate))
            rate += dot(gradient, apply(matrix, state_rate))
            sizes = [[abs(a) for a in row] for row in matrix]
            scale += dot([abs(x) for x in gradient], apply(sizes, [abs(x) + 1 for x in state_rate]))
    return rate, scale


def _claimed_rate(part: ProofPart, operators: OperatorEvaluation) -> tuple[float, float]:
    """dE/dt as the proof claims it, -½ Σ weight |W φ|² (no ½ for a real spectrum), and its size."""
    factor = 1.0 if part.spectrum == "real" else 0.5
    values = [unit_values(unit, operators).value for unit in part.units]
    total = 0.0
    for square in part.squares:
        terms = (
            apply(operators.matrix(operator, len(value)), value)
            for operator, value in zip(square.row, values, strict=True)
            if operator
        )
        image = [sum(entries) for entries in zip(*terms, strict=True)]
        total += operators.number(square.weight) * dot(image, image)
    return -factor * total, abs(factor * total)
