"""From the syntax of an argument to a plain value: numbers, words, calls, lists, texts."""

import re
from typing import Any, NoReturn

from odenet.diagnostics import Rejected, Report, suggest
from odenet.language import tree
from odenet.model.elaboration.elaborate import Elaborator
from odenet.model.elaboration.meaning import Scope
from odenet.model.elaboration.scope import SpecScope
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import C, NotANumber, Value, evaluate
from odenet.model.tables.argument_kinds import Call, Subject
from odenet.model.tables.choices import Choice


class ArgumentReader(Scope):
    """Reads arguments; names of numbers are looked up, all other names are words.

    Args:
        scope: the file's names.
        report: takes what is wrong.
    """

    def __init__(self, scope: SpecScope, report: Report):
        self.scope = scope
        self.report = report
        self._values: dict[str, Value] = {"c": C}
        self._unknown: set[str] = set()
        self._elaborator = Elaborator(self, report)

    def value(self, node: tree.Value) -> Any:
        """A Fraction, float, Width, Call, str, tuple, or a pipeline's tree; raises Rejected."""
        match node:
            case tree.Text():
                return node.value
            case tree.ListValue():
                return tuple(self.value(item) for item in node.items)
            case tree.Pipeline():
                return node
            case tree.Name() if self.name(node) is None:
                if node.id in self.scope.broken:  # as of `let n = 4;`, which was reported
                    raise Rejected
                return self.call(node)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group()), *_)):
                return self.call(node) if self.name(name) is None else self.number(node)
            case _:
                return self.number(node)

    def call(self, node: tree.Value, wanted: str = "a name") -> Call:
        """A word or a call, even if a `let` number has that name; raises Rejected."""
        match node:
            case tree.Name():
                activation = self.scope.activation(node)
                if activation is None:
                    return Call(node.id, span=node.span, name_span=node.span)
                constants = tuple(self.scope.evaluate(c) for c in activation.constants)
                return Call(activation.name, constants, span=node.span, name_span=node.span)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group))):
                return self._call(name, group, node)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group), *_)):
                span = node.factors[2][1].span.to(node.factors[-1][1].span)
                shown = name.span.to(group.span).text
                self.report.reject("syntax", f"this cannot follow `{shown}`", span)
            case tree.Term(((_, tree.Name() as name), ("", argument), *_)):
                help_ = f"write `{name.spelling}({argument.span.text})`"
                message = "arguments are written in brackets"
                self.report.reject("syntax", message, argument.span, help_)
            case _:
                self.report.reject("wrong-argument", f"{wanted} is wanted here", node.span)

    def number(self, node: tree.Value) -> Value:
        """The value of a formula for a number; raises Rejected."""
        try:
            return evaluate(self._elaborator.scalar(node), self._values)
        except NotANumber as error:
            self.report.reject("undefined-number", str(error), error.node.span or node.span)

    def checked(self, call: Call, choice: Choice, name: str) -> Call:
        """A call checked against a table; raises Rejected."""
        found = choice.check(call, Subject(name, "", call.span, self.report.add))
        if found is None:
            raise Rejected
        return found

    def _call(self, name: tree.Name, group: tree.Group, node: tree.Node) -> Call:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        places: dict[str | int, Any] = {}
        last = group.span
        for argument in group.arguments:
            value = self.value(argument.value)
            if argument.name is None:
                if named:
                    message = "values by position come before those by name"
                    comma = re.search(r"[\s=]0$", last.text) and argument.span.text.isdigit()
                    help_ = f"write `0.{argument.span.text}`, with a point" if comma else ""
                    self.report.reject("wrong-argument", message, argument.span, help_)
                places[len(positional)] = argument.span
                positional.append(value)
            elif argument.name.id in named:
                message = f"`{argument.name.spelling}` is given twice"
                self.report.reject("given-twice", message, argument.span, "remove one")
            else:
                places[argument.name.id] = argument.span
                named[argument.name.id] = value
            last = argument.span
        return Call(name.id, tuple(positional), named, node.span, name.span, places)

    # What `Elaborator` asks of a scope, for numbers alone.

    def name(self, node: tree.Name) -> expr.Node | None:
        """A `let` number, or `c`, the number of channels."""
        if node.id == "c":
            return expr.Constant("c", span=node.span)
        value = self.scope.number(node)
        if value is None:
            return None
        self._values[node.id] = value
        return expr.Constant(node.id, span=node.span)

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """Refuse `Y'`, which is not a number."""
        self.unknown(node.name)

    def indexed(self, node: tree.Indexed) -> expr.Node:
        """Refuse `Y[n]`, which is not a number."""
        self.unknown(node.name)

    @staticmethod
    def _number_or_path(node: tree.Name) -> str:
        """What to write for a name that is not a number: `folder(my/pictures)` is a path."""
        before = node.span.source.text[: node.span.start]
        after = node.span.source.text[node.span.end :]
        path = re.search(r"\w[/.]$", before) or re.match(r"[/.][^\W\d]", after)
        if before[-1:].isdigit() and re.fullmatch(r"(x\d+)+", node.spelling):
            return "sizes have commas between them, as in `3, 32, 32`; a kernel has one, as in `3`"
        return "a path is written in quotes" if path else "name a number with `let`"

    def unknown(self, node: tree.Name) -> NoReturn:
        """A name that is not a number, inside arithmetic."""
        known_wrong = node.id in self.scope.broken | self._unknown
        if not known_wrong and not self.scope.incomplete:
            known = [name.spelling for name in self.scope.declared.values()]
            help_ = suggest(node.spelling, known) if node.id not in self.scope.declared else ""
            message = f"`{node.spelling}` is not a number"
            help_ = help_ or self._number_or_path(node)
            self.report.error("not-a-number", message, node.span, help_)
            self._unknown.add(node.id)
        raise Rejected
