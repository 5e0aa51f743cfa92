"""The energy that is conserved or decreasing because of what a proof shows about C M."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from odenet.analyse import energy_text
from odenet.analyse.conditions import ProofPart
from odenet.analyse.laurent import ONE
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, Powers, Word, word_powers
from odenet.analyse.read_formulas import LINEAR, FormulaReader, Gate
from odenet.analyse.units import Unit
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Activation, State
from odenet.model.tables.activations import ACTIVATIONS


@dataclass(frozen=True)
class EnergyTerm:
    """coefficient · 1ᵀ diagonal Ψ(argument), the sum of all entries; Ψ' is the activation.

    Args:
        coefficient: a formula for a number.
        diagonal: (canonical name, power > 0) of each diagonal that multiplies Ψ, if any.
        activation: the derivative of Ψ; `identity` for ½ |argument|².
        argument: the argument of Ψ, a formula in states, input and weights.
    """

    coefficient: expr.Node
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
        terms: E as a sum, from which code is generated; empty if that is not possible.
        obstacle: why no code can be generated.
        units: definitions of the φ in the rate, `φ1 = relu(K Y)`.
        primitives: definitions of the Ψ in the formula, `Ψ' = relu`.
        condition: that the denominators of E are not 0, `d > 0`; empty if it has none.
        uses_proof_units: whether φ1, φ2, … are the same functions here as in the printed proof.
        part: the proof from which it follows.
    """

    formula: str
    rate: str
    conserved: bool
    terms: tuple[EnergyTerm, ...]
    obstacle: str = ""
    units: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()
    condition: str = ""
    uses_proof_units: bool = False
    part: ProofPart | None = field(default=None, compare=False, repr=False)

    @property
    def full_text(self) -> str:
        """E and dE/dt with all definitions, to be read without the proof."""
        return self._with_definitions((*self.units, *self.primitives))

    def __str__(self) -> str:
        if not self.uses_proof_units:
            return self.full_text
        # `Ψ' = relu` is left out: the proof shows the activation. `Ψ₁'(t) = relu(N(t))` is printed.
        is_single_activation = len(self.primitives) == 1 and self.primitives[0].startswith("Ψ' ")
        return self._with_definitions(() if is_single_activation else self.primitives)

    def _with_definitions(self, definitions: tuple[str, ...]) -> str:
        sign = "" if self.conserved else " ≤ 0"
        condition = f" for {self.condition}" if self.condition else ""
        definition_text = f", with {', '.join(definitions)}" if definitions else ""
        return f"E = {self.formula},  dE/dt = {self.rate}{sign}{condition}{definition_text}"


def read_energy(
    part: ProofPart,
    reader: FormulaReader,
    proof_units: tuple[Unit, ...] = (),
    nonnegative: frozenset[str] = frozenset(),
) -> Energy:
    """The energy that follows from a proof about all units at once.

    Args:
        part: the proof.
        reader: the reader of the model's formulas.
        proof_units: the units φ1, φ2, … of the proof that is printed above the energy.
        nonnegative: names of the numbers and diagonals that are taken to be >= 0.
    """
    obstacle = ""
    terms: list[EnergyTerm] = []
    for unit, weight in zip(part.units, part.weights, strict=True):
        obstacle = obstacle or _obstacle(unit, weight, reader)
        if not obstacle:
            terms.append(_energy_term(unit, weight, reader))
    return Energy(
        formula=energy_text.formula(part, reader),
        rate=energy_text.rate(part),
        conserved=not part.squares,
        terms=() if obstacle else tuple(terms),
        obstacle=obstacle,
        units=energy_text.unit_definitions(part),
        primitives=energy_text.primitive_definitions(part, reader),
        condition=energy_text.nonzero_condition(part, reader, nonnegative),
        uses_proof_units=[unit.text for unit in proof_units] == [unit.text for unit in part.units],
        part=part,
    )


# --- as typed formulas ---------------------------------------------------------------------------


