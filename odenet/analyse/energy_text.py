"""The energy as text, with what each φ and Ψ in it is.

The units of an energy are those of the author's formulas. A proof may be about others: without a
decay, with slopes moved, or block by block.
"""

from fractions import Fraction

from odenet.analyse.conditions import Part
from odenet.analyse.laurent import ONE, Scalar, factor_text, signed_sum
from odenet.analyse.operator_algebra import Operator, powers, word_text
from odenet.analyse.read_formulas import LINEAR, FormulaReader
from odenet.analyse.read_numbers import text_of
from odenet.analyse.read_units import stage_text
from odenet.analyse.units import Unit
from odenet.model.expressions import expr

INDICES = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def formula(part: Part, reader: FormulaReader) -> str:
    """`1ᵀΨ(K1 Z + b1) + ½ |Y|²`."""
    names = _names(part, reader)
    terms: list[tuple[int, str]] = []
    for unit, weight in zip(part.units, part.weights, strict=True):
        sign = weight.terms[0][1].sign
        name = names.get(_derivative(unit, reader), "")
        terms.append((sign, _text(unit, weight if sign > 0 else -weight, name)))
    return signed_sum(iter(terms))


def primitives(part: Part, reader: FormulaReader) -> tuple[str, ...]:
    """`Ψ' = relu`, or `Ψ₁'(t) = relu(N(t))`, for each Ψ."""
    return tuple(f"{name}'{derivative}" for derivative, name in _names(part, reader).items())


def units(part: Part) -> tuple[str, ...]:
    """`φ1 = relu(K Y)`, for each φ in the rate."""
    used = {i for square in part.squares for i, operator in enumerate(square.row) if operator}
    return tuple(f"φ{i + 1} = {part.units[i].text}" for i in sorted(used))


def condition(part: Part, reader: FormulaReader, positive: frozenset[str]) -> str:
    """`d > 0` for what the energy divides by, `g ≠ 0` where no sign of it is known."""
    operators = [*part.weights, *(operator for square in part.squares for operator in square.row)]
    scalars = [square.weight for square in part.squares]
    scalars += [scalar for operator in operators for _, scalar in operator.terms]
    divided = {n for scalar in scalars for m, _ in scalar.terms for n, power in m if power < 0}
    words = [word for operator in operators for word, _ in operator.terms]
    divided |= {name for word in words for name, power in powers(word) if power < 0}
    found = sorted(divided - reader.values.keys())
    return " and ".join(f"{name} {'>' if name in positive else '≠'} 0" for name in found)


def _names(part: Part, reader: FormulaReader) -> dict[str, str]:
    """Ψ, or Ψ₁, Ψ₂, … where there are several or one is not a primitive of an activation alone."""
    derivatives = [_derivative(unit, reader) for unit in part.units]
    found = list(dict.fromkeys(derivative for derivative in derivatives if derivative))
    if len(found) == 1 and not found[0].startswith("("):
        return {found[0]: "Ψ"}
    return {one: f"Ψ{str(i).translate(INDICES)}" for i, one in enumerate(found, start=1)}


def _derivative(unit: Unit, reader: FormulaReader) -> str:
    """What follows Ψ': ` = relu`, `(t) = relu(N(t))`; empty for ½ |·|²."""
    if not unit.stages or unit.stages == (LINEAR,):
        return ""
    if unit.composed:
        return f"(t) = {unit.composed}"
    return f" = {stage_text(unit.stages[0], reader)}"


def _text(unit: Unit, weight: Operator, primitive: str) -> str:
    word, scalar = weight.terms[0]
    diagonal = word_text(word) + " " if word else ""
    argument = _argument(unit)
    if unit.stages and unit.stages != (LINEAR,):
        return f"{factor_text(scalar)}1ᵀ{diagonal}{primitive}({argument})"
    half = "½ " if scalar == ONE else factor_text(Scalar.number(Fraction(1, 2)) * scalar)
    return f"{half}1ᵀ{diagonal}({argument})²" if word else f"{half}|{argument}|²"


def _argument(unit: Unit) -> str:
    match unit.argument:
        case None:
            return unit.text
        case expr.Sum(((-1, inside),)) if unit.argument.span is None:
            return f"-({text_of(inside)})"
        case argument:
            return text_of(argument)


def rate(part: Part) -> str:
    """`-2 γ |φ1|²`."""
    if not part.squares:
        return "0"
    factor = Scalar.number(1 if part.spectrum == "real" else Fraction(1, 2))
    return signed_sum((-1, _square(factor * square.weight, square.row)) for square in part.squares)


def _square(weight: Scalar, row: tuple[Operator, ...]) -> str:
    numbered = enumerate(row, start=1)
    inside = signed_sum(_signed(operator, f"φ{i}") for i, operator in numbered if operator)
    return f"{factor_text(weight)}|{inside}|²"


def _signed(operator: Operator, what: str) -> tuple[int, str]:
    """A term with its sign apart, where it is one word."""
    negative = len(operator.terms) == 1 and str(operator).startswith("-")
    return (-1, applied(-operator, what)) if negative else (1, applied(operator, what))


def applied(operator: Operator, what: str) -> str:
    """`K1ᵀ φ2`."""
    if str(operator) == "I":
        return what
    if len(operator.terms) > 1:
        return f"({operator}) {what}"
    return f"{operator} {what}".replace("I ", "")
