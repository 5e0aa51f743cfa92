"""Code for formulas in the lines of a scheme, one component (state) of each unknown at a time."""

from collections.abc import Iterator

from odenet.emit.expressions import Code, Printer
from odenet.emit.symbols import SymbolTable, ValueKey
from odenet.model.expressions import expr
from odenet.model.typed.scheme import STEP_NUMBER


class StepPrinter:
    """Prints the lines of a scheme for one component.

    Args:
        symbols: the Python names of the step.
        current: the variable that holds each value at this point of the step.
        step: the code of the step's number.
    """

    def __init__(self, symbols: SymbolTable, current: dict[ValueKey, str], step: str = "step"):
        self.symbols = symbols
        self.current = current
        self.step = step

    def __call__(self, node: expr.Node, component: int) -> Code:
        """The code of a formula for one component."""
        symbols = self.symbols

        def leaf(inner: expr.Node) -> Code:
            match inner:
                case expr.Slot():
                    return Code(self.current[inner.name, inner.offset, component])
                case expr.Stage():
                    return Code(self.current[inner.name, 0, component])
                case expr.Constant():
                    return symbols.constant_code(inner.name, self.constant)
                case expr.Rate():
                    return self.rate(inner, component)
                case expr.Bias() | expr.LearnedScalar():
                    return Code(value_code(inner.name))
                case _:
                    raise AssertionError(inner)

        def value_code(name: str) -> str:
            return symbols.parameter_value(name, self.parameter(name))

        return Printer(leaf, value_code, symbols.model.parameters, symbols.exponential)(node)

    def constant(self, name: str) -> str:
        """The code of a constant that differs from step to step."""
        if name == STEP_NUMBER:
            return self.step
        return f"{self.symbols.constant(name)}[{self.step}]"

    def parameter(self, name: str) -> str:
        """The code of the step's weights: a parameter's tensor or a map's module."""
        return self.symbols.step_parameter(name, self.step)

    def rate(self, node: expr.Rate, component: int) -> Code:
        """The call of the method of a right-hand side."""
        symbols = self.symbols
        method = symbols.rate_method(node, component)
        arguments = [self(value, i).text for value, i in symbols.rate_inputs(node, component)]
        arguments += ["u"] * method.reads_input
        if method.reads_time:
            assert node.time is not None, "the scheme of equations with a time has times"
            arguments.append(symbols.scalar_code(node.time, self.constant).text)
        arguments += map(self.parameter, method.params)
        return Code(f"self.{method.name}({', '.join(arguments)})")


def values_read(symbols: SymbolTable, node: expr.Node, component: int) -> Iterator[ValueKey]:
    """The values that a formula reads, for one component."""
    match node:
        case expr.Slot():
            yield node.name, node.offset, component
        case expr.Stage():
            yield node.name, 0, component
        case expr.Rate():
            for value, i in symbols.rate_inputs(node, component):
                yield from values_read(symbols, value, i)
        case _:
            for child in node.children():
                yield from values_read(symbols, child, component)
