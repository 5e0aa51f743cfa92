"""What the names of a specification mean."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from odenet.diagnostics import Rejected, Report, Span, strip_digits, suggest
from odenet.language import ConfusableNames, canonical, tree
from odenet.model.elaboration.declared_names import DeclaredNames
from odenet.model.elaboration.elaborate import Elaborator
from odenet.model.elaboration.meaning import Function
from odenet.model.elaboration.own_names import CONCAT, SPLIT, family
from odenet.model.elaboration.unknown import in_formula, untransposed
from odenet.model.expressions import expr
from odenet.model.expressions.adjoints import adjoint
from odenet.model.expressions.numbers import C, NotANumber, Value, Width, evaluate
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.declared_parameters import DeclaredParameter


class SpecScope(DeclaredNames):
    """The names of one file: declared ones, `let`s (read when first used), the language's own.

    Attributes:
        used: names that a formula reads.
        asked: names of `let`s that an argument reads, of a layer, a scheme or the recipe.
        elsewhere: what files that are used declare for themselves alone: its kind and its name.
        incomplete: whether a file that is used could not be read, so that any name may be fine.
    """

    def __init__(self, report: Report):
        super().__init__(report)
        self.elaborator = Elaborator(self, report)
        self.states: dict[str, int] = {}
        self.parameters: dict[str, DeclaredParameter] = {}
        self.maps: dict[str, tree.Map] = {}
        self.lets: dict[str, tree.Let] = {}
        self.settings: dict[str, tree.Value] = {}
        self.used: set[str] = set()
        self.asked: set[str] = set()
        self.elsewhere: dict[str, tuple[str, tree.Name]] = {}
        self.incomplete = False
        self._formulas: dict[str, expr.Node] = {}
        self._numbers: dict[str, Value] = {}
        self._reading: list[str] = []

    # numbers and words, for arguments

    def number(self, node: tree.Name) -> Value | None:
        """The value of a `let` number; None for any other name."""
        if node.id not in self.lets:
            return None
        self.asked.add(node.id)
        value = self._let(node)
        if value.kind is not expr.Kind.SCALAR:
            return None
        return self.evaluate(value)

    def activation(self, node: tree.Name) -> expr.Activation | None:
        """The activation a `let` names, for layers; None for any other name."""
        if node.id in self.lets:
            self.asked.add(node.id)
        value = self._let(node) if node.id in self.lets else None
        return value if isinstance(value, expr.Activation) else None

    def evaluate(self, value: expr.Node) -> Value:
        """The value of a scalar formula; raises Rejected."""
        try:
            return evaluate(value, self._numbers | {"c": C})
        except NotANumber as error:
            self.report.reject("undefined-number", str(error), error.node.span or value.span)

    def constants(self) -> dict[str, Fraction | float]:
        """The values of the `let`s that formulas use, in the order of use."""
        return {n: v for n, v in self._numbers.items() if not isinstance(v, Width)}

    def read_unused(self, lets: tuple[tree.Let, ...]) -> None:
        """Report the errors in `let`s that nothing uses."""
        used = set(self.used)
        for let in lets:
            if let.name.id not in self.broken and self.lets.get(let.name.id) is let:
                with suppress(Rejected):
                    self._let(let.name)
        self.used = used

    def read_lets(self) -> set[str]:
        """The `let`s that something reads, by themselves or through another."""
        found: set[str] = set()
        todo = [*self.used, *self.asked]
        while todo:
            name = todo.pop()
            if name in self.lets and name not in found:
                found.add(name)
                value = self.lets[name].value
                todo += [node.id for node in value.walk() if isinstance(node, tree.Name)]
        return found

    # the scope of formulas

    def name(self, node: tree.Name) -> expr.Node | Function | None:
        """States, parameters, maps, lets, and the language's own names."""
        self.used.add(node.id)
        if node.id in self.broken:
            raise Rejected
        if node.id in self.lets:
            return self._named(node)
        if node.id in self.states:
            return expr.State(node.id, span=node.span)
        if node.id in self.parameters:
            return self._parameter(self.parameters[node.id], node.span)
        if node.id in self.maps:
            return expr.Map(node.id, span=node.span)
        return self._builtin(node)

    def _named(self, node: tree.Name) -> expr.Node:
        """What a `let` means: its number by name, anything else as a formula."""
        value = self._let(node)
        if node.id not in self._numbers:
            return value
        number = expr.Constant(node.id, span=node.span)
        if not self._reading:
            self._check_widths(number)
        return number

    def _builtin(self, node: tree.Name) -> expr.Node | Function | None:
        match node.id:
            case "I":
                return expr.Identity(span=node.span)
            case "u":
                return expr.Input(span=node.span)
            case "split":
                return SPLIT
            case "concat":
                return CONCAT
            case "t":  # unless the file declares another: `let t`, `param t`, `state t`
                return expr.Time(span=node.span)
            case "c":
                count = expr.Constant("c", span=node.span)
                if not self._reading:
                    self._check_widths(count)
                return count
            case _:
                return self._activation(node)

    def _activation(self, node: tree.Name) -> expr.Node | Function | None:
        row = ACTIVATIONS.get(node.id)
        if row is None:
            return None
        if row.constants:
            return family(row, self.evaluate, self.report)
        return expr.Activation(row.name, span=node.span)

    def _parameter(self, learned: DeclaredParameter, span: Span) -> expr.Node:
        if learned.is_operator:
            return expr.Param(learned.name, span=span)
        if learned.is_module:
            return expr.Map(learned.name, span=span)
        if learned.kind.role == "scalar":
            return expr.LearnedScalar(learned.name, span=span)
        return expr.Bias(learned.name, span=span)

    def _let(self, node: tree.Name) -> expr.Node:
        """The value of a `let`, read when it is first used; raises Rejected."""
        if node.id in self._formulas:
            return self._formulas[node.id]
        if node.id in self.broken:
            raise Rejected
        if node.id in self._reading:
            chain = " > ".join([*self._reading[self._reading.index(node.id) :], node.id])
            message = f"`{node.spelling}` is defined by itself: {chain}"
            self.report.reject("circular-definition", message, node.span)
        written = self.settings.get(node.id, self.lets[node.id].value)
        self._reading.append(node.id)
        try:
            value = self.elaborator.value(written)
            self.elaborator.require_short(value, written)
            varying = any(isinstance(n, expr.VARYING) for n in value.walk())
            if value.kind is expr.Kind.SCALAR and not varying:
                self._numbers[node.id] = self.evaluate(value)
            else:
                self._check_widths(value)
        except Rejected:
            self.broken.add(node.id)
            raise
        finally:
            self._reading.pop()
        self._formulas[node.id] = value
        return value

    def _check_widths(self, value: expr.Node) -> None:
        """Refuse channel counts in what is not a plain number."""
        for node in [n for n in value.walk() if isinstance(n, expr.Constant)]:
            if isinstance(self._numbers.get(node.name, C), Width):
                message = f"`{node.name}` counts channels, and cannot be used in a formula"
                help_ = "it is for widths such as `out = 2c`"
                self.report.reject("channel-count", message, node.span, help_)

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """`Y'` on a right-hand side, for states with a second-order equation."""
        name = node.name
        self.used.add(name.id)
        if name.id in self.broken:
            raise Rejected
        if name.id in self.states:
            if self.states[name.id] == 2 and node.order == 1:
                return expr.State(name.id, 1, span=node.span)
            shown = node.span.text
            equation = expr.derivative(name.spelling, self.states[name.id])
            message = f"`{shown}` cannot be used on the right: `{equation}` has the equation"
            help_ = f"write the right-hand side of `{equation}` instead"
            self.report.reject("misplaced-derivative", message, node.span, help_)
        if name.id in self.parameters:
            message = f"`'` is a time derivative, and `{name.spelling}` is a parameter"
            help_ = f"the transpose is written `{name.spelling}^T`"
            self.report.reject("misplaced-derivative", message, node.span, help_)
        if self.name(name) is None:
            self.unknown(name)
        message = f"`'` is the time derivative of a state, and `{name.spelling}` is not a state"
        self.report.reject("misplaced-derivative", message, node.span)

    def indexed(self, node: tree.Indexed) -> NoReturn:
        """Indices count steps, and occur only in schemes."""
        message = "an index counts steps, and belongs only inside `scheme { … }`"
        self.report.reject("misplaced-index", message, node.span, f"write `{node.name.spelling}`")

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """The adjoint, moved inwards to the parameters."""
        return adjoint(operator, lambda name: self.parameters[name].is_diagonal)

    def unknown(self, node: tree.Name) -> NoReturn:
        """Report a name that nothing defines, once."""
        if self.incomplete:
            raise Rejected
        self.broken.add(node.id)
        known = self.known()
        twin = ConfusableNames(known).find_confusable(node.spelling)
        self.used |= {n for n in self.declared if strip_digits(n) == strip_digits(node.id)}
        if node.id in self.elsewhere:
            what, name = self.elsewhere[node.id]
            help_ = (f"{Path(name.span.source.name).name} has a {what} of this name, and `use` "
                     "brings in only schemes and `let`s: declare it here")  # fmt: skip
        elif twin:
            self.used.add(canonical(twin))
            help_ = f"it looks like `{twin}` but is another letter"
        elif transposed := next(filter(self._is_operator, untransposed(node.spelling)), ""):
            self.used.add(canonical(transposed))
            help_ = f"the transpose is written `{transposed}^T`"
        elif parts := self._side_by_side(node.spelling):
            self.used |= {canonical(part) for part in parts}
            help_ = f"write `{' '.join(parts)}`, with a space"
        elif help_ := in_formula(node.spelling, [n.spelling for n in self.declared.values()]):
            pass
        elif help_ := suggest(node.spelling, known):
            self.used.add(canonical(help_.split("`")[1]))
        elif self._reading and self._reading[-1] in self.settings:
            help_ = "give a number, as in --set h=0.05"
        else:
            help_ = f"write `param {node.spelling} : …` or `let {node.spelling} = …` to declare it"
        self.report.reject("unknown-name", f"unknown name `{node.spelling}`", node.span, help_)

    def _side_by_side(self, spelling: str) -> tuple[str, ...]:
        """`K` and `Y` for `KY`, where these are an operator and a name of a value."""
        for cut in range(1, len(spelling)):
            first, rest = spelling[:cut], spelling[cut:]
            declared = canonical(rest) in self.declared and canonical(rest) not in self.maps
            operator = self._is_operator(first) or canonical(first) in self.broken
            if operator and declared:
                return first, rest
        return ()

    def _is_operator(self, spelling: str) -> bool:
        learned = self.parameters.get(canonical(spelling))
        return learned is not None and learned.is_operator
