"""What the names of a specification mean."""

from collections.abc import Mapping
from typing import NoReturn

from odenet.diagnostics import Report, Span, suggest
from odenet.language import confusable, tree
from odenet.model import expr
from odenet.model.activations import ACTIVATIONS, ActivationKind
from odenet.model.elaborate import Elaborator, Function, Rejected
from odenet.model.numbers import NotANumber, evaluate
from odenet.model.parameters import Learned

FIXED = {
    "I": "the identity operator",
    "u": "the flow's input",
    "split": "the split of the input",
    "concat": "the concatenation of fields",
    **{name: "an activation of the language" for name in ACTIVATIONS},
}


class SpecScope:
    """The names of one file: declared ones, `let`s (read when first used), and the language's own."""

    def __init__(self, report: Report):
        self.report = report
        self.elaborator = Elaborator(self, report)
        self.states: dict[str, int] = {}
        self.parameters: dict[str, Learned] = {}
        self.maps: dict[str, tree.Map] = {}
        self.lets: dict[str, tree.Let] = {}
        self.settings: dict[str, tree.Expr] = {}
        self.declared: dict[str, tree.Name] = {}
        self.used: set[str] = set()
        self._values: dict[str, expr.Node] = {}
        self._reading: list[str] = []

    def declare(self, name: tree.Name) -> bool:
        """Note a name; False after reporting that it is taken, or cannot be told from another."""
        if name.id in FIXED or name.id == "c" and name.id in self.lets:
            meaning = FIXED.get(name.id, "the states' channel count")
            self.report.error(f"`{name.spelling}` is {meaning} and cannot be redefined", name.span,
                              help="choose another name")  # fmt: skip
            return False
        for other in self.declared.values():
            if confusable(name.spelling, other.spelling):
                self.report.error(
                    f"`{name.spelling}` cannot be told from `{other.spelling}` of line "
                    f"{other.span.line} by eye", name.span, help="choose another name",
                )  # fmt: skip
                return False
        if name.id in self.declared:
            first = self.declared[name.id]
            alias = f", written `{first.spelling}`," if first.spelling != name.spelling else ""
            self.report.error(f"`{name.spelling}` is defined twice", name.span,
                              f"first defined{alias} in line {first.span.line}",
                              "remove one, or choose another name")  # fmt: skip
            return False
        self.declared[name.id] = name
        return True

    def number(self, node: tree.Name) -> "expr.Value | None":
        """The value of a `let` number; None for any other name."""
        if node.id not in self.lets:
            return None
        value = self._let(node)
        return self.evaluate(value) if value.kind is expr.Kind.SCALAR else None

    def evaluate(self, value: expr.Node):
        """The value of a scalar formula; raises Rejected."""
        try:
            return evaluate(value, self.numbers(value))
        except NotANumber as error:
            span = error.node.span or value.span
            self.report.error(str(error), span)
            raise Rejected from None

    def numbers(self, value: expr.Node) -> dict:
        """The values of the constants a formula names."""
        names = {n.name for n in value.walk() if isinstance(n, expr.Constant)}
        return {name: self.evaluate(self._values[name]) for name in names if name in self._values}

    def constants(self) -> Mapping[str, expr.Node]:
        """The `let` numbers that were used, in the order of use."""
        return {n: v for n, v in self._values.items() if v.kind is expr.Kind.SCALAR}

    # the scope of formulas

    def name(self, node: tree.Name) -> expr.Node | Function | None:
        """States, parameters, maps, lets, and the language's own names."""
        self.used.add(node.id)
        if node.id in self.lets:
            value = self._let(node)
            if value.kind is expr.Kind.SCALAR:
                return expr.Constant(node.id, span=node.span)
            return value
        if node.id in self.states:
            return expr.State(node.id, span=node.span)
        if node.id in self.parameters:
            return self._parameter(self.parameters[node.id], node.span)
        if node.id in self.maps:
            return expr.Map(node.id, span=node.span)
        return self._builtin(node)

    def _builtin(self, node: tree.Name) -> expr.Node | Function | None:
        match node.id:
            case "I":
                return expr.Identity(span=node.span)
            case "u":
                return expr.Input(span=node.span)
            case "split":
                return Function("split", "split(u)", _split)
            case "concat":
                return Function("concat", "concat(Y, Z)", _concat)
        row = ACTIVATIONS.get(node.id)
        if row is None:
            return None
        return self._family(row) if row.constants else expr.Activation(row.name, span=node.span)

    def _family(self, row: ActivationKind) -> Function:
        takes = f"{row.name}({', '.join(row.constants)})"

        def call(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
            scalars = all(a.kind is expr.Kind.SCALAR for a in arguments)
            if len(arguments) != len(row.constants) or not scalars:
                return None
            return expr.Activation(row.name, arguments, span=span)

        return Function(row.name, takes, call)

    def _parameter(self, learned: Learned, span: Span) -> expr.Node:
        if learned.is_operator:
            return expr.Param(learned.name, span=span)
        if learned.is_module:
            return expr.Map(learned.name, span=span)
        if learned.type == "scalar":
            return expr.Learned(learned.name, span=span)
        return expr.Bias(learned.name, span=span)

    def _let(self, node: tree.Name) -> expr.Node:
        """The value of a `let`, read when it is first used."""
        if node.id in self._values:
            return self._values[node.id]
        if node.id in self._reading:
            chain = " > ".join([*self._reading[self._reading.index(node.id) :], node.id])
            self.report.error(f"`{node.spelling}` is defined by itself: {chain}", node.span)
            raise Rejected
        self._reading.append(node.id)
        try:
            value = self.elaborator.value(self.settings.get(node.id, self.lets[node.id].value))
        finally:
            self._reading.pop()
        self._values[node.id] = value
        return value

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """`Y'` on a right-hand side, for states with a second-order equation."""
        name = node.name
        self.used.add(name.id)
        if name.id in self.states:
            if self.states[name.id] == 2 and node.order == 1:
                return expr.State(name.id, 1, span=node.span)
            self._fail(f"`{node.span.text}` stands on the right only where `{name.spelling}''` has the equation",
                       node.span, f"write the right-hand side of `{name.spelling}'` instead")  # fmt: skip
        if name.id in self.parameters:
            self._fail(f"`'` is a time derivative, and `{name.spelling}` is a parameter", node.span,
                       f"the transpose is written `{name.spelling}^T`")  # fmt: skip
        self.unknown(name)

    def indexed(self, node: tree.Indexed) -> NoReturn:
        """Indices count steps, and stand only in schemes."""
        self._fail("an index counts steps, and stands only inside `scheme { … }`", node.span, "")

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """The adjoint, moved inwards to the parameters; a diagonal is its own."""
        match operator:
            case expr.Identity():
                return operator
            case expr.Param() if self.parameters[operator.name].type == "diag":
                return operator
            case expr.Adjoint():
                return operator.of
            case expr.Compose():
                left, right = self.adjoint(operator.right), self.adjoint(operator.left)
                return expr.Compose(left, right, span=operator.span)
            case expr.Product():
                return expr.Product(operator.left, self.adjoint(operator.right), span=operator.span)
            case expr.Quotient():
                above = self.adjoint(operator.numerator)
                return expr.Quotient(above, operator.denominator, span=operator.span)
            case expr.Sum():
                terms = tuple((sign, self.adjoint(term)) for sign, term in operator.terms)
                return expr.Sum(terms, span=operator.span)
        return expr.Adjoint(operator, span=operator.span)

    def unknown(self, node: tree.Name) -> NoReturn:
        """A name that nothing defines."""
        known = {name.spelling for name in self.declared.values()} | set(FIXED)
        self._fail(f"unknown name `{node.spelling}`", node.span,
                   suggest(node.spelling, known) or "declare it with state, param, map or let")  # fmt: skip

    def _fail(self, message: str, span: Span, help_: str) -> NoReturn:
        self.report.error(message, span, help=help_)
        raise Rejected


def _split(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
    if len(arguments) == 1 and isinstance(arguments[0], expr.Input):
        return expr.Split(arguments[0], span=span)
    return None


def _concat(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
    if arguments and all(a.kind is expr.Kind.FIELD for a in arguments):
        return expr.Concat(arguments, span=span)
    return None
