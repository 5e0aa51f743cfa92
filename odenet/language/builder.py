"""From lark's parse tree to our syntax tree: one method per rule of the grammar."""

from fractions import Fraction
from typing import Any

from lark import Token, Tree
from lark.tree import Meta

from odenet.diagnostics import Report, Source, Span
from odenet.language import tree
from odenet.language.names import canonical


def _signed(items: list[Any]) -> list[tuple[int, tree.Expr]]:
    """Pairs of sign and term from `[-] term (± term)*`."""
    return [
        (-1 if sign is not None and sign.type == "MINUS" else 1, term)
        for sign, term in zip(items[::2], items[1::2], strict=True)
    ]


class Builder:
    """Builds the nodes of one source."""

    def __init__(self, source: Source, report: Report):
        self.source = source
        self.report = report

    def build(self, parsed: Tree[Token | None] | Token | None) -> Any:
        """The node of a parse tree: its children's nodes, handed to the method of its rule."""
        match parsed:
            case Token():
                return self._leaf(parsed)
            case Tree():
                children = [self.build(child) for child in parsed.children]
                return getattr(self, parsed.data)(self._place(parsed.meta), *children)
            case None:
                return None

    def _leaf(self, token: Token):
        span = self._place(token)
        match token.type:
            case "NUMBER":
                return tree.Number(Fraction(str(token)), str(token), span=span)
            case "NAME":
                return tree.Name(canonical(token), str(token), span=span)
            case "STRING":
                return tree.Text(str(token)[1:-1], span=span)
            case _:
                return token

    def _place(self, parsed: Token | Meta) -> Span:
        return Span(self.source, getattr(parsed, "start_pos", 0), getattr(parsed, "end_pos", 0))

    # statements

    def version(self, span: Span, number: tree.Number):
        return tree.Version(number, span=span)

    def description(self, span: Span, text: tree.Text):
        return tree.Description(text.value, span=span)

    def use(self, span: Span, path: tree.Text):
        return tree.Use(path.value, span=span)

    def names(self, span: Span, *names: tree.Name):
        return names

    def state(self, span: Span, names: tuple[tree.Name, ...]):
        return tree.State(names, span=span)

    def aux(self, span: Span, names: tuple[tree.Name, ...]):
        return tree.Aux(names, span=span)

    def param(
        self, span: Span, shared: Token | None, names: tuple[tree.Name, ...], type_: tree.Expr
    ):
        return tree.Param(shared is not None, names, type_, span=span)

    def map(
        self, span: Span, shared: Token | None, name: tree.Name, layers: tree.Expr | tree.Pipeline
    ):
        return tree.Map(shared is not None, name, _pipeline(layers), span=span)

    def let(self, span: Span, name: tree.Name, value: tree.Expr):
        return tree.Let(name, value, span=span)

    def equation(self, span: Span, name: tree.Name, primes: str, value: tree.Expr):
        return tree.Equation(name, len(primes), value, span=span)

    def initial(
        self, span: Span, name: tree.Name, primes: str | None, time: tree.Number, value: tree.Expr
    ):
        return tree.Initial(name, len(primes or ""), time, value, span=span)

    def output(self, span: Span, value: tree.Expr):
        return tree.Output(value, span=span)

    def start(self, span: Span, target: tree.Indexed, value: tree.Expr):
        return tree.Start(target, value, span=span)

    def discretise(self, span: Span, scheme: tree.Expr, *rest: tree.Start | Token | None):
        starts = tuple(s for s in rest if isinstance(s, tree.Start))
        return tree.Discretise(scheme, starts, rest[-1] is not None, span=span)

    def require(self, span: Span, claim: tree.Expr | Token):
        if isinstance(claim, Token):
            claim = tree.Name(str(claim), str(claim), span=span)
        return tree.Require(claim, span=span)

    def net(self, span: Span, layers: tree.Expr | tree.Pipeline):
        return tree.Net(_pipeline(layers), span=span)

    def train(self, span: Span, *settings: tree.Setting):
        return tree.Train(settings, span=span)

    def setting(self, span: Span, key: tree.Name, value: tree.Value):
        return tree.Setting(key, value, span=span)

    def scheme(
        self,
        span: Span,
        name: tree.Name,
        constants: tree.Group | None,
        *rules: tree.For | tree.Aux | tree.Let | tree.Start | tree.Update,
    ):
        return tree.Scheme(name, constants, rules, span=span)

    def made(self, span: Span, name: tree.Name, constants: tree.Group | None, value: tree.Expr):
        return tree.MadeScheme(name, constants, value, span=span)

    def takes(self, span: Span, *patterns: tree.Pattern):
        return tree.For(patterns, span=span)

    def pattern(self, span: Span, name: tree.Name, primes: str, *rest: Any):
        *rights, _minus, decay, damped = rest
        summands = tuple(right for right in rights if isinstance(right, tree.RightHandSide))
        return tree.Pattern(name, len(primes), summands, decay, damped, span=span)

    def right(self, span: Span, function: tree.Name, arguments: tree.Group):
        return tree.RightHandSide(function, arguments, span=span)

    def update(self, span: Span, target: tree.Name | tree.Indexed, value: tree.Expr):
        return tree.Update(target, value, span=span)

    # values

    def array(self, span: Span, *items: tree.Value | None):
        return tree.ListValue(tuple(i for i in items if i is not None), span=span)

    def pipeline(self, span: Span, *layers: tree.Expr):
        return layers[0] if len(layers) == 1 else tree.Pipeline(layers, span=span)

    # expressions

    def sum(self, span: Span, *items: Any):
        terms = _signed(list(items))
        return (
            terms[0][1]
            if len(terms) == 1 and terms[0][0] > 0
            else tree.Sum(tuple(terms), span=span)
        )

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

    def power(self, span: Span, base: tree.Expr, exponent: tree.Expr):
        return tree.Power(base, exponent, span=span)

    def transpose(self, span: Span, base: tree.Expr):
        return tree.Power(base, tree.Name("T", "T", span=span), span=span)

    def derivative(self, span: Span, name: tree.Name, primes: str):
        return tree.Derivative(name, len(primes), span=span)

    def indexed(self, span: Span, name: tree.Name, index: tuple[tree.Name | None, int]):
        return tree.Indexed(name, *index, span=span)

    def index(self, span: Span, *items: Any):
        base = items[0] if isinstance(items[0], tree.Name) else None
        sign, number = items[-2:] if base is None else items[1:]
        offset = 0 if number is None else int(number.value)
        if number is not None and number.value != offset:
            self.report.error(
                "misplaced-index",
                "an index counts whole steps",
                number.span,
                "write n+1, n, n-1 …",
            )
            offset = 0
        return base, -offset if sign is not None and sign.type == "MINUS" else offset

    def group(self, span: Span, *arguments: tree.Argument | None):
        return tree.Group(tuple(a for a in arguments if a is not None), span=span)

    def argument(self, span: Span, *parts: Any):
        name, value = (None, parts[0]) if len(parts) == 1 else parts
        if isinstance(name, Token):  # `shared`, which is a name here
            name = tree.Name(str(name), str(name), span=self._place(name))
        return tree.Argument(name, value, span=span)


def _pipeline(layers: tree.Expr | tree.Pipeline) -> tree.Pipeline:
    """A pipeline, also when it is of one layer."""
    return (
        layers if isinstance(layers, tree.Pipeline) else tree.Pipeline((layers,), span=layers.span)
    )
