"""The built-in names of the language, and the built-in functions among them."""

from collections.abc import Callable

from odenet.diagnostics import Rejected, Report, Span
from odenet.model.elaboration.meaning import Function
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import Value
from odenet.model.tables.activations import ACTIVATIONS, ActivationKind
from odenet.model.tables.argument_kinds import Subject

# Built-in names other than activations, each with its meaning.
CORE_NAMES = {
    "I": "the identity operator",
    "u": "the flow's input",
    "split": "the split of the input",
    "concat": "the concatenation of fields",
}


def builtin_names() -> dict[str, str]:
    """All names that no file can redefine, each with its meaning in words."""
    return CORE_NAMES | dict.fromkeys(ACTIVATIONS, "an activation of the language")


def _split(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
    """The expression of `split(u)`; None for other arguments."""
    if len(arguments) == 1 and isinstance(arguments[0], expr.Input):
        return expr.Split(arguments[0], span=span)
    return None


def _concat(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
    """The expression of `concat(Y, Z)`; None for arguments that are not fields."""
    if arguments and all(a.kind is expr.Kind.FIELD for a in arguments):
        return expr.Concat(arguments, span=span)
    return None


SPLIT = Function("split", "split(u)", _split)
CONCAT = Function("concat", "concat(Y, Z)", _concat)


def activation_with_constants(
    row: ActivationKind, evaluate: Callable[[expr.Node], Value], report: Report
) -> Function:
    """The function of an activation with constants: `leaky_relu`, which `leaky_relu(0.1)` calls.

    Args:
        row: the row of the activation in the table of activations.
        evaluate: gives the value of a constant.
        report: collects the errors.
    """
    usage = f"{row.name}({', '.join('0.1' for _ in row.constants)})(…)"

    def call(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
        are_scalars = all(a.kind is expr.Kind.SCALAR for a in arguments)
        if len(arguments) != len(row.constants) or not are_scalars:
            return None
        nodes = [node for argument in arguments for node in argument.walk()]
        for node_class, verb in ((expr.Time, "move in time"), (expr.LearnedScalar, "be learned")):
            if any(isinstance(node, node_class) for node in nodes):
                message = f"the constant of `{row.name}` cannot {verb}"
                report.reject("fixed-constant", message, span, "give a number")
        errors_before = report.error_count
        for (name, kind), argument in zip(row.constants.items(), arguments, strict=True):
            subject = Subject(f"{name} in {row.name}", "is its constant", argument.span, report.add)
            kind.check(evaluate(argument), subject)
        if report.error_count > errors_before:
            raise Rejected
        return expr.Activation(row.name, arguments, span=span)

    return Function(row.name, usage, call)