def _obstacle(unit: Unit, weight: Operator, reader: FormulaReader) -> str:
    """Why there is no code for the term of a unit in the energy; empty if there is.

    Args:
        unit: the unit.
        weight: its c in the diagonal of C, a number times diagonals.
        reader: the reader of the model's formulas.
    """
    if unit.norms:
        return f"the primitive of {unit.text} needs the frozen statistics of {unit.norms[0]}"
    if unit.function_text:
        return f"{unit.text} is a chain of activations without a primitive in closed form"
    for activation in unit.activations:
        if not ACTIVATIONS[activation.name].primitive:
            return f"{activation.name} has no primitive in closed form"
    if any(power < 0 for _, power in word_powers(weight.terms[0][0])):
        return f"the weight {weight} divides by a diagonal"
    names = [*weight.diagonals, *(n for op in unit.row.values() for n in op.diagonals)]
    has_gate = any(isinstance(reader.meanings[name], Gate) for name in names)
    if not unit.stages and (has_gate or _has_roots_or_inverses(unit)):
        return f"{unit.text} has no formula in the file"
    if any(isinstance(reader.meanings[name], Gate) for name in weight.diagonals):  # as b in b * Y
        return "a weight of the energy is a field"
    return ""


def _energy_term(unit: Unit, weight: Operator, reader: FormulaReader) -> EnergyTerm:
    word, scalar = weight.terms[0]
    diagonal_terms = list(word_powers(word))
    if unit.stages:
        assert unit.argument is not None
        activation, argument = unit.activations[0], unit.argument
    else:
        activation, (argument, powers) = LINEAR, _linear_argument(unit, reader)
        diagonal_terms += [(name, 2 * power) for name, power in powers]  # ½ |d x|² = ½ 1ᵀ d² x²
    diagonal = tuple((str(reader.meanings[name]), int(power)) for name, power in diagonal_terms)
    return EnergyTerm(reader.number_formula(scalar), diagonal, activation, argument)


def _linear_argument(unit: Unit, reader: FormulaReader) -> tuple[expr.Node, Powers]:
    """The argument d x of a linear unit, for the diagonal d with which all its words begin.

    Returns:
        The formula of x, and the powers in d.
    """
    diagonal_powers = _common_diagonal(unit)
    terms: list[tuple[int, expr.Node]] = []
    for state, operator in unit.row.items():
        for word, scalar in operator.terms:
            node: expr.Node = State(str(reader.meanings[state.name]), state.order)
            operators = _factors(word[1:] if diagonal_powers else word, reader.meanings)
            for factor in reversed(operators):
                node = expr.Apply(factor, node)
            sign = -1 if scalar.terms[0][1] < 0 else 1
            coefficient = scalar if sign > 0 else -scalar
            if coefficient != ONE:
                node = expr.Product(reader.number_formula(coefficient), node)
            terms.append((sign, node))
    needs_no_sum = len(terms) == 1 and terms[0][0] > 0
    return (terms[0][1] if needs_no_sum else expr.Sum(tuple(terms))), diagonal_powers


def _common_diagonal(unit: Unit) -> Powers:
    """The powers of the diagonal with which all words of a row begin; empty if there is none."""
    words = [word for operator in unit.row.values() for word, _ in operator.terms]
    diagonals = {word[0] if word and isinstance(word[0], Diagonal) else None for word in words}
    diagonal = diagonals.pop() if len(diagonals) == 1 else None
    return diagonal.powers if diagonal is not None else ()


def _has_roots_or_inverses(unit: Unit) -> bool:
    """Whether a row has roots or inverses of diagonals, apart from a common one at the start."""
    words = [word for operator in unit.row.values() for word, _ in operator.terms]
    start = 1 if _common_diagonal(unit) else 0
    powers = [power for word in words for _, power in word_powers(word[start:])]
    return any(power != int(power) or power < 0 for power in powers)


def _factors(word: Word, meanings: Mapping[str, str | Gate]) -> list[expr.Node]:
    """The operators in a word as formulas."""
    factors: list[expr.Node] = []
    for letter in word:
        if isinstance(letter, Letter):
            param = expr.LearnedOperator(str(meanings[letter.name]))
            factors.append(expr.Adjoint(param) if letter.adjoint else param)
        else:
            for name, power in letter.powers:
                factors += [expr.LearnedOperator(str(meanings[name]))] * int(power)
    return factors
