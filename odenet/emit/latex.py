"""Formulas as LaTeX."""

from odenet.language.names import GREEK
from odenet.model import expr
from odenet.model.activations import ACTIVATIONS
from odenet.model.program import Model
from odenet.model.scheme import Scheme

_LETTERS = {name: f"\\{name}" for name in GREEK.values()} | {"omicron": "o"}
_LETTERS |= {name.capitalize(): code[0] + code[1:].capitalize() for name, code in _LETTERS.items()}


def name(canonical: str) -> str:
    """A name: Greek letters by their commands, trailing digits as an index."""
    base = canonical.rstrip("0123456789")
    index = canonical[len(base) :]
    base, _, tail = base.partition("_")
    letter = _LETTERS.get(base, base if len(base) == 1 else f"\\mathrm{{{base}}}")
    index = ",".join(part for part in (tail.replace("_", "\\_"), index) if part)
    return f"{letter}_{{{index}}}" if index else letter


def formula(node: expr.Node, tight: bool = False) -> str:
    """A formula; `tight` puts a sum in brackets."""
    match node:
        case expr.Sum():
            text = "".join(
                f"{'-' if sign < 0 else '+' if i else ''} {formula(term, tight=sign < 0)} "
                for i, (sign, term) in enumerate(node.terms)
            ).strip()
            return f"\\left({text}\\right)" if tight else text
        case expr.Product() | expr.Compose():
            return f"{formula(node.left, True)}\\,{formula(node.right, True)}"
        case expr.Apply():
            return f"{formula(node.operator, True)}\\,{formula(node.operand, True)}"
        case expr.Quotient():
            return f"\\frac{{{formula(node.numerator)}}}{{{formula(node.denominator)}}}"
        case expr.Power():
            return f"{formula(node.base, True)}^{{{formula(node.exponent)}}}"
        case expr.Adjoint():
            return f"{formula(node.of, True)}^{{\\top}}"
        case expr.Hadamard():
            return f"{formula(node.left, True)} \\odot {formula(node.right, True)}"
        case expr.Activate():
            return f"{_activation(node.activation)}\\left({formula(node.operand)}\\right)"
        case expr.Call():
            return f"{name(node.function.name)}\\left({formula(node.operand)}\\right)"
        case expr.Rate():
            inside = ", ".join(formula(argument) for argument in node.arguments)
            return f"{name(node.function)}\\left({inside}\\right)"
        case expr.Concat():
            return f"\\left({', '.join(formula(part) for part in node.parts)}\\right)"
        case expr.Slot():
            return f"{name(node.name)}^{{({_index(node.offset)})}}"
        case expr.State():
            return name(node.name) if node.order == 0 else f"\\dot{{{name(node.name)}}}"
    return _leaf(node)


def _leaf(node: expr.Node) -> str:
    match node:
        case expr.Number():
            value = node.value
            return node.text if value.denominator == 1 or "." in node.text else str(value)
        case expr.Identity():
            return "I"
        case expr.Input():
            return "u"
        case expr.Zero():
            return "0"
        case expr.Split():
            return "\\mathrm{split}(u)"
        case (
            expr.Constant(label) | expr.Learned(label) | expr.Param(label) | expr.Bias(label)
            | expr.Stage(label) | expr.Map(label)
        ):  # fmt: skip
            return name(label)
    raise AssertionError(node)


def _activation(node: expr.Activation) -> str:
    constants = ", ".join(formula(constant) for constant in node.constants)
    own = ACTIVATIONS[node.name].latex
    base = own or f"\\mathrm{{{node.name.replace('_', '-')}}}"
    return f"{base}_{{{constants}}}" if constants else base


def _index(offset: int) -> str:
    return "n" if offset == 0 else f"n{offset:+d}"


def equations(model: Model) -> str:
    """The differential equations, aligned."""
    dots = {1: "\\dot", 2: "\\ddot"}
    rows = [
        f"{dots[order]}{{{name(state)}}} &= {formula(model.dynamics.rates[state])}"
        for state, order in model.dynamics.states.items()
    ]
    return aligned(rows)


def rule(scheme: Scheme) -> str:
    """The lines of a step, aligned."""
    return aligned([f"{formula(u.target)} &= {formula(u.value)}" for u in scheme.updates])


def aligned(rows: list[str]) -> str:
    """Rows of an aligned display."""
    body = " \\\\\n".join(f"  {row}" for row in rows)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
