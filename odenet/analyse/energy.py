"""The energy that the same condition proves conserved or decreasing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from odenet.analyse import energy_text
from odenet.analyse.conditions import Part
from odenet.analyse.laurent import ONE
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, Powers, Word, powers
from odenet.analyse.read_formulas import LINEAR, FormulaReader, Gate
from odenet.analyse.units import Unit
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Activation, State
from odenet.model.tables.activations import ACTIVATIONS


@dataclass(frozen=True)
class EnergyTerm:
    """weight · 1ᵀ diagonal Ψ(argument), where Ψ is the activation's primitive.

    Args:
        weight: a number.
        diagonal: canonical names of diagonals that multiply Ψ, with their powers > 0.
        activation: what Ψ is the primitive of; `identity` for ½ |argument|².
        argument: a field.
    """

    weight: expr.Node
    diagonal: tuple[tuple[str, int], ...]
    activation: Activation
    argument: expr.Node


@dataclass(frozen=True, kw_only=True)
class Energy:
    """E(s) with dE/dt = 0 or dE/dt <= 0 along the flow.

    Args:
        formula: E, `1ᵀΨ(K1 Z + b1) + ½ |Y|²`.
        rate: dE/dt, `0` or `-2 γ |φ1|²`.
        conserved: whether dE/dt = 0.
        terms: what to sum; empty when there is no code for it.
        obstacle: why there is none.
        units: what the φ in the rate are, `φ1 = relu(K Y)`.
        primitives: what the Ψ in the formula are, `Ψ' = relu`.
        condition: what E divides by, `d > 0`; else empty.
        listed: whether the φ are those that the proof lists.
        part: the statement that it follows from.
    """

    formula: str
    rate: str
    conserved: bool
    terms: tuple[EnergyTerm, ...]
    obstacle: str = ""
    units: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()
    condition: str = ""
    listed: bool = False
    part: Part | None = field(default=None, compare=False, repr=False)

    @property
    def explained(self) -> str:
        """Both, with all that is in them, to be read without a proof beside it."""
        return self._with((*self.units, *self.primitives))

    def __str__(self) -> str:
        if not self.listed:
            return self.explained
        plain = len(self.primitives) == 1 and self.primitives[0].startswith("Ψ' ")
        return self._with(() if plain else self.primitives)

    def _with(self, notes: tuple[str, ...]) -> str:
        sign = "" if self.conserved else " ≤ 0"
        condition = f" for {self.condition}" if self.condition else ""
        noted = f", with {', '.join(notes)}" if notes else ""
        return f"E = {self.formula},  dE/dt = {self.rate}{sign}{condition}{noted}"


def read_energy(
    part: Part,
    reader: FormulaReader,
    listed: tuple[Unit, ...] = (),
    positive: frozenset[str] = frozenset(),
) -> Energy:
    """The energy of a statement about all units at once.

    Args:
        part: the statement.
        reader: of the formulas.
        listed: the units that the proof above it lists as φ1, φ2, …
        positive: names that are taken to be >= 0.
    """
    obstacle = ""
    terms: list[EnergyTerm] = []
    for unit, weight in zip(part.units, part.weights, strict=True):
        obstacle = obstacle or _no_code(unit, weight, reader)
        if not obstacle:
            terms.append(_term(unit, weight, reader))
    return Energy(
        formula=energy_text.formula(part, reader),
        rate=energy_text.rate(part),
        conserved=not part.squares,
        terms=() if obstacle else tuple(terms),
        obstacle=obstacle,
        units=energy_text.units(part),
        primitives=energy_text.primitives(part, reader),
        condition=energy_text.condition(part, reader, positive),
        listed=[unit.text for unit in listed] == [unit.text for unit in part.units],
        part=part,
    )


# --- as typed formulas ---------------------------------------------------------------------------


def _no_code(unit: Unit, weight: Operator, reader: FormulaReader) -> str:
    """Why a term cannot be generated; empty if it can."""
    if unit.norms:
        return f"the primitive of {unit.text} needs the frozen statistics of {unit.norms[0]}"
    if unit.composed:
        return f"{unit.text} is a chain of activations without a primitive in closed form"
    for activation in unit.activations:
        if not ACTIVATIONS[activation.name].primitive:
            return f"{activation.name} has no primitive in closed form"
    if any(power < 0 for _, power in powers(weight.terms[0][0])):
        return f"the weight {weight} divides by a diagonal"
    names = [*weight.diagonals, *(n for op in unit.row.values() for n in op.diagonals)]
    gated = any(isinstance(reader.names[name], Gate) for name in names)
    if not unit.stages and (gated or _has_roots(unit)):
        return f"{unit.text} has no formula in the file"
    if any(isinstance(reader.names[name], Gate) for name in weight.diagonals):
        return "a weight of the energy is a field"
    return ""


def _term(unit: Unit, weight: Operator, reader: FormulaReader) -> EnergyTerm:
    word, scalar = weight.terms[0]
    found = list(powers(word))
    if unit.stages:
        assert unit.argument is not None
        activation, argument = unit.activations[0], unit.argument
    else:
        activation, (argument, roots) = LINEAR, _linear_argument(unit, reader)
        found += [(name, 2 * power) for name, power in roots]
    diagonal = tuple((str(reader.names[name]), int(power)) for name, power in found)
    return EnergyTerm(reader.node(scalar), diagonal, activation, argument)


def _linear_argument(unit: Unit, reader: FormulaReader) -> tuple[expr.Node, Powers]:
    """The field a linear unit reads; a diagonal before all of it is handed back apart."""
    roots = _common_diagonal(unit)
    terms: list[tuple[int, expr.Node]] = []
    for state, operator in unit.row.items():
        for word, scalar in operator.terms:
            node: expr.Node = State(str(reader.names[state.name]), state.order)
            for factor in reversed(_factors(word[1:] if roots else word, reader.names)):
                node = expr.Apply(factor, node)
            sign = -1 if scalar.terms[0][1] < 0 else 1
            size = scalar if sign > 0 else -scalar
            node = node if size == ONE else expr.Product(reader.node(size), node)
            terms.append((sign, node))
    alone = len(terms) == 1 and terms[0][0] > 0
    return (terms[0][1] if alone else expr.Sum(tuple(terms))), roots


def _common_diagonal(unit: Unit) -> Powers:
    """The diagonal that all words of a row begin with."""
    words = [word for operator in unit.row.values() for word, _ in operator.terms]
    heads = {word[0] if word and isinstance(word[0], Diagonal) else None for word in words}
    head = heads.pop() if len(heads) == 1 else None
    return head.powers if head is not None else ()


def _has_roots(unit: Unit) -> bool:
    """Whether roots of diagonals are left in a row."""
    words = [word for operator in unit.row.values() for word, _ in operator.terms]
    left = [p for word in words for _, p in powers(word[bool(_common_diagonal(unit)) :])]
    return any(power != int(power) or power < 0 for power in left)


def _factors(word: Word, names: Mapping[str, str | Gate]) -> list[expr.Node]:
    factors: list[expr.Node] = []
    for letter in word:
        if isinstance(letter, Letter):
            param = expr.Param(str(names[letter.name]))
            factors.append(expr.Adjoint(param) if letter.adjoint else param)
        else:
            for name, power in letter.powers:
                factors += [expr.Param(str(names[name]))] * int(power)
    return factors
