"""Makes the certificate of a typed program by symbolic proofs: no weights, no numpy."""

from dataclasses import replace

from odenet.analyse.certificate import Assumption, Certificate
from odenet.analyse.conditions import ProofPart
from odenet.analyse.decreasing_energy import prove_decreasing_energy
from odenet.analyse.energy import Energy, read_energy
from odenet.analyse.functions import leaf_formula
from odenet.analyse.laurent import Signs
from odenet.analyse.prove import Activations, Proof, prove
from odenet.analyse.read_formulas import FormulaReader, Gate, OutsideTheorems
from odenet.analyse.read_units import read_system
from odenet.analyse.slopes import with_slope_bounds
from odenet.analyse.units import System, nonmonotone_activation
from odenet.analyse.why_open import reason_not_proved
from odenet.diagnostics.effort import MAX_PRODUCTS, EffortExceeded, effort_limit
from odenet.model.expressions.expr import Bias
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.typed.frozen_time import FROZEN_TIME, reads_time
from odenet.model.typed.program import Model

CONSTANT_WEIGHTS = Assumption("constant weights", "", "the weights are constant within a step")
FIXED_TIME = Assumption(
    "constant weights", "", "t is fixed: the Jacobian is that at one time, and so at each of them"
)

TOO_LONG = (
    f"multiplied out, the equations come to more than {MAX_PRODUCTS:,} products of operators, and "
    "no more are tried"
)


def certify(model: Model) -> Certificate:
    """What the theorems say about the spectrum of the dynamics, for all weights and inputs.

    Args:
        model: the typed program.

    Returns:
        A certificate whose verdict is "imaginary", "real", "stable", or "open" with the reason.
    """
    try:
        with effort_limit(MAX_PRODUCTS):
            return _best_certificate(model)
    except OutsideTheorems as obstacle:
        return Certificate(verdict="open", reason=str(obstacle), span=obstacle.span)
    except EffortExceeded:
        longest = max(model.dynamics.rates.values(), key=lambda rate: sum(1 for _ in rate.walk()))
        return Certificate(verdict="open", reason=TOO_LONG, span=longest.span)


def _best_certificate(model: Model) -> Certificate:
    """The stronger certificate of two readings of the dynamics.

    In one, products such as `K A` with an affine A are multiplied out; in the other, `keep_affine`,
    A stays a unit as its author wrote it.
    """
    reader = FormulaReader(model)
    systems = (read_system(model, reader, keep_affine) for keep_affine in (False, True))
    readings = [with_slope_bounds(system, model, reader) for system in systems]
    best = _reading_certificate(model, reader, readings[0])
    if (best.proved and best.energy is not None) or readings[0] == readings[1]:
        return best
    return max(best, _reading_certificate(model, reader, readings[1]), key=_strength_key)


def _strength_key(certificate: Certificate) -> tuple[bool, bool, bool]:
    """A sort key by which stronger certificates are larger."""
    return certificate.proved, certificate.verdict != "stable", certificate.energy is not None


def _reading_certificate(model: Model, reader: FormulaReader, system: System) -> Certificate:
    """The certificate for one way to read the dynamics as units."""
    activations = (nonmonotone_activation(unit, model) for unit in system.units)
    nonmonotone = frozenset(a for a in activations if a is not None)
    signs = Signs(reader.values, frozenset(reader.nonnegative))
    proof, assumed = _prove_assuming(system, signs, frozenset(reader.of_unknown_sign), nonmonotone)
    proof_signs = replace(signs, nonnegative=signs.nonnegative | assumed)
    energy = _energy(proof, system, proof_signs, reader)
    if proof.spectrum is None:
        certificate = _open_certificate(system, signs, nonmonotone, energy)
    else:
        assumptions = [CONSTANT_WEIGHTS, *([FIXED_TIME] if FROZEN_TIME in model.parameters else [])]
        assumptions += _norm_assumptions(proof, model) + _sign_assumptions(assumed, reader)
        certificate = Certificate(
            verdict=proof.spectrum, parts=proof.parts, energy=energy, assumptions=tuple(assumptions)
        )
    return replace(certificate, system=system)


