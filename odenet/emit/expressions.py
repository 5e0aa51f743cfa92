"""Formulas of a specification as torch code, with the operations in the order of the source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from odenet.analyse.laurent import signed_sum
from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.declared_parameters import DeclaredParameter

SUM, PRODUCT, SIGN, POWER, ATOM = range(5)  # levels of precedence, loosest first


@dataclass(frozen=True)
class Code:
    """A Python expression and its level of precedence."""

    text: str
    precedence: int = ATOM

    def within(self, precedence: int) -> str:
        """The text as an operand; in brackets if it binds less tightly than `precedence`."""
        return self.text if self.precedence >= precedence else f"({self.text})"

    def __mul__(self, other: "Code") -> "Code":
        return Code(f"{self.within(PRODUCT)} * {other.within(SIGN)}", PRODUCT)

    def __truediv__(self, other: "Code") -> "Code":
        return Code(f"{self.within(PRODUCT)} / {other.within(SIGN)}", PRODUCT)

    def __pow__(self, exponent: "Code") -> "Code":
        parts = (self.text, exponent.text)
        simple = all(text.replace(".", "").replace("_", "").isalnum() for text in parts)
        operator = "**" if simple else " ** "  # as ruff formats powers
        return Code(f"{self.within(ATOM)}{operator}{exponent.within(SIGN)}", POWER)


LARGEST_INTEGER = 2**53  # beyond it torch takes integers by their float value, or not at all


def number(value: Fraction | float) -> str:
    """A number as a Python literal."""
    if isinstance(value, Fraction) and value.denominator == 1 and abs(value) < LARGEST_INTEGER:
        return str(value.numerator)
    return repr(float(value))


class Printer:
    """Prints formulas as torch code.

    Args:
        leaf: gives the code of nodes without operands: states, slots, stages, right-hand sides,
            biases, constants and learned scalars.
        value_code: gives the code of a parameter's value, or of a map, by its name in the model.
        parameters: the declared parameters.
        exponential: the name of the function for exp of a number.
    """

    def __init__(
        self,
        leaf: Callable[[expr.Node], Code],
        value_code: Callable[[str], str],
        parameters: Mapping[str, DeclaredParameter],
        exponential: str = "math.exp",
    ):
        self.exponential = exponential
        self.leaf = leaf
        self.value_code = value_code
        self.parameters = parameters

    def __call__(self, node: expr.Node) -> Code:
        """The code of a scalar or a feature map."""
        match node:
            case expr.Number():
                return Code(number(node.value))
            case expr.Sum() | expr.Product() | expr.Quotient() | expr.Power():
                return self._arithmetic(node, self)
            case expr.Exp():
                return Code(f"{self.exponential}({self(node.exponent).text})")
            case expr.Hadamard():
                return self(node.left) * self(node.right)
            case expr.ElementwiseExp():
                return Code(f"torch.exp({self(node.operand).text})")
            case expr.Apply():
                return self.apply(node.operator, self(node.operand))
            case expr.Activate():
                return self._activate(node)
            case expr.MapCall():
                return Code(f"{self.value_code(node.function.name)}({self(node.operand).text})")
            case expr.Concat():
                parts = ", ".join(self(part).text for part in node.parts)
                return Code(f"torch.cat(({parts}), dim=1)") if len(node.parts) > 1 else Code(parts)
            case _:
                return self.leaf(node)

    def _arithmetic(self, node: expr.Node, code_of: Callable[[expr.Node], Code]) -> Code:
        if isinstance(node, expr.Sum):
            return _sum([(sign, code_of(term)) for sign, term in node.terms])
        return fold_arithmetic(node, code_of, self)

    def _activate(self, node: expr.Activate) -> Code:
        row = ACTIVATIONS[node.activation.name]
        constants = [self(constant).text for constant in node.activation.constants]
        operand = self(node.operand)
        if row.code == "{x}":
            return operand
        return Code(row.code.format(*constants, x=operand.text))

    # operators

    def apply(self, operator: expr.Node, operand: Code) -> Code:
        """The code of an operator applied to a feature map."""
        match operator:
            case expr.Identity():
                return operand
            case expr.LearnedOperator():
                return self._operator_call(operator.name, self.value_code(operator.name), operand)
            case expr.Adjoint(expr.LearnedOperator(name)):
                return self._operator_call(name, self.value_code(name), operand, adjoint=True)
            case expr.Compose():
                return self.apply(operator.left, self.apply(operator.right, operand))
            case expr.Sum() if names := self.summable_kernels(operator):
                # one convolution with an assembled kernel, where that is the same
                kernel = self.assemble(operator, self.parameters[names[0]]).text
                return self._operator_call(names[0], kernel, operand)
            case _:
                return self._arithmetic(operator, lambda part: self.apply(part, operand))

    def _operator_call(self, name: str, kernel: str, operand: Code, adjoint: bool = False) -> Code:
        parameter = self.parameters[name]
        function = parameter.operator.adjoint if adjoint else parameter.operator.function
        options = keywords(parameter, self.value_code(name))
        return Code(f"{function}({operand.text}, {kernel}{options})")

    def summable_kernels(self, operator: expr.Node) -> list[str]:
        """The names of the parameters in a sum of operators; empty if their kernels don't add up.

        Kernels can be added if all have one form and map c to c channels; the identity may be among
        the summands.
        """
        operators = [n for n in operator.walk() if isinstance(n, expr.Operator)]
        if any(isinstance(n, expr.Compose) for n in operators):
            return []
        names = [n.name for n in operators if isinstance(n, expr.LearnedOperator)]
        forms = {_kernel_form(self.parameters[name]) for name in names}
        return names if names and len(forms) == 1 and None not in forms else []

    def assemble(self, operator: expr.Node, parameter: DeclaredParameter) -> Code:
        """The code of the kernel of a sum of operators; `parameter` is the first of them."""
        match operator:
            case expr.Identity():
                first = self.value_code(parameter.name)
                return Code(f"eye_kernel({first}{keywords(parameter, first, only='groups')})")
            case expr.LearnedOperator():
                kernel = self.value_code(operator.name)
                # padded to odd size, which the kernels of adjoints and of the identity have
                even = parameter.options.get("k", 1) % 2 == 0
                return Code(f"odd_kernel({kernel})") if even else Code(kernel)
            case expr.Adjoint(expr.LearnedOperator(name)):
                kernel = self.value_code(name)
                return Code(f"adjoint_kernel({kernel}{keywords(parameter, kernel, only='groups')})")
            case _:
                return self._arithmetic(operator, lambda part: self.assemble(part, parameter))


def _sum(terms: Sequence[tuple[int, Code]]) -> Code:
    """Terms with their signs; a sum among them keeps its brackets."""
    text = signed_sum((sign, code.within(PRODUCT)) for sign, code in terms)
    # `-a / b` binds like `a / b`
    return Code(text, SUM if len(terms) > 1 else min(SIGN, terms[0][1].precedence))


def _kernel_form(parameter: DeclaredParameter) -> tuple[Any, ...] | None:
    """What has to agree for kernels to be added; None for operators without such a kernel."""
    if not parameter.operator.kernel or parameter.width_in != parameter.width_out:
        return None
    ignored = ("init", "in", "out", "knots")
    options = {k: v for k, v in parameter.options.items() if k not in ignored}
    return parameter.type, tuple(sorted(options.items())), parameter.width_in


def keywords(parameter: DeclaredParameter, kernel: str, only: str = "") -> str:
    """The code of an operator's keyword arguments that differ from their defaults: `, groups=2`.

    Args:
        parameter: the operator.
        kernel: the code of its tensor.
        only: the one keyword to print; all if empty.
    """
    values = parameter.operator.keywords(parameter.options, f"{kernel}.shape[0]")
    return "".join(f", {name}={value}" for name, value in values.items() if only in ("", name))
