"""From the syntax of an argument to a plain value: numbers, words, calls, lists, texts."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn

from odenet.diagnostics import Report
from odenet.language import tree
from odenet.model import expr
from odenet.model.elaborate import Elaborator, Rejected
from odenet.model.numbers import C, NotANumber, Value, evaluate
from odenet.model.recipe_values import Call, Choice, Problem, Subject

Numbers = Callable[[tree.Name], Fraction | float | None]


class Values:
    """Reads arguments; names of numbers are looked up, all other names are words.

    Args:
        numbers: the value of a `let`, None for a name that is no number.
        report: takes what is wrong.
    """

    def __init__(self, numbers: Numbers, report: Report):
        self.numbers = numbers
        self.report = report
        self._values: dict[str, Value] = {"c": C}
        self._elaborator = Elaborator(self, report)

    def value(self, node: tree.Value) -> Any:
        """A Fraction, float, Width, Call, str, tuple, or for a pipeline its tree; raises Rejected."""
        match node:
            case tree.Text():
                return node.value
            case tree.ListValue():
                return tuple(self.value(item) for item in node.items)
            case tree.Pipeline():
                return node
            case tree.Name() if self.name(node) is None:
                return Call(node.id, span=node.span)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group))):
                if self.name(name) is None:
                    return self._call(name, group, node)
        return self.number(node)

    def call(self, node: tree.Value) -> Call:
        """A word or a call; raises Rejected."""
        value = self.value(node)
        if not isinstance(value, Call):
            self.report.error("a name is wanted here", node.span)
            raise Rejected
        return value

    def number(self, node: tree.Value) -> Value:
        """The value of a formula for a number; raises Rejected."""
        try:
            return evaluate(self._elaborator.scalar(node), self._values)
        except NotANumber as error:
            self.report.error(str(error), error.node.span or node.span)
            raise Rejected from None

    def checked(self, call: Call, choice: Choice, name: str) -> Call:
        """A call checked against a table; raises Rejected."""
        found = choice.check(call, Subject(name, "", call.span, self._problem))
        if found is None:
            raise Rejected
        return found

    def _problem(self, problem: Problem) -> None:
        self.report.error(problem.message, problem.span, problem.label, problem.help)

    def _call(self, name: tree.Name, group: tree.Group, node: tree.Node) -> Call:
        positional = tuple(self.value(a.value) for a in group.arguments if a.name is None)
        named: dict[str, Any] = {}
        for argument in group.arguments:
            if argument.name is None:
                if named:
                    self.report.error("values by position stand before those by name", argument.span)
                    raise Rejected
                continue
            if argument.name.id in named:
                self.report.error(f"`{argument.name.spelling}` is given twice", argument.span)
                raise Rejected
            named[argument.name.id] = self.value(argument.value)
        return Call(name.id, positional, named, node.span)

    # the scope of numbers

    def name(self, node: tree.Name) -> expr.Node | None:
        """A `let` number, or `c`."""
        if node.id == "c":
            return expr.Constant("c", span=node.span)
        value = self.numbers(node)
        if value is None:
            return None
        self._values[node.id] = value
        return expr.Constant(node.id, span=node.span)

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """No number."""
        self.unknown(node.name)

    def indexed(self, node: tree.Indexed) -> expr.Node:
        """No number."""
        self.unknown(node.name)

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """Numbers have no operators."""
        return operator

    def unknown(self, node: tree.Name) -> NoReturn:
        """A name that is no number, inside arithmetic."""
        message = f"`{node.spelling}` is no number here"
        self.report.error(message, node.span, help="name a number with `let`")
        raise Rejected
