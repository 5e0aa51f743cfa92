"""The names that the language itself gives a meaning to, and the functions among them."""

from collections.abc import Callable

from odenet.diagnostics import Rejected, Report, Span
from odenet.model.elaboration.meaning import Function
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import Value
from odenet.model.tables.activations import ACTIVATIONS, ActivationKind
from odenet.model.tables.argument_kinds import Subject

FIXED = {
    "I": "the identity operator",
    "u": "the flow's input",
    "split": "the split of the input",
    "concat": "the concatenation of fields",
}


def fixed_names() -> dict[str, str]:
    """The names that no file can redefine, with what they mean."""
    return FIXED | dict.fromkeys(ACTIVATIONS, "an activation of the language")


def _split(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
    if len(arguments) == 1 and isinstance(arguments[0], expr.Input):
        return expr.Split(arguments[0], span=span)
    return None


def _concat(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
    if arguments and all(a.kind is expr.Kind.FIELD for a in arguments):
        return expr.Concat(arguments, span=span)
    return None


SPLIT = Function("split", "split(u)", _split)
CONCAT = Function("concat", "concat(Y, Z)", _concat)


def family(row: ActivationKind, evaluate: Callable[[expr.Node], Value], report: Report) -> Function:
    """An activation that takes constants before its field, as `leaky_relu(0.1)` does.

    Args:
        row: of the activation.
        evaluate: gives the value of a constant.
        report: takes what is wrong with one.
    """
    takes = f"{row.name}({', '.join('0.1' for _ in row.constants)})(…)"

    def call(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
        scalars = all(a.kind is expr.Kind.SCALAR for a in arguments)
        if len(arguments) != len(row.constants) or not scalars:
            return None
        nodes = [node for argument in arguments for node in argument.walk()]
        for kind, verb in ((expr.Time, "move in time"), (expr.LearnedScalar, "be learned")):
            if any(isinstance(node, kind) for node in nodes):
                message = f"the constant of `{row.name}` cannot {verb}"
                report.reject("fixed-constant", message, span, "give a number")
        before = report.errors
        for (name, kind), argument in zip(row.constants.items(), arguments, strict=True):
            about = Subject(f"{name} in {row.name}", "is its constant", argument.span, report.add)
            kind.check(evaluate(argument), about)
        if report.errors > before:
            raise Rejected
        return expr.Activation(row.name, arguments, span=span)

    return Function(row.name, takes, call)
