"""Do the channel counts meet? Also finds the widths of biases, diagonals and norms."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from odenet.diagnostics import Report
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import C, Width
from odenet.model.tables.declared import DeclaredParameter


class Mismatch(Exception):
    """Two channel counts that should be equal; reported."""


class Widths:
    """Infers the width of every field, from left to right and inside out.

    Args:
        parameters: the declared parameters; those without a width get one from their first use.
        width_in: the width of the flow's input.
        report: takes the mismatches.
    """

    def __init__(
        self, parameters: Mapping[str, DeclaredParameter], width_in: Width, report: Report
    ):
        self.parameters = dict(parameters)
        self.width_in = width_in
        self.report = report

    def check(self, node: expr.Node, expected: Width, of: str) -> None:
        """Report where a formula does not come out at the width that something has, `of` what."""
        with suppress(Mismatch):
            found = self.field(node, expected)
            if found not in (None, expected):
                self._mismatch(node, found, f"{of} has", expected)

    def width(self, node: expr.Node) -> Width:
        """The width of a formula; `c` when nothing in it tells."""
        try:
            return self.field(node, None) or C
        except Mismatch:
            return C

    def field(self, node: expr.Node, expected: Width | None) -> Width | None:
        """The width of a field, None when nothing inside tells it."""
        match node:
            case expr.State() | expr.Split() | expr.Slot() | expr.Stage() | expr.Rate():
                return C
            case expr.Input():
                return self.width_in
            case expr.Bias():
                return self._flexible(node.name, expected, node)
            case expr.Sum():
                return self._same(tuple(term for _, term in node.terms), expected)
            case expr.Product(_, inner) | expr.Quotient(inner) | expr.Activate(_, inner):
                return self.field(inner, expected)
            case expr.Apply():
                operand = self.field(node.operand, self._reads(node.operator, expected))
                return self.operator(node.operator, operand, node.operand)
            case expr.MapCall():
                return self._call(node, expected)
            case expr.Hadamard():
                return self._same((node.left, node.right), expected)
            case expr.Concat():
                widths = [self.field(part, None) or C for part in node.parts]
                return sum(widths[1:], widths[0])
            case _:
                return expected

    def operator(self, node: expr.Node, width: Width | None, operand: expr.Node) -> Width | None:
        """The width an operator gives for the width it is handed."""
        match node:
            case expr.Identity():
                return width
            case expr.Param() | expr.Adjoint(expr.Param()):
                return self._apply(node, width, operand)
            case expr.Compose():
                inner = self.operator(node.right, width, operand)
                return self.operator(node.left, inner, node.right)
            case expr.Product(_, inner) | expr.Quotient(inner):
                return self.operator(inner, width, operand)
            case expr.Sum():
                widths = [self.operator(term, width, operand) for _, term in node.terms]
                for (_, term), found in zip(node.terms, widths, strict=True):
                    if found != widths[0]:
                        self._mismatch(term, found, "the terms before it give", widths[0])
                return widths[0]
            case _:
                raise AssertionError(node)

    def _apply(self, node: expr.Node, width: Width | None, operand: expr.Node) -> Width | None:
        """The width a parameter or its adjoint gives."""
        adjoint = isinstance(node, expr.Adjoint)
        param = node.of if adjoint else node
        assert isinstance(param, expr.Param)
        learned = self.parameters[param.name]
        if learned.kind.width == "use":
            return self._flexible(param.name, width, operand)
        reads, gives = learned.width_in, learned.width_out
        if adjoint:
            reads, gives = gives, reads
        if width not in (None, reads):
            shown = f"`{node.span.text}`" if node.span else "the operator"
            help_ = f"`{'out' if adjoint else 'in'} = {width}` in its declaration would make it fit"
            self._mismatch(operand, width, f"{shown} reads", reads, help_)
        return gives

    def _reads(self, node: expr.Node, gives: Width | None) -> Width | None:
        """The width an operator reads: its own, or, of what keeps widths, what it has to give."""
        match node:
            case expr.Param():
                return self.parameters[node.name].width_in or gives
            case expr.Adjoint(expr.Param(name)):
                return self.parameters[name].width_out or gives
            case expr.Compose():
                return self._reads(node.right, self._reads(node.left, gives))
            case expr.Product(_, inner) | expr.Quotient(inner):
                return self._reads(inner, gives)
            case expr.Sum():
                return next((w for _, t in node.terms if (w := self._reads(t, gives))), None)
            case _:
                return gives

    def _call(self, node: expr.MapCall, expected: Width | None) -> Width | None:
        width = self.field(node.operand, expected)
        name = node.function.name
        if name in self.parameters:
            return self._flexible(name, width, node)
        if width not in (None, C):
            self._mismatch(node.operand, width, f"the map `{name}` reads", C)
        return C

    def _same(self, nodes: tuple[expr.Node, ...], expected: Width | None) -> Width | None:
        """The common width; what cannot tell its own (a bias) takes that of the others."""
        known = [self.field(node, None) for node in nodes]
        common = next((width for width in known if width is not None), expected)
        for node, width in zip(nodes, known, strict=True):
            if width is None and common is not None:
                width = self.field(node, common)
            if width != common:
                assert common is not None
                first = next(n for n, w in zip(nodes, known, strict=True) if w == common)
                text = first.span.text if first.span else "what comes before it"
                self._mismatch(node, width, f"`{text}` has", common)
        return common

    def _flexible(self, name: str, width: Width | None, node: expr.Node) -> Width | None:
        """A parameter that takes its width from where it first occurs."""
        learned = self.parameters[name]
        if learned.width_in is None and width is not None:
            self.parameters[name] = replace(learned, width_in=width, width_out=width)
        elif width not in (None, learned.width_in):
            self._mismatch(node, width, f"`{name}` has, from its first use,", learned.width_in)
        return self.parameters[name].width_in

    def _mismatch(
        self, node: expr.Node, found: object, other: str, wanted: object, help_: str = ""
    ) -> NoReturn:
        message = f"channel counts do not meet: this has {found}, but {other} {wanted}"
        help_ = help_ or "widths are set where an operator is declared: `conv(3, in = …, out = …)`"
        self.report.error("channel-mismatch", message, node.span, help_, label=f"{found} channels")
        raise Mismatch
