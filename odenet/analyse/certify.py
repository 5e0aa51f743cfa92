"""From the typed program to the certificate. Symbolic: no weights, no numbers, no numpy."""

from dataclasses import replace

from odenet.analyse.certificate import Assumption, Certificate
from odenet.analyse.conditions import Part
from odenet.analyse.descent import falling
from odenet.analyse.energy import Energy, read_energy
from odenet.analyse.functions import written
from odenet.analyse.laurent import Signs
from odenet.analyse.prove import Activations, Proof, prove
from odenet.analyse.read_formulas import FormulaReader, Gate, OutsideTheorems
from odenet.analyse.read_units import read_system
from odenet.analyse.slopes import with_slopes
from odenet.analyse.units import System, not_monotone
from odenet.analyse.why_open import explain
from odenet.diagnostics.effort import MOST_PRODUCTS, TooMuch, at_most
from odenet.model.expressions.expr import Bias
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.typed.frozen_time import FROZEN_TIME, reads_time
from odenet.model.typed.program import Model

CONSTANT = Assumption("constant weights", "", "the weights are constant within a step")
FIXED = Assumption(
    "constant weights", "", "t is fixed: the Jacobian is that at one time, and so at each of them"
)

TOO_LONG = (
    f"multiplied out, the equations come to more than {MOST_PRODUCTS:,} products of operators, and "
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
        with at_most(MOST_PRODUCTS):
            return _certified(model)
    except OutsideTheorems as obstacle:
        return Certificate(verdict="open", reason=str(obstacle), span=obstacle.span)
    except TooMuch:
        longest = max(model.dynamics.rates.values(), key=lambda rate: sum(1 for _ in rate.walk()))
        return Certificate(verdict="open", reason=TOO_LONG, span=longest.span)


def _certified(model: Model) -> Certificate:
    reader = FormulaReader(model)
    systems = (read_system(model, reader, whole) for whole in (False, True))
    readings = [with_slopes(system, model, reader) for system in systems]
    best = _certificate(model, reader, readings[0])
    if (best.proved and best.energy is not None) or readings[0] == readings[1]:
        return best
    return max(best, _certificate(model, reader, readings[1]), key=_strength)


def _strength(certificate: Certificate) -> tuple[bool, bool, bool]:
    """What makes one certificate better than another."""
    known = certificate.energy is not None
    return certificate.proved, certificate.verdict != "stable", known


def _certificate(model: Model, reader: FormulaReader, system: System) -> Certificate:
    """The certificate of one reading of the dynamics."""
    unfit = frozenset(a for unit in system.units if (a := not_monotone(unit, model)) is not None)
    signs = Signs(reader.values, frozenset(reader.nonnegative))
    proof, assumed = _with_assumptions(system, signs, frozenset(reader.learned), unfit)
    energy = _energy(proof, system, replace(signs, assumed=signs.assumed | assumed), reader)
    if proof.spectrum is None:
        found = _open(system, signs, unfit, energy)
    else:
        timed = (FIXED,) if FROZEN_TIME in model.parameters else ()
        assumptions = (CONSTANT, *timed, *_norms(proof, model), *_signs(assumed, reader))
        found = Certificate(
            verdict=proof.spectrum, parts=proof.parts, energy=energy, assumptions=assumptions
        )
    return replace(found, system=system)


def _with_assumptions(
    system: System, signs: Signs, learned: frozenset[str], unfit: Activations
) -> tuple[Proof, frozenset[str]]:
    """A proof, with as few learned numbers taken to be >= 0 as it needs."""
    plain = prove(system, signs, unfit)
    if plain.spectrum or not learned:
        return plain, frozenset()
    known, needed = signs.assumed, learned
    found = prove(system, replace(signs, assumed=known | learned), unfit)
    if found.spectrum is None:
        return plain, frozenset()
    for name in sorted(learned):
        fewer = needed - {name}
        smaller = prove(system, replace(signs, assumed=known | fewer), unfit)
        if smaller.spectrum is not None:
            found, needed = smaller, fewer
    return found, needed


def _energy(proof: Proof, system: System, signs: Signs, reader: FormulaReader) -> Energy | None:
    """The energy of a statement about all units; a forcing outside of them does work of its own."""
    if system.forced:
        return None
    found = proof.whole or falling(system, signs)
    if found is None or not found.units:
        return None
    listed = proof.parts[0].units if len(proof.parts) == 1 else ()
    if _moves_in_time(found, reader):
        return None
    return read_energy(found, reader, listed, signs.assumed)


def _moves_in_time(part: Part, reader: FormulaReader) -> bool:
    """Whether an energy would read `t`: it then changes by itself, whatever the flow does."""
    operators = [*part.weights, *(op for unit in part.units for op in unit.row.values())]
    numbers = {name for operator in operators for name in operator.symbols}
    nodes = [reader.symbols[name] for name in numbers if name in reader.symbols]
    nodes += [node for u in part.units for node in (u.formula, u.argument) if node is not None]
    diagonals = {reader.names[name] for operator in operators for name in operator.diagonals}
    nodes += [written(gate.leaf) for gate in diagonals if isinstance(gate, Gate)]
    return any(map(reads_time, nodes))


def _open(system: System, signs: Signs, unfit: Activations, energy: Energy | None) -> Certificate:
    """No proof: the reason and its place."""
    for unit in system.units:
        for activation in unit.activations:
            if activation in unfit and energy is not None:
                reason = f"{activation.name} is not nondecreasing: its slope can be negative"
                return Certificate(verdict="open", energy=energy, reason=reason, span=unit.span)
    reason, span = explain(system, signs)
    return Certificate(verdict="open", energy=energy, reason=reason, span=span)


def _norms(proof: Proof, model: Model) -> list[Assumption]:
    """Frozen statistics and gains of the norms inside units."""
    units = [unit for part in proof.parts for unit in part.monotone]
    found: list[Assumption] = []
    for name in dict.fromkeys(name for unit in units for name in unit.norms):
        spelling, learned = model.spellings.get(name, name), model.parameters[name]
        text = (
            f"the statistics of {spelling} are frozen, as in evaluation: in training they come "
            "from the batch, and the verdict is not about that Jacobian"
        )
        found.append(Assumption("frozen statistics", name, text))
        gain, start = f"the gain of {spelling}", _start(learned)
        start = start and f"{gain} {start}"
        found.append(Assumption("gain", name, f"{gain} is ≥ 0", learned.is_positive, start))
    return found


def _signs(assumed: frozenset[str], reader: FormulaReader) -> list[Assumption]:
    """Signs of numbers and diagonals: those that are assumed, and those by construction."""
    found: list[Assumption] = []
    for name in sorted(assumed):
        target = reader.names[name]
        if isinstance(target, Gate):
            assert isinstance(target.leaf, Bias)
            target, name = target.leaf.name, reader.spell(target.leaf.name)
        start = _start(reader.model.parameters[target])
        start = start and f"{name} {start}"
        found.append(Assumption("sign", target, f"{name} ≥ 0", False, start))
    for name in sorted(reader.nonnegative):
        target = reader.names[name]
        kind, subject = ("gate", "") if isinstance(target, Gate) else ("sign", target)
        found.append(Assumption(kind, subject, f"{name} ≥ 0", by_construction=True))
    return found


def _start(learned: DeclaredParameter) -> str:
    """How a parameter begins, if not at values that are >= 0; empty if it does."""
    init = learned.options["init"]
    if init.name in ("zeros", "ones") or init.kwargs.get("value", -1) >= 0:
        return ""
    if init.name == "constant":
        return f"starts at {float(init.kwargs['value']):g}"
    return "starts at random values of either sign"
