"""From the syntax tree of a formula to a typed expression, which compilers call elaboration.

What a chain of factors means depends on their kinds: scalar·anything, operator·operator or
operator·field. A function (activation, map, right-hand side of a scheme) takes the brackets that
follow it. Every other combination is reported as an error at its place.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, NoReturn, TypeGuard

from odenet.diagnostics import Code, Rejected, Report, Span
from odenet.language import confusable, tree
from odenet.model.elaboration.meaning import Function, Scope, with_article
from odenet.model.elaboration.products import Products
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind

MOST_NODES = 10_000  # in a formula
# Nodes whose value differs from sample to sample.
PER_SAMPLE = (
    expr.State, expr.Input, expr.Split, expr.Slot, expr.ElementwiseExp, expr.Stage, expr.Rate,
)  # fmt: skip
MAX_DEPTH = 100  # levels of a formula: stages recurse over them, within Python's 1000 stack frames


class Elaborator:
    """Elaborates formulas in one scope; every method raises Rejected after reporting an error.

    Args:
        scope: gives names their meaning.
        report: collects the errors.
    """

    def __init__(self, scope: Scope, report: Report):
        self.scope = scope
        self.report = report
        self.products = Products(report)
        self._nesting = 0  # depth of calls of `expression`, which a `let` in a formula nests

    def field(self, node: tree.Value) -> expr.Node:
        """The expression of a formula for a field; the number 0 is the zero field."""
        value = self.expression(node)
        if isinstance(value, expr.Number) and value.value == 0:
            return expr.Zero(span=node.span)
        if value.kind is not Kind.FIELD:
            is_operator = value.kind is Kind.OPERATOR
            message = f"a field is wanted here, but this is {with_article(value.kind)}"
            help_ = "apply the operator to a state, as in `K Y`" if is_operator else ""
            self._reject("wrong-kind", node, message, help_=help_)
        return value

    def scalar(self, node: tree.Value) -> expr.Node:
        """The expression of a formula for a number."""
        value = self.expression(node)
        if value.kind is not Kind.SCALAR:
            message = f"a number is wanted here, but this is {with_article(value.kind)}"
            self._reject("wrong-kind", node, message)
        return value

    def expression(self, node: tree.Value) -> expr.Node:
        """The expression of a formula of any kind."""
        expression = self._expression_or_function(node)
        if isinstance(expression, Function):
            self._reject_uncalled(expression, node)
        if not self._nesting:
            if _is_deeper_than(expression, MAX_DEPTH):
                self._reject_depth(node)
            self.require_short(expression, node)
        return expression

    def _expression_or_function(self, node: tree.Value) -> expr.Node | Function:
        """The expression, or function, of a formula.

        One too deep for Python's stack is reported once, at the outermost formula.
        """
        self._nesting += 1
        try:
            return self._elaborate(node)
        except RecursionError:
            if self._nesting > 1:
                raise
        finally:
            self._nesting -= 1
        self._reject_depth(node)

    def require_short(self, value: expr.Node, node: tree.Value) -> None:
        """Refuse a formula that would fill the memory: each `let` can double what it names."""
        if next(islice(value.walk(), MOST_NODES, None), None) is not None:
            self._reject("too-large", node, "this formula is too long, with its lets written out")

    def _reject_depth(self, node: tree.Value) -> NoReturn:
        help_ = f"at most {MAX_DEPTH} levels: a factor is one, and what a let names is written out"
        self._reject("too-large", node, "this formula is nested too deeply", help_=help_)

    def _reject(
        self, code: Code, node: tree.Node, message: str, label: str = "", help_: str = ""
    ) -> NoReturn:
        self.report.reject(code, message, node.span, help_, label=label)

    def _elaborate(self, node: tree.Value) -> expr.Node | Function:
        """The expression, or function, of a formula, by the class of its syntax."""
        match node:
            case tree.Number():
                return expr.Number(node.value, node.text, span=node.span)
            case tree.Name():
                meaning = self.scope.resolve_name(node)
                return self.scope.reject_unknown(node) if meaning is None else meaning
            case tree.Derivative():
                return self.scope.resolve_derivative(node)
            case tree.Indexed():
                return self.scope.resolve_indexed(node)
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
        """The expression of a formula in brackets."""
        if not node.arguments:
            self._reject("missing-value", node, "these brackets are empty")
        if len(node.arguments) > 1:
            help_ = "fields are stacked by `concat(Y, Z)`"
            self._reject("wrong-kind", node, "a list can only follow a function", help_=help_)
        argument = next(iter(node.arguments))
        if argument.name is not None:
            self._reject("wrong-kind", node, f"`{argument.name.spelling} = …` belongs in a call")
        return self._elaborate(argument.value)

    def _expressions(self, nodes: Iterable[tree.Value]) -> list[expr.Node]:
        """The expressions of several formulas; an error in one does not hide those in others."""
        expressions: list[expr.Node] = []
        failed = False
        for node in nodes:
            try:
                expressions.append(self.expression(node))
            except Rejected:
                failed = True
        if failed:
            raise Rejected
        return expressions

    def _sum(self, node: tree.Sum) -> expr.Node:
        """The expression of a sum, whose terms have to be of one kind."""
        values = self._expressions(term for _, term in node.terms)
        for value, (_, syntax) in zip(values, node.terms, strict=True):
            if self._is_callable(value):
                name = syntax.span.text
                message = f"`{name}` is {with_article(value.kind)}: it is applied, not added"
                self._reject("missing-argument", syntax, message, help_=f"write `{name}(…)`")
            if value.kind is not values[0].kind:
                self._reject_sum(node, values[0], value, syntax)
        terms = tuple((sign, v) for (sign, _), v in zip(node.terms, values, strict=True))
        return expr.Sum(terms, span=node.span)

    def _reject_sum(
        self, node: tree.Sum, first_term: expr.Node, other_term: Any, syntax: tree.Node
    ) -> NoReturn:
        """Report a sum of two kinds; `syntax` is that of the other term."""
        kinds = {first_term.kind, other_term.kind}
        help_ = ""
        if kinds == {Kind.OPERATOR, Kind.SCALAR}:
            scalar_syntax = syntax if other_term.kind is Kind.SCALAR else node.terms[0][1]
            text = scalar_syntax.span.text
            help_ = f"write `{'' if text == '1' else text + ' '}I`: a multiple of the identity"
        elif kinds == {Kind.FIELD, Kind.SCALAR}:
            help_ = "a constant added to a field is a `param … : bias`"
        elif kinds == {Kind.FIELD, Kind.OPERATOR}:
            help_ = "apply the operator to a field, as in `K Y`"
        first, other = with_article(first_term.kind), with_article(other_term.kind)
        message = f"{first} and {other} cannot be added"
        self._reject("wrong-kind", syntax, message, f"this is {other}", help_)

    def _term(self, node: tree.Term) -> expr.Node:
        """The expression of a chain of factors, such as `2 h K σ(Y)`."""
        factors = self._factors(node)
        value = factors[0][1] if len(factors) == 1 else self.products.multiply(factors)
        return replace(value, span=node.span)

    def _factors(self, node: tree.Term) -> list[tuple[str, expr.Node, tree.Expr]]:
        """The factors of a chain: the operator before each, its value and its syntax.

        Functions are called with the brackets that follow them. One without brackets is accepted
        only as the whole chain, as in `let f = leaky_relu(0.1)`. An error in one factor does not
        hide those in others.
        """
        chain: list[tuple[str, Any, tree.Expr]] = []
        factors = list(node.factors)
        failed = False
        while factors:
            operator, syntax = factors.pop(0)
            try:
                value = self._elaborate(syntax)
                while factors and _is_juxtaposed_group(factors[0]) and self._is_callable(value):
                    value = self._call(value, syntax, factors.pop(0)[1])
                if self._is_callable(value) and (chain or factors or operator):
                    rest_span = factors[-1][1].span if factors and factors[0][0] == "" else None
                    self._reject_uncalled(value, syntax, rest_span)
                chain.append((operator, value, syntax))
            except Rejected:
                failed = True
                while factors and _is_juxtaposed_group(factors[0]):
                    self._report_errors_inside(factors.pop(0)[1])
        if failed:
            raise Rejected
        return chain

    def _report_errors_inside(self, group: tree.Expr) -> None:
        """Report the errors in brackets after a factor that has an error itself."""
        assert isinstance(group, tree.Group)
        with suppress(Rejected):
            self._expressions(argument.value for argument in group.arguments)

    def _is_callable(self, value: expr.Node | Function) -> bool:
        """Whether a value is applied to arguments in brackets."""
        return isinstance(value, Function) or value.kind in (Kind.ACTIVATION, Kind.MAP)

    def _call(self, function: expr.Node | Function, syntax: tree.Node, group: tree.Expr):
        """The value of a function for the arguments in the brackets after it."""
        assert isinstance(group, tree.Group)
        for argument in group.arguments:
            if argument.name is not None:
                self._reject("wrong-argument", argument, "arguments have no names here")
        span = syntax.span.to(group.span)
        arguments = tuple(self._expressions(argument.value for argument in group.arguments))
        if isinstance(function, Function):
            result = function.call(arguments, span)
            if result is None:
                message = f"`{function.name}` does not take this"
                self.report.reject("wrong-argument", message, span, f"write `{function.usage}`")
            return result
        if len(arguments) != 1 or arguments[0].kind is not Kind.FIELD:
            name = syntax.span.text
            actual = f"are {len(arguments)} arguments"
            if len(arguments) == 1:
                actual = f"is {with_article(arguments[0].kind)}"
            message = f"`{name}` acts on one field, but here {actual}"
            help_ = f"put a formula for a field inside: `{name}(K Y)`"
            self._reject("wrong-kind", group, message, help_=help_)
        if isinstance(function, expr.Activation):
            return expr.Activate(function, arguments[0], span=span)
        assert isinstance(function, expr.Map)
        if not depends_on_sample(arguments[0]):
            message = f"`{syntax.span.text}` acts on samples, and this is the same for all of them"
            help_ = "put a formula inside that reads a state or `u`; a bias needs no norm or map"
            self._reject("wrong-kind", group, message, help_=help_)
        return expr.MapCall(function, arguments[0], span=span)

    def _reject_uncalled(
        self, value: expr.Node | Function, syntax: tree.Node, rest_span: Span | None = None
    ) -> NoReturn:
        """Report a function without brackets; `rest_span` is that of the last factor after it."""
        name = syntax.span.text
        if isinstance(value, Function):
            message = f"`{name}` needs arguments"
            self._reject("missing-argument", syntax, message, help_=f"write `{value.usage}`")
        argument_text = syntax.span.to(rest_span).text[len(name) :].strip() if rest_span else "…"
        message = f"`{name}` is {with_article(value.kind)}: it is applied to a field"
        self._reject("missing-argument", syntax, message, help_=f"write `{name}({argument_text})`")

    def _power(self, node: tree.Power) -> expr.Node:
        """The expression of a power, or of a transpose `K^T`."""
        base = self._elaborate(node.base)
        exponent = node.exponent if isinstance(node.exponent, tree.Name) else None
        is_transpose = exponent is not None and exponent.id == "T"
        if exponent is not None and confusable(exponent.spelling, "T"):
            message = f"this is the Greek letter {exponent.id}, not the `T` of a transpose"
            self._reject("not-a-transpose", exponent, message, help_="write the Latin letter")
        if isinstance(base, Function) or self._is_callable(base):
            name, missing = node.base.span.text, "transpose" if is_transpose else "power"
            help_ = "only operators (`param … : conv`, dense, diag) have an adjoint"
            message = f"`{name}` is not linear, so it has no {missing}"
            self._reject("not-a-transpose", node, message, help_=help_)
        if base.kind is Kind.OPERATOR:
            if not is_transpose:
                negative = node.span.text[len(node.base.span.text) :].lstrip("^( ").startswith("-")
                missing = "inverse in the language" if negative else "powers"
                help_ = "`K^T` is the transpose" if negative else "write `K K`, or `K^T`"
                self._reject("not-a-product", node, f"an operator has no {missing}", help_=help_)
            return replace(self.scope.adjoint(base), span=node.span)
        if base.kind is Kind.FIELD:
            message = "a field has no transpose" if is_transpose else "a field has no powers"
            help_ = "only operators have an adjoint" if is_transpose else "write `Y * Y`"
            self._reject("not-a-product", node, message, help_=help_)
        if is_transpose and exponent is not None and self.scope.resolve_name(exponent) is None:
            message = "a number has no transpose"
            self._reject("not-a-transpose", node, message, help_="only operators have an adjoint")
        return expr.Power(base, self.scalar(node.exponent), span=node.span)


def _is_juxtaposed_group(factor: tuple[str, tree.Expr]) -> TypeGuard[tuple[str, tree.Group]]:
    """Whether a factor is a pair of brackets right after the previous factor."""
    return factor[0] == "" and isinstance(factor[1], tree.Group)


def _is_deeper_than(node: expr.Node, levels: int) -> bool:
    """Whether a formula has more levels than `levels`; counted without recursion."""
    level = [node]
    for _ in range(levels):
        level = list({id(child): child for parent in level for child in parent.children()}.values())
    return bool(level)


def depends_on_sample(value: expr.Node) -> bool:
    """Whether the value of a formula differs from sample to sample; that of biases does not."""
    return any(isinstance(node, PER_SAMPLE) for node in value.walk())
