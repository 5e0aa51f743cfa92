"""Evaluates the arguments of layers, parameter types, schemes and recipe keys to plain values."""

import re
from typing import Any, NoReturn

from odenet.diagnostics import Rejected, Report, suggest
from odenet.language import tree
from odenet.model.elaboration.elaborate import Elaborator
from odenet.model.elaboration.meaning import Scope
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import STATE_WIDTH, EvaluationError, Value, evaluate
from odenet.model.tables.argument_kinds import Call, LayerChain, Subject
from odenet.model.tables.choices import Choice


class ArgumentReader(Scope):
    """Evaluates arguments; the name of a `let` number has its value, any other name is a word.

    It is also the scope in which `Elaborator` reads the arithmetic in arguments.

    Args:
        scope: the names of the file.
        report: collects the errors.
    """

    def __init__(self, scope: SpecScope, report: Report):
        self.scope = scope
        self.report = report
        self._let_values: dict[str, Value] = {"c": STATE_WIDTH}
        self._reported_names: set[str] = set()
        self._elaborator = Elaborator(self, report)

    def value(self, node: tree.Value) -> Any:
        """The value of an argument: a Fraction, float, Width, Call, str, tuple or LayerChain.

        Raises Rejected after reporting an error.
        """
        match node:
            case tree.Text():
                return node.value
            case tree.ListValue():
                return tuple(self.value(item) for item in node.items)
            case tree.Pipeline():
                return LayerChain(" ".join(node.span.text.split()))
            case tree.Name() if self.resolve_name(node) is None:
                if node.id in self.scope.broken_names:  # as `n` after `let n = 4;`, an error
                    raise Rejected
                return self.call(node)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group()), *_)):
                return self.call(node) if self.resolve_name(name) is None else self.number(node)
            case _:
                return self.number(node)

    def call(self, node: tree.Value, expected: str = "a name") -> Call:
        """A word or a call, even if a `let` number has that name; raises Rejected.

        Args:
            node: the argument.
            expected: what is expected here, with its article, for the error message.
        """
        match node:
            case tree.Name():
                activation = self.scope.let_activation(node)
                if activation is None:
                    return Call(node.id, span=node.span, name_span=node.span)
                constants = tuple(self.scope.evaluate(c) for c in activation.constants)
                return Call(activation.name, constants, span=node.span, name_span=node.span)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group))):
                return self._call_with_arguments(name, group, node)
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group), *_)):
                span = node.factors[2][1].span.to(node.factors[-1][1].span)
                call_text = name.span.to(group.span).text
                self.report.reject("syntax", f"this cannot follow `{call_text}`", span)
            case tree.Term(((_, tree.Name() as name), ("", argument), *_)):
                help_ = f"write `{name.spelling}({argument.span.text})`"
                message = "arguments are written in brackets"
                self.report.reject("syntax", message, argument.span, help_)
            case _:
                self.report.reject("wrong-argument", f"{expected} is wanted here", node.span)

    def number(self, node: tree.Value) -> Value:
        """The value of a scalar formula; raises Rejected."""
        try:
            return evaluate(self._elaborator.scalar(node), self._let_values)
        except EvaluationError as error:
            self.report.reject("undefined-number", str(error), error.node.span or node.span)

    def check_call(self, call: Call, choice: Choice, name: str) -> Call:
        """The call with its arguments checked, all by name, defaults included; raises Rejected.

        Args:
            call: the call as it is written.
            choice: the calls that are possible, with the arguments of each.
            name: the name of the argument in messages.
        """
        subject = Subject(name, meaning="", span=call.span, report=self.report.add)
        if (checked_call := choice.check(call, subject)) is None:
            raise Rejected
        return checked_call

    def _call_with_arguments(self, name: tree.Name, group: tree.Group, node: tree.Node) -> Call:
        """The call of a name with the arguments in brackets; raises Rejected."""
        positional: list[Any] = []
        by_name: dict[str, Any] = {}
        spans: dict[str | int, Any] = {}
        previous = group.span
        for argument in group.arguments:
            value = self.value(argument.value)
            if argument.name is None:
                if by_name:
                    message = "values by position come before those by name"
                    # as in `h = 0,5`, with a decimal comma
                    is_comma = re.search(r"[\s=]0$", previous.text) and argument.span.text.isdigit()
                    help_ = f"write `0.{argument.span.text}`, with a point" if is_comma else ""
                    self.report.reject("wrong-argument", message, argument.span, help_)
                spans[len(positional)] = argument.span
                positional.append(value)
            elif argument.name.id in by_name:
                message = f"`{argument.name.spelling}` is given twice"
                self.report.reject("given-twice", message, argument.span, "remove one")
            else:
                spans[argument.name.id] = argument.span
                by_name[argument.name.id] = value
            previous = argument.span
        return Call(name.id, tuple(positional), by_name, node.span, name.span, spans)

    # The methods of `Scope`, which `Elaborator` calls. In an argument only numbers have names.

    def resolve_name(self, node: tree.Name) -> expr.Node | None:
        """A `let` number, or `c`, the number of channels."""
        if node.id == "c":
            return expr.Constant("c", span=node.span)
        value = self.scope.let_number(node)
        if value is None:
            return None
        self._let_values[node.id] = value
        return expr.Constant(node.id, span=node.span)

    def resolve_derivative(self, node: tree.Derivative) -> expr.Node:
        """Refuse `Y'`, which is not a number."""
        self.reject_unknown(node.name)

    def resolve_indexed(self, node: tree.Indexed) -> expr.Node:
        """Refuse `Y[n]`, which is not a number."""
        self.reject_unknown(node.name)

    @staticmethod
    def _hint_for_name(node: tree.Name) -> str:
        """A hint for a name that is not a number: `folder(my/pictures)` should be quoted."""
        text_before = node.span.source.text[: node.span.start]
        text_after = node.span.source.text[node.span.end :]
        is_path = re.search(r"\w[/.]$", text_before) or re.match(r"[/.][^\W\d]", text_after)
        if text_before[-1:].isdigit() and re.fullmatch(r"(x\d+)+", node.spelling):  # `3x32x32`
            return "sizes have commas between them, as in `3, 32, 32`; a kernel has one, as in `3`"
        return "a path is written in quotes" if is_path else "name a number with `let`"

    def reject_unknown(self, node: tree.Name) -> NoReturn:
        """Report a name in arithmetic that is not a number; raises Rejected."""
        is_reported = node.id in self.scope.broken_names | self._reported_names
        if not is_reported and not self.scope.incomplete:
            spellings = [name.spelling for name in self.scope.declared.values()]
            help_ = suggest(node.spelling, spellings) if node.id not in self.scope.declared else ""
            message = f"`{node.spelling}` is not a number"
            help_ = help_ or self._hint_for_name(node)
            self.report.error("not-a-number", message, node.span, help_)
            self._reported_names.add(node.id)
        raise Rejected
