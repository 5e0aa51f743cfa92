"""Checks that channel counts agree, and infers those of biases, diagonals and norms."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from odenet.diagnostics import Report
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import STATE_WIDTH, Width
from odenet.model.tables.declared_parameters import DeclaredParameter


class Mismatch(Exception):
    """Two channel counts differ that should be equal; raised after reporting it."""


class WidthInference:
    """Infers the width, that is the number of channels, of every feature map in a formula.

    Args:
        parameters: the declared parameters; those without a width get one at their first use.
        width_in: the width of the input `u` of the flow.
        report: collects the errors.
    """

    def __init__(
        self, parameters: Mapping[str, DeclaredParameter], width_in: Width, report: Report
    ):
        self.parameters = dict(parameters)
        self.width_in = width_in
        self.report = report

    def check(self, node: expr.Node, expected: Width, owner: str) -> None:
        """Report a formula whose width is not that of `owner`, such as "the state `Y`"."""
        with suppress(Mismatch):
            found = self.field_width(node, expected)
            if found not in (None, expected):
                self._fail(node, found, f"{owner} has", expected)

    def width(self, node: expr.Node) -> Width:
        """The width of a formula; `c`, that of a state, if nothing inside determines it."""
        try:
            return self.field_width(node, None) or STATE_WIDTH
        except Mismatch:
            return STATE_WIDTH

    def field_width(self, node: expr.Node, expected: Width | None) -> Width | None:
        """The width of a formula for a feature map; None if nothing inside determines it."""
        match node:
            case expr.State() | expr.Split() | expr.Slot() | expr.Stage() | expr.Rate():
                return STATE_WIDTH
            case expr.Input():
                return self.width_in
            case expr.Bias():
                return self._width_of_use(node.name, expected, node)
            case expr.Sum():
                return self._common_width(tuple(term for _, term in node.terms), expected)
            case expr.Product(_, inner) | expr.Quotient(inner) | expr.Activate(_, inner):
                return self.field_width(inner, expected)
            case expr.Apply():
                operand = self.field_width(node.operand, self._input_width(node.operator, expected))
                return self.out_width(node.operator, operand, node.operand)
            case expr.MapCall():
                return self._map_width(node, expected)
            case expr.Hadamard():
                return self._common_width((node.left, node.right), expected)
            case expr.Concat():
                widths = [self.field_width(part, None) or STATE_WIDTH for part in node.parts]
                return sum(widths[1:], widths[0])
            case _:
                return expected

    def out_width(self, node: expr.Node, width: Width | None, operand: expr.Node) -> Width | None:
        """The output width of an operator, from the width of its operand."""
        match node:
            case expr.Identity():
                return width
            case expr.LearnedOperator() | expr.Adjoint(expr.LearnedOperator()):
                return self._param_width(node, width, operand)
            case expr.Compose():
                inner = self.out_width(node.right, width, operand)
                return self.out_width(node.left, inner, node.right)
            case expr.Product(_, inner) | expr.Quotient(inner):
                return self.out_width(inner, width, operand)
            case expr.Sum():
                widths = [self.out_width(term, width, operand) for _, term in node.terms]
                for (_, term), found in zip(node.terms, widths, strict=True):
                    if found != widths[0]:
                        self._fail(term, found, "the terms before it give", widths[0])
                return widths[0]
            case _:
                raise AssertionError(node)

    def _param_width(
        self, node: expr.Node, width: Width | None, operand: expr.Node
    ) -> Width | None:
        """The output width of a parameter or of its adjoint."""
        adjoint = isinstance(node, expr.Adjoint)
        operator = node.operand if adjoint else node
        assert isinstance(operator, expr.LearnedOperator)
        parameter = self.parameters[operator.name]
        if parameter.kind.width_source == "use":
            return self._width_of_use(operator.name, width, operand)
        width_in, width_out = parameter.width_in, parameter.width_out
        if adjoint:
            width_in, width_out = width_out, width_in
        if width not in (None, width_in):
            subject = f"`{node.span.text}`" if node.span else "the operator"
            help_ = f"`{'out' if adjoint else 'in'} = {width}` in its declaration would make it fit"
            self._fail(operand, width, f"{subject} reads", width_in, help_)
        return width_out

    def _input_width(self, node: expr.Node, out: Width | None) -> Width | None:
        """The input width of an operator: its own, or the output width if it keeps the width."""
        match node:
            case expr.LearnedOperator():
                return self.parameters[node.name].width_in or out
            case expr.Adjoint(expr.LearnedOperator(name)):
                return self.parameters[name].width_out or out
            case expr.Compose():
                return self._input_width(node.right, self._input_width(node.left, out))
            case expr.Product(_, inner) | expr.Quotient(inner):
                return self._input_width(inner, out)
            case expr.Sum():
                return next((w for _, t in node.terms if (w := self._input_width(t, out))), None)
            case _:
                return out

    def _map_width(self, node: expr.MapCall, expected: Width | None) -> Width | None:
        width = self.field_width(node.operand, expected)
        name = node.function.name
        if name in self.parameters:
            return self._width_of_use(name, width, node)
        if width not in (None, STATE_WIDTH):
            self._fail(node.operand, width, f"the map `{name}` reads", STATE_WIDTH)
        return STATE_WIDTH

    def _common_width(self, nodes: tuple[expr.Node, ...], expected: Width | None) -> Width | None:
        """The common width of formulas; a bias, which has none of its own, gets it too."""
        known = [self.field_width(node, None) for node in nodes]
        common = next((width for width in known if width is not None), expected)
        for node, width in zip(nodes, known, strict=True):
            if width is None and common is not None:
                width = self.field_width(node, common)
            if width != common:
                assert common is not None
                first = next(n for n, w in zip(nodes, known, strict=True) if w == common)
                text = first.span.text if first.span else "what comes before it"
                self._fail(node, width, f"`{text}` has", common)
        return common

    def _width_of_use(self, name: str, width: Width | None, node: expr.Node) -> Width | None:
        """The width of a parameter that gets it at its first use."""
        parameter = self.parameters[name]
        if parameter.width_in is None and width is not None:
            self.parameters[name] = replace(parameter, width_in=width, width_out=width)
        elif width not in (None, parameter.width_in):
            self._fail(node, width, f"`{name}` has, from its first use,", parameter.width_in)
        return self.parameters[name].width_in

    def _fail(
        self, node: expr.Node, found: object, other: str, expected: object, help_: str = ""
    ) -> NoReturn:
        """Report a width that is not the expected one; raises Mismatch.

        `other` says what has the expected width, with its verb, as in "the state `Y` has".
        """
        message = f"channel counts do not meet: this has {found}, but {other} {expected}"
        help_ = help_ or "widths are set where an operator is declared: `conv(3, in = …, out = …)`"
        self.report.error("channel-mismatch", message, node.span, help_, label=f"{found} channels")
        raise Mismatch
