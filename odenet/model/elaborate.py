"""From the syntax of a formula to a typed expression.

A chain of factors is read by kind, from the right: scalar·anything, operator·operator,
operator·field. A function (activation, map, right-hand side of a scheme) takes the brackets that
follow it. Everything else is an error at its own place.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

from odenet.diagnostics import Report, Span
from odenet.language import tree
from odenet.model import expr
from odenet.model.expr import Kind


class Rejected(Exception):
    """An expression has an error, and it has been reported."""


@dataclass(frozen=True)
class Function:
    """A name that only means something with arguments: `split`, `F` of a scheme, `leaky_relu`.

    Args:
        name: as the author wrote it.
        takes: how to write it, for messages.
        call: the value for elaborated arguments, or None if they do not fit.
    """

    name: str
    takes: str
    call: Callable[[tuple[expr.Node, ...], Span], "expr.Node | None"]


class Scope(Protocol):
    """What the names of a formula mean."""

    def name(self, node: tree.Name) -> expr.Node | Function | None:
        """The meaning of a name, None if it has none."""
        ...

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """The meaning of `Y'`; raises Rejected."""
        ...

    def indexed(self, node: tree.Indexed) -> expr.Node:
        """The meaning of `Y[n+1]`; raises Rejected."""
        ...

    def unknown(self, node: tree.Name) -> NoReturn:
        """Report a name without a meaning."""
        ...

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """The adjoint of an operator."""
        ...


class Elaborator:
    """Elaborates formulas in one scope."""

    def __init__(self, scope: Scope, report: Report):
        self.scope = scope
        self.report = report

    def field(self, node: tree.Expr) -> expr.Node:
        """A formula for a field; the number 0 is the zero field."""
        value = self.value(node)
        if isinstance(value, expr.Number) and value.value == 0:
            return expr.Zero(span=node.span)
        if value.kind is not Kind.FIELD:
            self._reject(node, f"a field is wanted here, but this is {_a(value.kind)}")
        return value

    def scalar(self, node: tree.Expr) -> expr.Node:
        """A formula for a number."""
        value = self.value(node)
        if value.kind is not Kind.SCALAR:
            self._reject(node, f"a number is wanted here, but this is {_a(value.kind)}")
        return value

    def value(self, node: tree.Expr) -> expr.Node:
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
        if len(node.arguments) != 1:
            wrong = "these brackets are empty" if not node.arguments else "a list stands only"
            after = "" if not node.arguments else " after a function"
            self._reject(node, wrong + after)
        (argument,) = node.arguments
        if argument.name is not None:
            self._reject(node, f"`{argument.name.spelling} = …` stands only in a call")
        return self._expr(argument.value)

    def _sum(self, node: tree.Sum) -> expr.Node:
        terms = tuple((sign, self.value(term)) for sign, term in node.terms)
        for (_, term), (_, written) in zip(terms, node.terms, strict=True):
            if term.kind in (Kind.ACTIVATION, Kind.MAP):
                self._reject(written, f"{_a(term.kind)} is applied, not added", help_="write `f(…)`")
            if term.kind is not terms[0][1].kind:
                self._reject_sum(node, terms[0][1], term, written)
        return expr.Sum(terms, span=node.span)

    def _reject_sum(self, node: tree.Sum, first, other, written: tree.Node) -> NoReturn:
        kinds = {first.kind, other.kind}
        help_ = ""
        if kinds == {Kind.OPERATOR, Kind.SCALAR}:
            scalar = written if other.kind is Kind.SCALAR else node.terms[0][1]
            help_ = f"write `{scalar.span.text} I`: a multiple of the identity"
        elif kinds == {Kind.FIELD, Kind.SCALAR}:
            help_ = "a constant added to a field is a `param … : bias`"
        elif kinds == {Kind.FIELD, Kind.OPERATOR}:
            help_ = "apply the operator to a field, as in `K Y`"
        message = f"{_a(first.kind)} and {_a(other.kind)} cannot be added"
        self._reject(written, message, f"this is {_a(other.kind)}", help_)

    def _term(self, node: tree.Term) -> expr.Node:
        """A chain of factors: juxtaposition binds tighter than `*`; `/` divides what stands left."""
        segments: list[list[tuple[expr.Node, tree.Node]]] = [[]]
        divided = False
        factors = list(node.factors)
        while factors:
            operator, written = factors.pop(0)
            value = self._expr(written)
            while factors and factors[0][0] == "" and self._callable(value, factors[0][1]):
                value = self._call(value, written, factors.pop(0)[1])
            if isinstance(value, Function) or value.kind in (Kind.ACTIVATION, Kind.MAP):
                self._reject_uncalled(value, written)
            if operator == "/":
                left = self._fold(segments[-1])
                segments[-1] = [(self._divide(left, value, written), written)]
                divided = True
                continue
            if operator == "*":
                segments.append([])
            elif divided and value.kind is Kind.SCALAR:
                self._reject(
                    written, "is this factor above or below the line of the fraction?",
                    help_="write `(a/b) c` or `a / (b c)`",
                )  # fmt: skip
            segments[-1].append((value, written))
            divided = False
        result = self._fold(segments[0])
        for segment in segments[1:]:
            result = self._times(result, self._fold(segment), segment[0][1])
        return _spanned(result, node.span)

    def _fold(self, segment: list[tuple[expr.Node, tree.Node]]) -> expr.Node:
        """The product of juxtaposed factors; numbers that stand together are multiplied first."""
        value, written = segment[-1]
        scalars = [value] if value.kind is Kind.SCALAR else []
        result = None if scalars else value
        for factor, place in reversed(segment[:-1]):
            if factor.kind is Kind.SCALAR:
                scalars.insert(0, factor)
                continue
            if result is None:
                self._reject(written, f"{_a(factor.kind)} stands before a number",
                             help_=f"write the number first: `{written.span.text} {place.span.text}`")  # fmt: skip
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
                self._reject(written, "two fields cannot stand side by side",
                             help_="the element-wise product is `*`: `Y * Z`")  # fmt: skip
        self._reject(written, "an operator acts on what stands to its right",
                     help_="write the operator first, as in `K Y`")  # fmt: skip

    def _times(self, left: expr.Node, right: expr.Node, written: tree.Node) -> expr.Node:
        """What `*` means between two kinds."""
        span = _between(left, right)
        if left.kind is Kind.SCALAR:
            return expr.Product(left, right, span=span)
        if right.kind is Kind.SCALAR:
            return expr.Product(right, left, span=span)
        if left.kind is right.kind is Kind.FIELD:
            return expr.Hadamard(left, right, span=span)
        self._reject(written, "`*` multiplies fields, element by element, or numbers",
                     help_="an operator is applied by writing it before: `K Y`, `K L`")  # fmt: skip

    def _divide(self, left: expr.Node, right: expr.Node, written: tree.Node) -> expr.Node:
        if right.kind is not Kind.SCALAR:
            self._reject(written, f"only a number divides, but this is {_a(right.kind)}")
        return expr.Quotient(left, right, span=_between(left, right))

    def _callable(self, value: expr.Node | Function, brackets: tree.Node) -> bool:
        function = isinstance(value, Function) or value.kind in (Kind.ACTIVATION, Kind.MAP)
        return function and isinstance(brackets, tree.Group)

    def _call(self, function: expr.Node | Function, written: tree.Node, group: tree.Group):
        """A function and the brackets after it."""
        for argument in group.arguments:
            if argument.name is not None:
                self._reject(argument, "arguments have no names here")
        span = written.span.to(group.span)
        arguments = tuple(self.value(argument.value) for argument in group.arguments)
        if isinstance(function, Function):
            found = function.call(arguments, span)
            if found is None:
                self.report.error(f"`{function.name}` is not used like this", span,
                                  help=f"write `{function.takes}`")  # fmt: skip
                raise Rejected
            return found
        if len(arguments) != 1 or arguments[0].kind is not Kind.FIELD:
            self._reject(group, f"{_a(function.kind)} takes one field",
                         help_=f"write `{written.span.text}(…)` with a formula for a field inside")  # fmt: skip
        if isinstance(function, expr.Activation):
            return expr.Activate(function, arguments[0], span=span)
        assert isinstance(function, expr.Map)
        return expr.Call(function, arguments[0], span=span)

    def _reject_uncalled(self, value: expr.Node | Function, written: tree.Node) -> NoReturn:
        name = written.span.text
        if isinstance(value, Function):
            self._reject(written, f"`{name}` needs arguments", help_=f"write `{value.takes}`")
        message = f"`{name}` is {_a(value.kind)}: it is applied to a field"
        self._reject(written, message, help_=f"write `{name}(…)`")

    def _power(self, node: tree.Power) -> expr.Node:
        base = self._expr(node.base)
        transpose = isinstance(node.exponent, tree.Name) and node.exponent.id == "T"
        if isinstance(base, Function) or base.kind in (Kind.MAP, Kind.ACTIVATION):
            name = node.base.span.text
            self._reject(node, f"`{name}` is not linear, so it has no {'transpose' if transpose else 'power'}",
                         help_="only operators (`param … : conv`, dense, diag) have an adjoint")  # fmt: skip
        if base.kind is Kind.OPERATOR:
            if not transpose:
                self._reject(node, "an operator has no powers", help_="write `K K`, or `K^T`")
            return _spanned(self.scope.adjoint(base), node.span)
        if base.kind is Kind.FIELD:
            what = "a field has no transpose" if transpose else "a field has no powers"
            self._reject(node, what, help_="" if transpose else "write `Y * Y`")
        return expr.Power(base, self.scalar(node.exponent), span=node.span)


def _a(kind: Kind) -> str:
    """A kind with its article; a scalar is a number to the reader."""
    words = {Kind.SCALAR: "a number", Kind.OPERATOR: "an operator", Kind.ACTIVATION: "an activation"}
    return words.get(kind, f"a {kind}")


def _scaled(scalars: list[expr.Node], value: expr.Node | None) -> expr.Node:
    """Numbers multiplied from the left, then with what they scale."""
    factors = scalars + ([value] if value is not None else [])
    result = factors[0]
    for factor in factors[1:]:
        result = expr.Product(result, factor, span=_between(result, factor))
    return result


def _between(left: expr.Node, right: expr.Node) -> Span | None:
    return left.span.to(right.span) if left.span and right.span else None


def _spanned(node: expr.Node, span: Span) -> expr.Node:
    """The same expression, standing at a span."""
    return replace(node, span=span)
