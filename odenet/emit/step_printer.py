"""Code for formulas in the lines of a scheme, one state of each unknown at a time."""

from collections.abc import Iterator

from odenet.emit.expressions import Code, Printer
from odenet.emit.frame import Frame, ValueKey
from odenet.model.expressions import expr
from odenet.model.typed.scheme import STEP_NUMBER


class StepPrinter:
    """Prints the lines of a scheme for one component.

    Args:
        frame: the names.
        current: the variable that holds each value at this point of the step.
        step: the code of the step's number.
    """

    def __init__(self, frame: Frame, current: dict[ValueKey, str], step: str = "step"):
        self.frame = frame
        self.current = current
        self.step = step

    def __call__(self, node: expr.Node, component: int) -> Code:
        """The code of a formula for one component."""
        frame = self.frame

        def leaf(inner: expr.Node) -> Code:
            match inner:
                case expr.Slot():
                    return Code(self.current[inner.name, inner.offset, component])
                case expr.Stage():
                    return Code(self.current[inner.name, 0, component])
                case expr.Constant():
                    return frame.constant_code(inner.name, self.constant)
                case expr.Rate():
                    return self.rate(inner, component)
                case expr.Bias() | expr.LearnedScalar():
                    return Code(value(inner.name))
                case _:
                    raise AssertionError(inner)

        def value(name: str) -> str:
            return frame.parameter_value(name, self.parameter(name))

        return Printer(leaf, value, frame.model.parameters, frame.exponential)(node)

    def constant(self, name: str) -> str:
        """The code of a constant that differs from step to step."""
        if name == STEP_NUMBER:
            return self.step
        return f"{self.frame.constant(name)}[{self.step}]"

    def parameter(self, name: str) -> str:
        """The code of a parameter or map of the step."""
        return self.frame.step_parameter(name, self.step)

    def rate(self, node: expr.Rate, component: int) -> Code:
        """The call of the method of a right-hand side."""
        frame = self.frame
        method = frame.rate_method(node, component)
        arguments = [self(value, i).text for value, i in frame.rate_inputs(node, component)]
        arguments += ["u"] * method.reads_input
        if method.reads_time:
            assert node.time is not None, "the scheme of equations with a time has times"
            arguments.append(frame.scalar_code(node.time, self.constant).text)
        arguments += map(self.parameter, method.params)
        return Code(f"self.{method.name}({', '.join(arguments)})")


def values_read(frame: Frame, node: expr.Node, component: int) -> Iterator[ValueKey]:
    """The values that a formula reads, for one component."""
    match node:
        case expr.Slot():
            yield node.name, node.offset, component
        case expr.Stage():
            yield node.name, 0, component
        case expr.Rate():
            for value, i in frame.rate_inputs(node, component):
                yield from values_read(frame, value, i)
        case _:
            for child in node.children():
                yield from values_read(frame, child, component)
