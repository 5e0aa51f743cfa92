"""The lines of a scheme as code, for one component of its unknowns."""

from collections.abc import Iterator

from odenet.emit.expressions import Code, Printer
from odenet.emit.frame import Frame, Value
from odenet.model.expressions import expr
from odenet.model.typed.scheme import COUNT


class StepPrinter:
    """Prints the lines of a scheme for one component.

    Args:
        frame: the names.
        current: the variable that holds each (unknown or stage, offset, component) now.
        step: the code of the step's number.
    """

    def __init__(self, frame: Frame, current: dict[Value, str], step: str = "step"):
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
                    return frame.constant_at(inner.name, self.constant)
                case expr.Rate():
                    return self.rate(inner, component)
                case expr.Bias() | expr.LearnedScalar():
                    return Code(value(inner.name))
                case _:
                    raise AssertionError(inner)

        def value(name: str) -> str:
            return frame.value_of(name, self.param(name))

        return Printer(leaf, value, frame.model.parameters, frame.exponential)(node)

    def constant(self, name: str) -> str:
        """A constant that differs from step to step."""
        if name == COUNT:
            return self.step
        return f"{self.frame.constant(name)}[{self.step}]"

    def param(self, name: str) -> str:
        """A parameter or map of the step."""
        return self.frame.at_step(name, self.step)

    def rate(self, node: expr.Rate, component: int) -> Code:
        """A call of the method of a right-hand side."""
        frame = self.frame
        method = frame.rate_method(node, component)
        arguments = [self(value, i).text for value, i in frame.handed(node, component)]
        arguments += ["u"] * method.input
        if method.time:
            assert node.time is not None, "the scheme of equations with a time has times"
            arguments.append(frame.scalar(node.time, self.constant).text)
        arguments += map(self.param, method.params)
        return Code(f"self.{method.name}({', '.join(arguments)})")


def values_read(frame: Frame, node: expr.Node, component: int) -> Iterator[Value]:
    """The values a formula reads, for one of its components."""
    match node:
        case expr.Slot():
            yield node.name, node.offset, component
        case expr.Stage():
            yield node.name, 0, component
        case expr.Rate():
            for value, i in frame.handed(node, component):
                yield from values_read(frame, value, i)
        case _:
            for child in node.children():
                yield from values_read(frame, child, component)
