"""From the syntax of a formula to a typed expression.

A chain of factors is read by kind, from the right: scalar·anything, operator·operator,
operator·field. A function (activation, map, right-hand side of a scheme) takes the brackets that
follow it. Everything else is an error at its own place.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, NoReturn, TypeGuard

from odenet.diagnostics import Code, Rejected, Report, Span
from odenet.language import confusable, tree
from odenet.model.elaboration.meaning import Function, Scope, a
from odenet.model.elaboration.products import Products
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind

MOST_NODES = 10_000  # of a formula
PER_SAMPLE = (
    expr.State, expr.Input, expr.Split, expr.Slot, expr.Stretch, expr.Stage, expr.Rate,
)  # fmt: skip
DEEPEST = 100  # levels of a formula: every stage walks it, on Python's stack of 1000 calls


class Elaborator:
    """Elaborates formulas in one scope."""

    def __init__(self, scope: Scope, report: Report):
        self.scope = scope
        self.report = report
        self.products = Products(report)
        self._inside = 0  # formulas being read, as one reads the lets that it names

    def field(self, node: tree.Value) -> expr.Node:
        """A formula for a field; the number 0 is the zero field."""
        value = self.value(node)
        if isinstance(value, expr.Number) and value.value == 0:
            return expr.Zero(span=node.span)
        if value.kind is not Kind.FIELD:
            operator = value.kind is Kind.OPERATOR
            message = f"a field is wanted here, but this is {a(value.kind)}"
            help_ = "apply the operator to a state, as in `K Y`" if operator else ""
            self._reject("wrong-kind", node, message, help_=help_)
        return value

    def scalar(self, node: tree.Value) -> expr.Node:
        """A formula for a number."""
        value = self.value(node)
        if value.kind is not Kind.SCALAR:
            message = f"a number is wanted here, but this is {a(value.kind)}"
            self._reject("wrong-kind", node, message)
        return value

    def value(self, node: tree.Value) -> expr.Node:
        """A formula of any kind."""
        found = self._read(node)
        if isinstance(found, Function):
            self._reject_uncalled(found, node)
        if not self._inside:
            if _deeper(found, DEEPEST):
                self._reject_depth(node)
            self.require_short(found, node)
        return found

    def _read(self, node: tree.Value) -> expr.Node | Function:
        """A formula; one too deep for Python's stack is refused where the outermost one is."""
        self._inside += 1
        try:
            return self._expr(node)
        except RecursionError:
            if self._inside > 1:
                raise
        finally:
            self._inside -= 1
        self._reject_depth(node)

    def require_short(self, value: expr.Node, node: tree.Value) -> None:
        """Refuse a formula that would fill the memory: each `let` may double what it names."""
        if next(islice(value.walk(), MOST_NODES, None), None) is not None:
            self._reject("too-large", node, "this formula is too long, with its lets written out")

    def _reject_depth(self, node: tree.Value) -> NoReturn:
        help_ = f"at most {DEEPEST} levels: a factor is one, and what a let names is written out"
        self._reject("too-large", node, "this formula is nested too deeply", help_=help_)

    def _reject(
        self, code: Code, node: tree.Node, message: str, label: str = "", help_: str = ""
    ) -> NoReturn:
        self.report.reject(code, message, node.span, help_, label=label)

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
            case _:
                self._reject("wrong-kind", node, "a formula is wanted here")

    def _brackets(self, node: tree.Group) -> expr.Node | Function:
        if not node.arguments:
            self._reject("missing-value", node, "these brackets are empty")
        if len(node.arguments) > 1:
            help_ = "fields are stacked by `concat(Y, Z)`"
            self._reject("wrong-kind", node, "a list can only follow a function", help_=help_)
        argument = next(iter(node.arguments))
        if argument.name is not None:
            self._reject("wrong-kind", node, f"`{argument.name.spelling} = …` belongs in a call")
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
                self._reject("missing-argument", written, message, help_=f"write `{name}(…)`")
            if value.kind is not values[0].kind:
                self._reject_sum(node, values[0], value, written)
        terms = tuple((sign, v) for (sign, _), v in zip(node.terms, values, strict=True))
        return expr.Sum(terms, span=node.span)

    def _reject_sum(
        self, node: tree.Sum, first: expr.Node, other: Any, written: tree.Node
    ) -> NoReturn:
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
        self._reject("wrong-kind", written, message, f"this is {a(other.kind)}", help_)

    def _term(self, node: tree.Term) -> expr.Node:
        """A chain of factors."""
        factors = self._factors(node)
        value = factors[0][1] if len(factors) == 1 else self.products.of(factors)
        return replace(value, span=node.span)

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
        return found

    def _read_lost(self, group: tree.Expr) -> None:
        """Report the errors in what may be the arguments of something unknown."""
        assert isinstance(group, tree.Group)
        with suppress(Rejected):
            self._all(argument.value for argument in group.arguments)

    def _callable(self, value: expr.Node | Function) -> bool:
        return isinstance(value, Function) or value.kind in (Kind.ACTIVATION, Kind.MAP)

    def _call(self, function: expr.Node | Function, written: tree.Node, group: tree.Expr):
        """A function and the brackets after it."""
        assert isinstance(group, tree.Group)
        for argument in group.arguments:
            if argument.name is not None:
                self._reject("wrong-argument", argument, "arguments have no names here")
        span = written.span.to(group.span)
        arguments = tuple(self._all(argument.value for argument in group.arguments))
        if isinstance(function, Function):
            found = function.call(arguments, span)
            if found is None:
                message = f"`{function.name}` does not take this"
                self.report.reject("wrong-argument", message, span, f"write `{function.takes}`")
            return found
        if len(arguments) != 1 or arguments[0].kind is not Kind.FIELD:
            name = written.span.text
            several = len(arguments) != 1
            what = f"are {len(arguments)} arguments" if several else f"is {a(arguments[0].kind)}"
            message = f"`{name}` acts on one field, but here {what}"
            help_ = f"put a formula for a field inside: `{name}(K Y)`"
            self._reject("wrong-kind", group, message, help_=help_)
        if isinstance(function, expr.Activation):
            return expr.Activate(function, arguments[0], span=span)
        assert isinstance(function, expr.Map)
        if not reads_sample(arguments[0]):
            message = f"`{written.span.text}` acts on samples, and this is the same for all of them"
            help_ = "put a formula inside that reads a state or `u`; a bias needs no norm or map"
            self._reject("wrong-kind", group, message, help_=help_)
        return expr.MapCall(function, arguments[0], span=span)

    def _reject_uncalled(
        self, value: expr.Node | Function, written: tree.Node, rest: Span | None = None
    ) -> NoReturn:
        """A function without brackets; `rest` is the span of the last factor after it."""
        name = written.span.text
        if isinstance(value, Function):
            message = f"`{name}` needs arguments"
            self._reject("missing-argument", written, message, help_=f"write `{value.takes}`")
        text = written.span.to(rest).text[len(name) :].strip() if rest else "…"
        message = f"`{name}` is {a(value.kind)}: it is applied to a field"
        self._reject("missing-argument", written, message, help_=f"write `{name}({text})`")

    def _power(self, node: tree.Power) -> expr.Node:
        base = self._expr(node.base)
        exponent = node.exponent if isinstance(node.exponent, tree.Name) else None
        transpose = exponent is not None and exponent.id == "T"
        if exponent is not None and confusable(exponent.spelling, "T"):
            message = f"this is the Greek letter {exponent.id}, not the `T` of a transpose"
            self._reject("not-a-transpose", exponent, message, help_="write the Latin letter")
        if isinstance(base, Function) or self._callable(base):
            name, what = node.base.span.text, "transpose" if transpose else "power"
            help_ = "only operators (`param … : conv`, dense, diag) have an adjoint"
            message = f"`{name}` is not linear, so it has no {what}"
            self._reject("not-a-transpose", node, message, help_=help_)
        if base.kind is Kind.OPERATOR:
            if not transpose:
                below = node.span.text[len(node.base.span.text) :].lstrip("^( ").startswith("-")
                what = "inverse in the language" if below else "powers"
                help_ = "`K^T` is the transpose" if below else "write `K K`, or `K^T`"
                self._reject("not-a-product", node, f"an operator has no {what}", help_=help_)
            return replace(self.scope.adjoint(base), span=node.span)
        if base.kind is Kind.FIELD:
            what = "a field has no transpose" if transpose else "a field has no powers"
            help_ = "only operators have an adjoint" if transpose else "write `Y * Y`"
            self._reject("not-a-product", node, what, help_=help_)
        if transpose and exponent is not None and self.scope.name(exponent) is None:
            message = "a number has no transpose"
            self._reject("not-a-transpose", node, message, help_="only operators have an adjoint")
        return expr.Power(base, self.scalar(node.exponent), span=node.span)


def _juxtaposed_brackets(factor: tuple[str, tree.Expr]) -> TypeGuard[tuple[str, tree.Group]]:
    """Whether a factor is brackets written right after the factor before."""
    return factor[0] == "" and isinstance(factor[1], tree.Group)


def _deeper(node: expr.Node, levels: int) -> bool:
    """Whether a formula has more levels than that; counted without recursion."""
    row = [node]
    for _ in range(levels):
        row = list({id(child): child for inner in row for child in inner.children()}.values())
    return bool(row)


def reads_sample(value: expr.Node) -> bool:
    """Whether a formula has a value of its own for each sample; of biases alone it has not."""
    return any(isinstance(node, PER_SAMPLE) for node in value.walk())
