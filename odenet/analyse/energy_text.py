"""Prints an energy, and definitions of the functions φ (units) and Ψ (primitives) in it.

The units of an energy are those of the author's formulas. The units of the proof can differ: there
a decay may be split off, linear parts of units moved out, or the proof may go block by block.
"""

from fractions import Fraction

from odenet.analyse.conditions import ProofPart
from odenet.analyse.laurent import ONE, Scalar, factor_text, signed_sum
from odenet.analyse.operator_algebra import Operator, word_powers, word_text
from odenet.analyse.read_formulas import LINEAR, FormulaReader
from odenet.analyse.read_numbers import source_text
from odenet.analyse.read_units import stage_text
from odenet.analyse.units import Unit
from odenet.model.expressions import expr

INDICES = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def formula(part: ProofPart, reader: FormulaReader) -> str:
    """The energy, `1ᵀΨ(K1 Z + b1) + ½ |Y|²`."""
    names = _primitive_names(part, reader)
    terms: list[tuple[int, str]] = []
    for unit, weight in zip(part.units, part.weights, strict=True):
        sign = weight.terms[0][1].printed_sign
        primitive = names.get(_derivative_text(unit, reader), "")
        terms.append((sign, _term_text(unit, weight if sign > 0 else -weight, primitive)))
    return signed_sum(iter(terms))


def primitive_definitions(part: ProofPart, reader: FormulaReader) -> tuple[str, ...]:
    """The definition of each Ψ, `Ψ' = relu` or `Ψ₁'(t) = relu(N(t))`."""
    names = _primitive_names(part, reader)
    return tuple(f"{name}'{derivative}" for derivative, name in names.items())


def unit_definitions(part: ProofPart) -> tuple[str, ...]:
    """The definition of each φ in the rate, `φ1 = relu(K Y)`."""
    appearing = {i for square in part.squares for i, operator in enumerate(square.row) if operator}
    return tuple(f"φ{i + 1} = {part.units[i].text}" for i in sorted(appearing))


def nonzero_condition(part: ProofPart, reader: FormulaReader, nonnegative: frozenset[str]) -> str:
    """The condition that denominators are not 0: `d > 0`, or `g ≠ 0` if g can be negative.

    Args:
        part: the proof of the energy.
        reader: knows which symbols have a value; these are not part of the condition.
        nonnegative: names of the numbers and diagonals that are at least 0.
    """
    operators = [*part.weights, *(operator for square in part.squares for operator in square.row)]
    scalars = [square.weight for square in part.squares]
    scalars += [scalar for operator in operators for _, scalar in operator.terms]
    divisors = {n for scalar in scalars for m, _ in scalar.terms for n, power in m if power < 0}
    words = [word for operator in operators for word, _ in operator.terms]
    divisors |= {name for word in words for name, power in word_powers(word) if power < 0}
    names = sorted(divisors - reader.values.keys())
    return " and ".join(f"{name} {'>' if name in nonnegative else '≠'} 0" for name in names)


def _primitive_names(part: ProofPart, reader: FormulaReader) -> dict[str, str]:
    """The name of each primitive, by the text that follows the name in its definition.

    `{" = relu": "Ψ"}` if there is only one and it is that of an activation; else the names are
    Ψ₁, Ψ₂ etc., as in `{" = relu": "Ψ₁", "(t) = relu(N(t))": "Ψ₂"}`.
    """
    derivatives = [_derivative_text(unit, reader) for unit in part.units]
    distinct = list(dict.fromkeys(derivative for derivative in derivatives if derivative))
    if len(distinct) == 1 and not distinct[0].startswith("("):
        return {distinct[0]: "Ψ"}
    return {text: f"Ψ{str(i).translate(INDICES)}" for i, text in enumerate(distinct, start=1)}


def _derivative_text(unit: Unit, reader: FormulaReader) -> str:
    """The text after Ψ' in its definition: ` = relu`, `(t) = relu(N(t))`; empty for ½ |·|²."""
    if not unit.stages or unit.stages == (LINEAR,):
        return ""
    if unit.function_text:
        return f"(t) = {unit.function_text}"
    return f" = {stage_text(unit.stages[0], reader)}"


def _term_text(unit: Unit, weight: Operator, primitive: str) -> str:
    """The term of a unit without its sign; `primitive`, the name of its Ψ, is empty for ½ |·|²."""
    word, scalar = weight.terms[0]
    diagonal = word_text(word) + " " if word else ""
    argument = _argument_text(unit)
    if unit.stages and unit.stages != (LINEAR,):
        return f"{factor_text(scalar)}1ᵀ{diagonal}{primitive}({argument})"
    factor = "½ " if scalar == ONE else factor_text(Scalar.number(Fraction(1, 2)) * scalar)
    return f"{factor}1ᵀ{diagonal}({argument})²" if word else f"{factor}|{argument}|²"


def _argument_text(unit: Unit) -> str:
    match unit.argument:
        case None:
            return unit.text
        case expr.Sum(((-1, inside),)) if unit.argument.span is None:  # made by _ChainReader.unit
            return f"-({source_text(inside)})"
        case argument:
            return source_text(argument)


def rate(part: ProofPart) -> str:
    """The time derivative φᵀ C M φ of the energy, `-2 γ |φ1|²`."""
    if not part.squares:
        return "0"
    # The squares add up to -C M for a real spectrum, else to -(C M + (C M)ᵀ).
    factor = Scalar.number(1 if part.spectrum == "real" else Fraction(1, 2))
    return signed_sum((-1, _square_text(factor * s.weight, s.row)) for s in part.squares)


def _square_text(weight: Scalar, row: tuple[Operator, ...]) -> str:
    combination = signed_sum(_signed_term(op, f"φ{i}") for i, op in enumerate(row, 1) if op)
    return f"{factor_text(weight)}|{combination}|²"


def _signed_term(operator: Operator, operand: str) -> tuple[int, str]:
    """An operator times an operand as (sign, text)."""
    if len(operator.terms) == 1 and str(operator).startswith("-"):
        return -1, product_text(-operator, operand)
    return 1, product_text(operator, operand)


def product_text(operator: Operator, operand: str) -> str:
    """An operator times an operand, `K1ᵀ φ2`."""
    if str(operator) == "I":
        return operand
    if len(operator.terms) > 1:
        return f"({operator}) {operand}"
    return f"{operator} {operand}".replace("I ", "")
