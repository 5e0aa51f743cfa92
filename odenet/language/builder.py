"""From lark's parse tree to the syntax tree: a class or a method for each rule of the grammar."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from lark import Token, Tree
from lark.tree import Meta

from odenet.diagnostics import Report, Source, Span
from odenet.language import tree
from odenet.language.names import canonical

# Rules whose children are the fields of their node, in order.
_NODE_RULES: dict[str, Callable[..., tree.Node]] = {
    "version": tree.Version, "state": tree.State, "aux": tree.Aux, "let": tree.Let,
    "equation": tree.Equation, "output": tree.Output, "start": tree.Start,
    "setting": tree.Setting, "made_scheme": tree.MadeScheme, "right_hand_side": tree.RightHandSide,
    "update": tree.Update, "power": tree.Power, "derivative": tree.Derivative,
}  # fmt: skip

# Rules whose node has one field, the tuple of the children.
_LIST_RULES: dict[str, Callable[..., tree.Node]] = {
    "train": tree.Train, "for": tree.For, "list": tree.ListValue, "group": tree.Group,
}  # fmt: skip


class Builder:
    """Builds the nodes of one source.

    A method has the name of its rule in grammar.lark and is called with the span and the nodes of
    the children. Rules without a method are in one of the two tables above.
    """

    def __init__(self, source: Source, report: Report):
        self.source = source
        self.report = report

    def build(self, parsed: Tree[Token | None] | Token | None) -> Any:
        """The node of a parse tree: its children's nodes, handed to the method of its rule."""
        match parsed:
            case Token():
                return self._token(parsed)
            case Tree():
                children = [self.build(child) for child in parsed.children]
                rule, span = parsed.data, self._span(parsed.meta)
                if rule in _NODE_RULES:
                    return _NODE_RULES[rule](*children, span=span)
                if rule in _LIST_RULES:  # None is an optional part that was left out
                    return _LIST_RULES[rule](tuple(c for c in children if c is not None), span=span)
                return getattr(self, rule)(span, *children)
            case None:
                return None

    def _token(self, token: Token):
        span = self._span(token)
        match token.type:
            case "NUMBER":
                return tree.Number(Fraction(str(token)), str(token), span=span)
            case "NAME":
                return tree.Name(canonical(token), str(token), span=span)
            case "STRING":
                return tree.Text(str(token)[1:-1], span=span)
            case "PRIME":
                return len(token)  # the order of the derivative
            case _:
                return token

    def _span(self, parsed: Token | Meta) -> Span:
        return Span(self.source, getattr(parsed, "start_pos", 0), getattr(parsed, "end_pos", 0))

    # statements

    def description(self, span: Span, text: tree.Text):
        return tree.Description(text.value, span=span)

    def use(self, span: Span, path: tree.Text):
        return tree.Use(path.value, span=span)

    def names(self, span: Span, *names: tree.Name):
        return names

    def param(
        self, span: Span, shared: Token | None, names: tuple[tree.Name, ...], type_: tree.Expr
    ):
        return tree.Param(shared is not None, names, type_, span=span)

    def map(
        self, span: Span, shared: Token | None, name: tree.Name, layers: tree.Expr | tree.Pipeline
    ):
        return tree.Map(shared is not None, name, _as_pipeline(layers), span=span)

    def initial(
        self, span: Span, name: tree.Name, order: int | None, time: tree.Number, value: tree.Expr
    ):
        return tree.Initial(name, order or 0, time, value, span=span)

    def discretise(self, span: Span, scheme: tree.Expr, *rest: tree.Start | Token | None):
        # the last one is the word `exact`, or None without it
        starts = tuple(s for s in rest if isinstance(s, tree.Start))
        return tree.Discretise(scheme, starts, exact=rest[-1] is not None, span=span)

    def require(self, span: Span, claim: tree.Expr | Token):
        if isinstance(claim, Token):
            claim = tree.Name(str(claim), str(claim), span=span)
        return tree.Require(claim, span=span)

    def net(self, span: Span, layers: tree.Expr | tree.Pipeline):
        return tree.Net(_as_pipeline(layers), span=span)

    def scheme(
        self,
        span: Span,
        name: tree.Name,
        constants: tree.Group | None,
        *rules: tree.For | tree.Aux | tree.Let | tree.Start | tree.Update,
    ):
        return tree.Scheme(name, constants, rules, span=span)

    def pattern(self, span: Span, name: tree.Name, order: int, *children: Any):
        *signed_terms, _minus, decay, damped = children
        summands = tuple(term for term in signed_terms if isinstance(term, tree.RightHandSide))
        return tree.Pattern(name, order, summands, decay, damped, span=span)

    # values

    def pipeline(self, span: Span, *layers: tree.Expr):
        return layers[0] if len(layers) == 1 else tree.Pipeline(layers, span=span)

    # expressions

    def sum(self, span: Span, *items: Any):
        pairs = zip(items[::2], items[1::2], strict=True)
        terms = tuple((_sign(sign), term) for sign, term in pairs)
        (sign, first), *others = terms
        return tree.Sum(terms, span=span) if others or sign < 0 else first

    def term(self, span: Span, *items: tree.Expr | Token):
        factors: list[tuple[str, tree.Expr]] = []
        operator = ""
        for item in items:
            if isinstance(item, Token):
                operator = "*" if item.type == "TIMES" else "/"
            else:
                factors.append((operator, item))
                operator = ""
        return factors[0][1] if len(factors) == 1 else tree.Term(tuple(factors), span=span)

    def transpose(self, span: Span, base: tree.Expr):
        return tree.Power(base, tree.Name("T", "T", span=span), span=span)

    def indexed(self, span: Span, name: tree.Name, index: tuple[tree.Name | None, int]):
        return tree.Indexed(name, *index, span=span)

    def index(self, span: Span, *items: Any):
        # the children of `n - 1` are n, - and 1, those of `-1` are - and 1; None for absent parts
        base = items[0] if isinstance(items[0], tree.Name) else None
        sign, number = items[-2:] if base is None else items[1:]
        offset = 0 if number is None else int(number.value)
        if number is not None and number.value != offset:
            message = "an index counts whole steps"
            self.report.error("misplaced-index", message, number.span, "write n+1, n, n-1 …")
            offset = 0
        return base, _sign(sign) * offset

    def argument(self, span: Span, *parts: Any):
        name, value = (None, parts[0]) if len(parts) == 1 else parts
        if isinstance(name, Token):  # `shared`, which is a name here
            name = tree.Name(str(name), str(name), span=self._span(name))
        return tree.Argument(name, value, span=span)


def _sign(token: Token | None) -> int:
    return -1 if token is not None and token.type == "MINUS" else 1


def _as_pipeline(layers: tree.Expr | tree.Pipeline) -> tree.Pipeline:
    """Layers as a `Pipeline`, even if there is only one."""
    if isinstance(layers, tree.Pipeline):
        return layers
    return tree.Pipeline((layers,), span=layers.span)