def _prove_assuming(
    system: System, signs: Signs, of_unknown_sign: frozenset[str], nonmonotone: Activations
) -> tuple[Proof, frozenset[str]]:
    """A proof, and those numbers and diagonals `of_unknown_sign` that it needs to be >= 0."""
    unconditional = prove(system, signs, nonmonotone)
    if unconditional.spectrum or not of_unknown_sign:
        return unconditional, frozenset()
    nonnegative, needed = signs.nonnegative, of_unknown_sign
    proof = prove(system, replace(signs, nonnegative=nonnegative | needed), nonmonotone)
    if proof.spectrum is None:
        return unconditional, frozenset()
    for name in sorted(of_unknown_sign):
        fewer = needed - {name}
        candidate = prove(system, replace(signs, nonnegative=nonnegative | fewer), nonmonotone)
        if candidate.spectrum is not None:
            proof, needed = candidate, fewer
    return proof, needed


def _energy(proof: Proof, system: System, signs: Signs, reader: FormulaReader) -> Energy | None:
    """The energy from a proof about all units; None if there is none or a forcing adds energy."""
    if system.has_forcing:
        return None
    part = proof.joint_part or prove_decreasing_energy(system, signs)
    if part is None or not part.units or _depends_on_time(part, reader):
        return None
    proof_units = proof.parts[0].units if len(proof.parts) == 1 else ()
    return read_energy(part, reader, proof_units, signs.nonnegative)


def _depends_on_time(part: ProofPart, reader: FormulaReader) -> bool:
    """Whether an energy would depend on `t` explicitly: it is then not conserved."""
    operators = [*part.weights, *(op for unit in part.units for op in unit.row.values())]
    numbers = {name for operator in operators for name in operator.symbols}
    nodes = [reader.symbols[name] for name in numbers if name in reader.symbols]
    nodes += [node for u in part.units for node in (u.formula, u.argument) if node is not None]
    diagonals = {reader.meanings[name] for operator in operators for name in operator.diagonals}
    nodes += [leaf_formula(gate.leaf) for gate in diagonals if isinstance(gate, Gate)]
    return any(map(reads_time, nodes))


def _open_certificate(
    system: System, signs: Signs, nonmonotone: Activations, energy: Energy | None
) -> Certificate:
    """The certificate if nothing was proved, with the reason and its place."""
    for unit in system.units:
        for activation in unit.activations:
            if activation in nonmonotone and energy is not None:
                reason = f"{activation.name} is not nondecreasing: its slope can be negative"
                return Certificate(verdict="open", energy=energy, reason=reason, span=unit.span)
    reason, span = reason_not_proved(system, signs)
    return Certificate(verdict="open", energy=energy, reason=reason, span=span)


def _norm_assumptions(proof: Proof, model: Model) -> list[Assumption]:
    """The assumptions about norms in units: frozen statistics and gains >= 0."""
    units = [unit for part in proof.parts for unit in part.monotone_units]
    assumptions: list[Assumption] = []
    for name in dict.fromkeys(name for unit in units for name in unit.norms):
        spelling, parameter = model.spellings.get(name, name), model.parameters[name]
        text = (
            f"the statistics of {spelling} are frozen, as in evaluation: in training they come "
            "from the batch, and the verdict is not about that Jacobian"
        )
        assumptions.append(Assumption("frozen statistics", name, text))
        gain, start = f"the gain of {spelling}", _start_text(parameter)
        start = start and f"{gain} {start}"
        assumptions.append(Assumption("gain", name, f"{gain} is ≥ 0", parameter.is_positive, start))
    return assumptions


def _sign_assumptions(assumed: frozenset[str], reader: FormulaReader) -> list[Assumption]:
    """The assumptions that numbers and diagonals are >= 0, including those true by construction."""
    assumptions: list[Assumption] = []
    for name in sorted(assumed):
        parameter = reader.meanings[name]
        if isinstance(parameter, Gate):
            assert isinstance(parameter.leaf, Bias)
            parameter, name = parameter.leaf.name, reader.spell(parameter.leaf.name)
        start = _start_text(reader.model.parameters[parameter])
        start = start and f"{name} {start}"
        assumptions.append(Assumption("sign", parameter, f"{name} ≥ 0", False, start))
    for name in sorted(reader.nonnegative):
        meaning = reader.meanings[name]
        kind, subject = ("gate", "") if isinstance(meaning, Gate) else ("sign", meaning)
        assumptions.append(Assumption(kind, subject, f"{name} ≥ 0", by_construction=True))
    return assumptions


def _start_text(parameter: DeclaredParameter) -> str:
    """`starts at -1` if the initial values of a parameter can be negative; else empty."""
    init = parameter.options["init"]
    # Only `constant` has a value; random values count as negative ones, -1 here.
    if init.name in ("zeros", "ones") or init.kwargs.get("value", -1) >= 0:
        return ""
    if init.name == "constant":
        return f"starts at {float(init.kwargs['value']):g}"
    return "starts at random values of either sign"
