"""What it means that factors are next to each other, by their kinds."""

import itertools
from collections.abc import Sequence
from typing import NoReturn

from odenet.diagnostics import Report, Span
from odenet.language import tree
from odenet.model.elaboration.meaning import a
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind

# A value and where it is written; a factor has the operator before it too: "", "*" or "/".
Placed = tuple[expr.Node, tree.Node]
Factor = tuple[str, expr.Node, tree.Node]


class Products:
    """Multiplies chains of factors."""

    def __init__(self, report: Report):
        self.report = report

    def of(self, factors: Sequence[Factor]) -> expr.Node:
        """The product of a chain of factors.

        Juxtaposition binds tighter than `*`. `/` divides what is on its left; when a factor is
        juxtaposed to the fraction, as in `Y * h/2 Z`, only back to the last `*`.
        """
        self._check_numbers(factors)
        segments: list[list[Placed]] = [[]]
        divided = False
        for i, (operator, value, written) in enumerate(factors):
            if operator == "/":
                if [following for following, *_ in factors[i + 1 : i + 2]] != [""]:
                    segments = [[(self._product(segments), written)]]
                left = self._fold(segments[-1])
                segments[-1] = [(self._divide(left, value, written), written)]
                # `7/24 h` is a number times h; `1/γ h` could be read either way.
                divided = not isinstance(value, expr.Number)
                continue
            if operator == "*":
                segments.append([])
            elif divided and value.kind is Kind.SCALAR:
                message = "is this factor above or below the line of the fraction?"
                self._reject(written, message, help_="write `(a/b) c` or `a / (b c)`")
            segments[-1].append((value, written))
            divided = False
        return self._product(segments)

    def _check_numbers(self, factors: Sequence[Factor]) -> None:
        """Reject `1.2 .3`: two plain numbers side by side are a slip."""
        for (_, _, left), (operator, _, right) in itertools.pairwise(factors):
            if operator == "" and isinstance(left, tree.Number) and isinstance(right, tree.Number):
                help_ = "write `*` between them for their product"
                self._reject(right, "two numbers side by side are not a product", help_=help_)

    def _product(self, segments: list[list[Placed]]) -> expr.Node:
        """The product, from left to right, of segments with `*` between them."""
        result = self._fold(segments[0])
        for segment in segments[1:]:
            result = self._times(result, self._fold(segment), segment[0][1])
        return result

    def _fold(self, segment: list[Placed]) -> expr.Node:
        """The product of juxtaposed factors; numbers that are together are multiplied first."""
        value, written = segment[-1]
        scalars = [value] if value.kind is Kind.SCALAR else []
        result = None if scalars else value
        for factor, place in reversed(segment[:-1]):
            if factor.kind is Kind.SCALAR:
                scalars.insert(0, factor)
                continue
            if result is None:
                help_ = f"write the number first: `{written.span.text} {place.span.text}`"
                if isinstance(value, expr.Time):
                    help_ = f"write `{place.span.text}`: a state is read at the time of the step"
                self._reject(written, f"{a(factor.kind)} comes before a number", help_=help_)
            result = self._juxtapose(factor, _scaled(scalars, result), written)
            scalars, written = [], place
        return _scaled(scalars, result)

    def _juxtapose(self, left: expr.Node, right: expr.Node, written: tree.Node) -> expr.Node:
        """operator·operator and operator·field."""
        match left.kind, right.kind:
            case Kind.OPERATOR, Kind.OPERATOR:
                return expr.Compose(left, right, span=_between(left, right))
            case Kind.OPERATOR, Kind.FIELD:
                return expr.Apply(left, right, span=_between(left, right))
            case Kind.FIELD, Kind.FIELD:
                help_ = "the element-wise product is `*`: `Y * Z`"
                self._reject(written, "two fields side by side are not a product", help_=help_)
            case _:
                help_ = "write the operator first, as in `K Y`"
                self._reject(written, "an operator acts on what is to its right", help_=help_)

    def _times(self, left: expr.Node, right: expr.Node, written: tree.Node) -> expr.Node:
        """What `*` means between two kinds."""
        span = _between(left, right)
        if left.kind is Kind.SCALAR:
            return expr.Product(left, right, span=span)
        if right.kind is Kind.SCALAR:
            return expr.Product(right, left, span=span)
        if left.kind is right.kind is Kind.FIELD:
            return expr.Hadamard(left, right, span=span)
        message = "`*` multiplies fields, element by element, or numbers"
        help_ = "an operator is applied by writing it before: `K Y`, `K L`"
        self._reject(written, message, help_=help_)

    def _divide(self, left: expr.Node, right: expr.Node, written: tree.Node) -> expr.Node:
        if right.kind is not Kind.SCALAR:
            self._reject(written, f"only a number divides, but this is {a(right.kind)}")
        return expr.Quotient(left, right, span=_between(left, right))

    def _reject(self, node: tree.Node, message: str, help_: str = "") -> NoReturn:
        self.report.reject("not-a-product", message, node.span, help_)


def _scaled(scalars: list[expr.Node], value: expr.Node | None) -> expr.Node:
    """Numbers multiplied from the left, then with what they scale."""
    factors = scalars + ([value] if value is not None else [])
    result = factors[0]
    for factor in factors[1:]:
        result = expr.Product(result, factor, span=_between(result, factor))
    return result


def _between(left: expr.Node, right: expr.Node) -> Span | None:
    return left.span.to(right.span) if left.span and right.span else None
