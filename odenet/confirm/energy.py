"""dE/dt = ∇E · f along the flow, against what an energy says of it."""

from odenet.analyse.conditions import ProofPart
from odenet.analyse.energy import Energy
from odenet.confirm.fields import Evaluation
from odenet.confirm.matrices import apply, dot, transpose
from odenet.confirm.parts import PartCheck
from odenet.confirm.unit_form import places, rate, unit_values
from odenet.confirm.words import Words
from odenet.model.expressions import expr

TOLERANCE = 1e-9


def energy_failure(energy: Energy, part: ProofPart | None, words: Words) -> str | None:
    """What is not so, if anything is.

    The energy is differentiated as a formula, where there is one, and as a sum over the units of
    the part of the proof that gave it. Ψ' = φ is all that is used of the primitives.
    """
    flow = rate(words.evaluation)
    found = [] if not energy.terms else [_of_terms(energy, words.evaluation, flow)]
    if part is not None:
        found.append(_of_units(part, words, flow))
    for change, scale in found:
        if abs(change) > TOLERANCE * scale if energy.conserved else change > TOLERANCE * scale:
            said = "= 0" if energy.conserved else "≤ 0"
            return f"dE/dt = {change:.3g}, not {said}, for E = {energy.formula}"
    if part is not None:
        stated, size = _stated(part, words)
        if abs(stated - found[-1][0]) > TOLERANCE * (size + found[-1][1]):
            return f"dE/dt = {found[-1][0]:.3g} is not {energy.rate} = {stated:.3g}"
    return None


def _of_terms(energy: Energy, evaluation: Evaluation, flow: list[float]) -> tuple[float, float]:
    """dE/dt of the formula that the generated module has, and the size of what was added up."""
    change = scale = 0.0
    for term in energy.terms:
        argument = evaluation.field(term.argument)
        moved = [
            dot(flow, [slope[i] for slope in argument.slopes]) for i in range(len(argument.value))
        ]
        force = evaluation.field(expr.Activate(term.activation, term.argument)).value
        weight = evaluation.number(term.weight)
        for i, (a, b) in enumerate(zip(force, moved, strict=True)):
            factor = weight
            for name, power in term.diagonal:
                factor *= evaluation.spread(name)[i] ** power
            change += factor * a * b
            scale += abs(factor * a) * _reach(flow, argument.slopes, i)
    return change, scale


def _reach(flow: list[float], slopes: list[list[float]], i: int) -> float:
    """How large the change of an entry could be; rates are themselves known up to rounding."""
    return sum((abs(f) + 1) * abs(slope[i]) for f, slope in zip(flow, slopes, strict=True))


def _of_units(part: ProofPart, words: Words, flow: list[float]) -> tuple[float, float]:
    """(C φ)ᵀ R f, and the size of what was added up."""
    at, start, change, scale = places(words), 0, 0.0, 0.0
    values = [unit_values(unit, words).value for unit in part.units]
    whole = [x for value in values for x in value]
    forces = apply(transpose(PartCheck(part, words).scaling()), whole)
    for unit, value in zip(part.units, values, strict=True):
        force, start = forces[start : start + len(value)], start + len(value)
        for state, operator in unit.row.items():
            moving = flow[at[state].start : at[state].stop]
            matrix = words.matrix(operator, len(moving))
            change += dot(force, apply(matrix, moving))
            sizes = [[abs(a) for a in row] for row in matrix]
            scale += dot([abs(x) for x in force], apply(sizes, [abs(x) + 1 for x in moving]))
    return change, scale


def _stated(part: ProofPart, words: Words) -> tuple[float, float]:
    """The rate that the squares of a part give, -½ Σ weight |W φ|², and its size."""
    factor = 1.0 if part.spectrum == "real" else 0.5
    values = [unit_values(unit, words).value for unit in part.units]
    total = 0.0
    for square in part.squares:
        terms = (
            apply(words.matrix(operator, len(value)), value)
            for operator, value in zip(square.row, values, strict=True)
            if operator
        )
        image = [sum(entries) for entries in zip(*terms, strict=True)]
        total += words.number(square.weight) * dot(image, image)
    return -factor * total, abs(factor * total)
