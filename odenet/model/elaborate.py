"""From the syntax of a formula to a typed expression.

A chain of factors is read by kind, from the right: scalar·anything, operator·operator,
operator·field. A function (activation, map, right-hand side of a scheme) takes the brackets that
follow it. Everything else is an error at its own place.
"""

import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn, TypeGuard

from odenet.diagnostics import Report, Span
from odenet.language import confusable, tree
from odenet.model import expr
from odenet.model.expr import Kind
from odenet.model.meaning import Function, Rejected, Scope, a

# A factor's value and where it is written.
Factor = tuple[expr.Node, tree.Node]


class Elaborator:
    """Elaborates formulas in one scope."""

    def __init__(self, scope: Scope, report: Report):
        self.scope = scope
        self.report = report

    def field(self, node: tree.Value) -> expr.Node:
        """A formula for a field; the number 0 is the zero field."""
        value = self.value(node)
        if isinstance(value, expr.Number) and value.value == 0:
            return expr.Zero(span=node.span)
        if value.kind is not Kind.FIELD:
            help_ = "apply the operator to a state, as in `K Y`"
            self._reject(
                node,
                f"a field is wanted here, but this is {a(value.kind)}",
                help_=help_ if value.kind is Kind.OPERATOR else "",
            )
        return value

    def scalar(self, node: tree.Value) -> expr.Node:
        """A formula for a number."""
        value = self.value(node)
        if value.kind is not Kind.SCALAR:
            self._reject(node, f"a number is wanted here, but this is {a(value.kind)}")
        return value

    def value(self, node: tree.Value) -> expr.Node:
        """A formula of any kind."""
        found = self._expr(node)
        if isinstance(found, Function):
            self._reject(node, f"`{found.name}` needs arguments", help_=f"write `{found.takes}`")
        return found

    def _reject(self, node: tree.Node, message: str, label: str = "", help_: str = "") -> NoReturn:
        self.report.error(message, node.span, label, help_)
        raise Rejected

    def _expr(self, node: tree.Value) -> expr.Node | Function:
        match node:
            case tree.Number():
                return expr.Number(node.value, node.text, span=node.span)
            case tree.Name():
                found = self.scope.name(node)
                return self.scope.unknown(node) if found is None else found
            case tree.Derivative():
                return self.scope.derivative(node)
            case tree.Indexed():
                return self.scope.indexed(node)
            case tree.Group():
                return self._brackets(node)
            case tree.Sum():
                return self._sum(node)
            case tree.Term():
                return self._term(node)
            case tree.Power():
                return self._power(node)
        self._reject(node, "a formula is wanted here")

    def _brackets(self, node: tree.Group) -> expr.Node | Function:
        if not node.arguments:
            self._reject(node, "these brackets are empty")
        if len(node.arguments) > 1:
            help_ = "fields are stacked by `concat(Y, Z)`"
            self._reject(node, "a list stands only after a function", help_=help_)
        argument = next(iter(node.arguments))
        if argument.name is not None:
            self._reject(node, f"`{argument.name.spelling} = …` stands only in a call")
        return self._expr(argument.value)

    def _all(self, nodes: Iterable[tree.Value]) -> list[expr.Node]:
        """The values of formulas; an error in one hides none in the others."""
        found: list[expr.Node] = []
        broken = False
        for node in nodes:
            try:
                found.append(self.value(node))
            except Rejected:
                broken = True
        if broken:
            raise Rejected
        return found

    def _sum(self, node: tree.Sum) -> expr.Node:
        values = self._all(term for _, term in node.terms)
        for value, (_, written) in zip(values, node.terms, strict=True):
            if self._callable(value):
                name = written.span.text
                message = f"`{name}` is {a(value.kind)}: it is applied, not added"
                self._reject(written, message, help_=f"write `{name}(…)`")
            if value.kind is not values[0].kind:
                self._reject_sum(node, values[0], value, written)
        terms = tuple((sign, v) for (sign, _), v in zip(node.terms, values, strict=True))
        return expr.Sum(terms, span=node.span)

    def _reject_sum(self, node: tree.Sum, first, other, written: tree.Node) -> NoReturn:
        kinds = {first.kind, other.kind}
        help_ = ""
        if kinds == {Kind.OPERATOR, Kind.SCALAR}:
            scalar = written if other.kind is Kind.SCALAR else node.terms[0][1]
            text = scalar.span.text
            help_ = f"write `{'' if text == '1' else text + ' '}I`: a multiple of the identity"
        elif kinds == {Kind.FIELD, Kind.SCALAR}:
            help_ = "a constant added to a field is a `param … : bias`"
        elif kinds == {Kind.FIELD, Kind.OPERATOR}:
            help_ = "apply the operator to a field, as in `K Y`"
        message = f"{a(first.kind)} and {a(other.kind)} cannot be added"
        self._reject(written, message, f"this is {a(other.kind)}", help_)

    def _term(self, node: tree.Term) -> expr.Node | Function:
        """A chain of factors.

        Juxtaposition binds tighter than `*`. `/` divides what stands left of it; when a factor is
        juxtaposed to the fraction, as in `Y * h/2 Z`, only back to the last `*`.
        """
        segments: list[list[Factor]] = [[]]
        divided = False
        factors = self._factors(node)
        if len(factors) == 1:
            return replace(factors[0][1], span=node.span)
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
        return replace(self._product(segments), span=node.span)

    def _factors(self, node: tree.Term) -> list[tuple[str, expr.Node, tree.Expr]]:
        """The factors, functions with the brackets they take; an error in one hides no other.

        A function without brackets stays only when it is all there is, as in `leaky_relu(0.1)`.
        """
        found: list[tuple[str, Any, tree.Expr]] = []
        factors = list(node.factors)
        broken = False
        while factors:
            operator, written = factors.pop(0)
            try:
                value = self._expr(written)
                while factors and _juxtaposed_brackets(factors[0]) and self._callable(value):
                    value = self._call(value, written, factors.pop(0)[1])
                if self._callable(value) and (found or factors or operator):
                    rest = factors[-1][1].span if factors and factors[0][0] == "" else None
                    self._reject_uncalled(value, written, rest)
                found.append((operator, value, written))
            except Rejected:
                broken = True
                while factors and _juxtaposed_brackets(factors[0]):
                    self._read_lost(factors.pop(0)[1])
        if broken:
            raise Rejected
        self._check_numbers(found)
        return found

    def _read_lost(self, group: tree.Expr) -> None:
        """Report the errors in what may be the arguments of something unknown."""
        assert isinstance(group, tree.Group)
        with suppress(Rejected):
            self._all(argument.value for argument in group.arguments)

    def _check_numbers(self, factors: list[tuple[str, expr.Node, tree.Expr]]) -> None:
        """Reject `1.2 .3`: two plain numbers side by side are a slip."""
        for (_, _, left), (operator, _, right) in itertools.pairwise(factors):
            if operator == "" and isinstance(left, tree.Number) and isinstance(right, tree.Number):
                help_ = "write `*` between them for their product"
                self._reject(right, "two numbers stand side by side", help_=help_)

    def _product(self, segments: list[list[Factor]]) -> expr.Node:
        """The product, from left to right, of segments with `*` between them."""
        result = self._fold(segments[0])
        for segment in segments[1:]:
            result = self._times(result, self._fold(segment), segment[0][1])
        return result

    def _fold(self, segment: list[Factor]) -> expr.Node:
        """The product of juxtaposed factors; numbers that stand together are multiplied first."""
        value, written = segment[-1]
        scalars = [value] if value.kind is Kind.SCALAR else []
        result = None if scalars else value
        for factor, place in reversed(segment[:-1]):
            if factor.kind is Kind.SCALAR:
                scalars.insert(0, factor)
                continue
            if result is None:
                help_ = f"write the number first: `{written.span.text} {place.span.text}`"
                self._reject(written, f"{a(factor.kind)} stands before a number", help_=help_)
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
                self._reject(written, "two fields cannot stand side by side", help_=help_)
        help_ = "write the operator first, as in `K Y`"
        self._reject(written, "an operator acts on what stands to its right", help_=help_)

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

    def _callable(self, value: expr.Node | Function) -> bool:
        return isinstance(value, Function) or value.kind in (Kind.ACTIVATION, Kind.MAP)

    def _call(self, function: expr.Node | Function, written: tree.Node, group: tree.Expr):
        """A function and the brackets after it."""
        assert isinstance(group, tree.Group)
        for argument in group.arguments:
            if argument.name is not None:
                self._reject(argument, "arguments have no names here")
        span = written.span.to(group.span)
        arguments = tuple(self._all(argument.value for argument in group.arguments))
        if isinstance(function, Function):
            found = function.call(arguments, span)
            if found is None:
                message, help_ = (
                    f"`{function.name}` does not take this",
                    f"write `{function.takes}`",
                )
                self.report.error(message, span, help=help_)
                raise Rejected
            return found
        if len(arguments) != 1 or arguments[0].kind is not Kind.FIELD:
            name = written.span.text
            what = f"{len(arguments)} arguments" if len(arguments) != 1 else a(arguments[0].kind)
            message = f"`{name}` acts on one field, but here is {what}"
            self._reject(group, message, help_=f"put a formula for a field inside: `{name}(K Y)`")
        if isinstance(function, expr.Activation):
            return expr.Activate(function, arguments[0], span=span)
        assert isinstance(function, expr.Map)
        return expr.Call(function, arguments[0], span=span)

    def _reject_uncalled(self, value: expr.Node | Function, written: tree.Node, rest) -> NoReturn:
        """A function without brackets; `rest` is the span of the last factor after it."""
        name = written.span.text
        if isinstance(value, Function):
            self._reject(written, f"`{name}` needs arguments", help_=f"write `{value.takes}`")
        text = written.span.to(rest).text[len(name) :].strip() if rest else "…"
        message = f"`{name}` is {a(value.kind)}: it is applied to a field"
        self._reject(written, message, help_=f"write `{name}({text})`")

    def _power(self, node: tree.Power) -> expr.Node:
        base = self._expr(node.base)
        exponent = node.exponent if isinstance(node.exponent, tree.Name) else None
        transpose = exponent is not None and exponent.id == "T"
        if exponent is not None and confusable(exponent.spelling, "T"):
            message = f"this is the Greek letter {exponent.id}, not the `T` of a transpose"
            self._reject(exponent, message, help_="write the Latin letter")
        if isinstance(base, Function) or self._callable(base):
            name, what = node.base.span.text, "transpose" if transpose else "power"
            help_ = "only operators (`param … : conv`, dense, diag) have an adjoint"
            self._reject(node, f"`{name}` is not linear, so it has no {what}", help_=help_)
        if base.kind is Kind.OPERATOR:
            if not transpose:
                self._reject(node, "an operator has no powers", help_="write `K K`, or `K^T`")
            return replace(self.scope.adjoint(base), span=node.span)
        if base.kind is Kind.FIELD:
            what = "a field has no transpose" if transpose else "a field has no powers"
            help_ = "only operators have an adjoint" if transpose else "write `Y * Y`"
            self._reject(node, what, help_=help_)
        if transpose and exponent is not None and self.scope.name(exponent) is None:
            self._reject(node, "a number has no transpose", help_="only operators have an adjoint")
        return expr.Power(base, self.scalar(node.exponent), span=node.span)


def _juxtaposed_brackets(factor: tuple[str, tree.Expr]) -> TypeGuard[tuple[str, tree.Group]]:
    """Whether a factor is brackets written right after the factor before."""
    return factor[0] == "" and isinstance(factor[1], tree.Group)


def _scaled(scalars: list[expr.Node], value: expr.Node | None) -> expr.Node:
    """Numbers multiplied from the left, then with what they scale."""
    factors = scalars + ([value] if value is not None else [])
    result = factors[0]
    for factor in factors[1:]:
        result = expr.Product(result, factor, span=_between(result, factor))
    return result


def _between(left: expr.Node, right: expr.Node) -> Span | None:
    return left.span.to(right.span) if left.span and right.span else None
