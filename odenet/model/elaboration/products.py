"""The meaning of juxtaposition, `*` and `/` in a chain of factors, which depends on their kinds."""

import itertools
from collections.abc import Sequence
from typing import NoReturn

from odenet.diagnostics import Report, Span
from odenet.language import tree
from odenet.model.elaboration.meaning import with_article
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind

# An expression with its syntax; a factor also has the operator before it: "", "*" or "/".
ValueWithSyntax = tuple[expr.Node, tree.Node]
Factor = tuple[str, expr.Node, tree.Node]


class Products:
    """Reads chains of factors as products, applications and compositions.

    Args:
        report: collects the errors.
    """

    def __init__(self, report: Report):
        self.report = report

    def multiply(self, factors: Sequence[Factor]) -> expr.Node:
        """The expression of a chain of factors; raises Rejected after reporting an error.

        Juxtaposition binds tighter than `*`. `/` divides everything to its left; but if a factor
        is juxtaposed to the fraction, as in `Y * h/2 Z`, `/` divides only what follows the last
        `*`: Y * ((h/2) Z).
        """
        self._check_numbers(factors)
        segments: list[list[ValueWithSyntax]] = [[]]
        after_fraction = False
        for i, (operator, value, syntax) in enumerate(factors):
            if operator == "/":
                if [following for following, *_ in factors[i + 1 : i + 2]] != [""]:
                    segments = [[(self._multiply_segments(segments), syntax)]]
                left = self._multiply_adjacent(segments[-1])
                segments[-1] = [(self._divide(left, value, syntax), syntax)]
                # `7/24 h` is a number times h; `1/γ h` could be read either way.
                after_fraction = not isinstance(value, expr.Number)
                continue
            if operator == "*":
                segments.append([])
            elif after_fraction and value.kind is Kind.SCALAR:
                message = "is this factor above or below the line of the fraction?"
                self._reject(syntax, message, help_="write `(a/b) c` or `a / (b c)`")
            segments[-1].append((value, syntax))
            after_fraction = False
        return self._multiply_segments(segments)

    def _check_numbers(self, factors: Sequence[Factor]) -> None:
        """Reject two plain numbers side by side, as in `1.2 .3`: one of them is a typing error."""
        for (_, _, left), (operator, _, right) in itertools.pairwise(factors):
            if operator == "" and isinstance(left, tree.Number) and isinstance(right, tree.Number):
                help_ = "write `*` between them for their product"
                self._reject(right, "two numbers side by side are not a product", help_=help_)

    def _multiply_segments(self, segments: list[list[ValueWithSyntax]]) -> expr.Node:
        """The product of segments with `*` between them, from left to right."""
        result = self._multiply_adjacent(segments[0])
        for segment in segments[1:]:
            result = self._star_product(result, self._multiply_adjacent(segment), segment[0][1])
        return result

    def _multiply_adjacent(self, segment: list[ValueWithSyntax]) -> expr.Node:
        """The product of juxtaposed factors, from the right, after that of adjacent numbers."""
        value, syntax = segment[-1]
        scalars = [value] if value.kind is Kind.SCALAR else []
        result = None if scalars else value
        for factor, node in reversed(segment[:-1]):
            if factor.kind is Kind.SCALAR:
                scalars.insert(0, factor)
                continue
            if result is None:
                help_ = f"write the number first: `{syntax.span.text} {node.span.text}`"
                if isinstance(value, expr.Time):
                    help_ = f"write `{node.span.text}`: a state is read at the time of the step"
                message = f"{with_article(factor.kind)} comes before a number"
                self._reject(syntax, message, help_=help_)
            result = self._juxtapose(factor, _scale(scalars, result), syntax)
            scalars, syntax = [], node
        return _scale(scalars, result)

    def _juxtapose(self, left: expr.Node, right: expr.Node, syntax: tree.Node) -> expr.Node:
        """The composition of two operators, or an operator applied to a field."""
        match left.kind, right.kind:
            case Kind.OPERATOR, Kind.OPERATOR:
                return expr.Compose(left, right, span=_span(left, right))
            case Kind.OPERATOR, Kind.FIELD:
                return expr.Apply(left, right, span=_span(left, right))
            case Kind.FIELD, Kind.FIELD:
                help_ = "the element-wise product is `*`: `Y * Z`"
                self._reject(syntax, "two fields side by side are not a product", help_=help_)
            case _:
                help_ = "write the operator first, as in `K Y`"
                self._reject(syntax, "an operator acts on what is to its right", help_=help_)

    def _star_product(self, left: expr.Node, right: expr.Node, syntax: tree.Node) -> expr.Node:
        """The product `left * right`."""
        span = _span(left, right)
        if left.kind is Kind.SCALAR:
            return expr.Product(left, right, span=span)
        if right.kind is Kind.SCALAR:
            return expr.Product(right, left, span=span)
        if left.kind is right.kind is Kind.FIELD:
            return expr.Hadamard(left, right, span=span)
        message = "`*` multiplies fields, element by element, or numbers"
        help_ = "an operator is applied by writing it before: `K Y`, `K L`"
        self._reject(syntax, message, help_=help_)

    def _divide(self, left: expr.Node, right: expr.Node, syntax: tree.Node) -> expr.Node:
        """The quotient of anything and a number."""
        if right.kind is not Kind.SCALAR:
            self._reject(syntax, f"only a number divides, but this is {with_article(right.kind)}")
        return expr.Quotient(left, right, span=_span(left, right))

    def _reject(self, node: tree.Node, message: str, help_: str = "") -> NoReturn:
        self.report.reject("not-a-product", message, node.span, help_)


def _scale(scalars: list[expr.Node], value: expr.Node | None) -> expr.Node:
    """The product of numbers, from left to right, and of the value that they scale, if any."""
    operands = scalars + ([value] if value is not None else [])
    result = operands[0]
    for factor in operands[1:]:
        result = expr.Product(result, factor, span=_span(result, factor))
    return result


def _span(left: expr.Node, right: expr.Node) -> Span | None:
    """The span from the first to the last of two expressions; None if one has none."""
    return left.span.to(right.span) if left.span and right.span else None
