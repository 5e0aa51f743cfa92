"""The scope of a file: the meaning of the names in its formulas and arguments."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from odenet.diagnostics import Rejected, Report, Span, suggest
from odenet.diagnostics.report import strip_digits
from odenet.language import ConfusableNames, canonical, tree
from odenet.model.elaboration.builtin_names import CONCAT, SPLIT, activation_with_constants
from odenet.model.elaboration.declared_names import DeclaredNames
from odenet.model.elaboration.elaborate import Elaborator
from odenet.model.elaboration.meaning import Function
from odenet.model.elaboration.unknown_names import hint_for_formula, transpose_candidates
from odenet.model.expressions import expr
from odenet.model.expressions.adjoints import adjoint
from odenet.model.expressions.numbers import STATE_WIDTH, EvaluationError, Value, Width, evaluate
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.declared_parameters import DeclaredParameter


class SpecScope(DeclaredNames):
    """The names of one file: declared names, among them `let`s, and built-in names.

    A `let` is read when it is first used.

    Attributes:
        elaborator: reads the formulas of the file in this scope.
        states: the order of the equation of each state.
        parameters: the learned parameters, by name.
        maps: the statements of the maps, by name.
        lets: the statements of the lets, by name.
        let_overrides: the values that replace those of lets, from outside the file.
        used_names: the names that formulas read.
        lets_in_arguments: the `let`s that arguments read, of a layer, a scheme or the recipe.
        unimported_names: name -> kind and declaration, of names in other files that `use` does
            not bring in.
        incomplete: whether declarations could not be read, so that any name may be right.
    """

    def __init__(self, report: Report):
        super().__init__(report)
        self.elaborator = Elaborator(self, report)
        self.states: dict[str, int] = {}
        self.parameters: dict[str, DeclaredParameter] = {}
        self.maps: dict[str, tree.Map] = {}
        self.lets: dict[str, tree.Let] = {}
        self.let_overrides: dict[str, tree.Value] = {}
        self.used_names: set[str] = set()
        self.lets_in_arguments: set[str] = set()
        self.unimported_names: dict[str, tuple[str, tree.Name]] = {}
        self.incomplete = False
        self._let_formulas: dict[str, expr.Node] = {}
        self._let_numbers: dict[str, Value] = {}
        self._open_lets: list[str] = []  # those being read, each named in the one before

    # lets as plain values, for arguments

    def let_number(self, node: tree.Name) -> Value | None:
        """The value of a `let` number; None for any other name."""
        if node.id not in self.lets:
            return None
        self.lets_in_arguments.add(node.id)
        value = self._let_formula(node)
        return self.evaluate(value) if value.kind is expr.Kind.SCALAR else None

    def let_activation(self, node: tree.Name) -> expr.Activation | None:
        """The activation that a `let` names, for layers; None for any other name."""
        if node.id in self.lets:
            self.lets_in_arguments.add(node.id)
        value = self._let_formula(node) if node.id in self.lets else None
        return value if isinstance(value, expr.Activation) else None

    def evaluate(self, value: expr.Node) -> Value:
        """The value of a scalar formula; raises Rejected."""
        try:
            return evaluate(value, self._let_numbers | {"c": STATE_WIDTH})
        except EvaluationError as error:
            self.report.reject("undefined-number", str(error), error.node.span or value.span)

    def constants(self) -> dict[str, Fraction | float]:
        """The values of the `let` numbers that were read, in that order; no channel counts."""
        return {n: v for n, v in self._let_numbers.items() if not isinstance(v, Width)}

    def read_remaining_lets(self, lets: tuple[tree.Let, ...]) -> None:
        """Read the `let`s that nothing has used yet, which reports the errors in them."""
        used_before = set(self.used_names)
        for let in lets:
            if let.name.id not in self.broken_names and self.lets.get(let.name.id) is let:
                with suppress(Rejected):
                    self._let_formula(let.name)
        self.used_names = used_before

    def used_lets(self) -> set[str]:
        """The `let`s that something reads, directly or through another `let`."""
        names: set[str] = set()
        remaining = [*self.used_names, *self.lets_in_arguments]
        while remaining:
            name = remaining.pop()
            if name in self.lets and name not in names:
                names.add(name)
                value = self.lets[name].value
                remaining += [node.id for node in value.walk() if isinstance(node, tree.Name)]
        return names

    # the methods of `Scope`, for formulas

    def resolve_name(self, node: tree.Name) -> expr.Node | Function | None:
        """The meaning of a let, state, parameter, map or built-in name; None for other names."""
        self.used_names.add(node.id)
        if node.id in self.broken_names:
            raise Rejected
        if node.id in self.lets:
            return self._let_expression(node)
        if node.id in self.states:
            return expr.State(node.id, span=node.span)
        if node.id in self.parameters:
            return self._parameter_expression(self.parameters[node.id], node.span)
        if node.id in self.maps:
            return expr.Map(node.id, span=node.span)
        return self._builtin_meaning(node)

    def _let_expression(self, node: tree.Name) -> expr.Node:
        """The expression for a `let`: a constant of its name for a number, else its formula."""
        value = self._let_formula(node)
        if node.id not in self._let_numbers:
            return value
        number = expr.Constant(node.id, span=node.span)
        if not self._open_lets:
            self._check_widths(number)
        return number

    def _builtin_meaning(self, node: tree.Name) -> expr.Node | Function | None:
        """The meaning of a built-in name; None for other names."""
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
                if not self._open_lets:
                    self._check_widths(count)
                return count
            case _:
                return self._activation(node)

    def _activation(self, node: tree.Name) -> expr.Node | Function | None:
        """The activation of a name, or the function of one with constants; None for other names."""
        row = ACTIVATIONS.get(node.id)
        if row is None:
            return None
        if row.constants:
            return activation_with_constants(row, self.evaluate, self.report)
        return expr.Activation(row.name, span=node.span)

    def _parameter_expression(self, parameter: DeclaredParameter, span: Span) -> expr.Node:
        """The expression for a learned parameter."""
        if parameter.is_operator:
            return expr.LearnedOperator(parameter.name, span=span)
        if parameter.is_module:
            return expr.Map(parameter.name, span=span)
        if parameter.kind.role == "scalar":
            return expr.LearnedScalar(parameter.name, span=span)
        return expr.Bias(parameter.name, span=span)

    def _let_formula(self, node: tree.Name) -> expr.Node:
        """The formula of a `let`, which is read when it is first used; raises Rejected."""
        if node.id in self._let_formulas:
            return self._let_formulas[node.id]
        if node.id in self.broken_names:
            raise Rejected
        if node.id in self._open_lets:
            chain = " > ".join([*self._open_lets[self._open_lets.index(node.id) :], node.id])
            message = f"`{node.spelling}` is defined by itself: {chain}"
            self.report.reject("circular-definition", message, node.span)
        definition = self.let_overrides.get(node.id, self.lets[node.id].value)
        self._open_lets.append(node.id)
        try:
            value = self.elaborator.expression(definition)
            self.elaborator.require_short(value, definition)
            is_constant = not any(isinstance(n, expr.NON_CONSTANT) for n in value.walk())
            if value.kind is expr.Kind.SCALAR and is_constant:
                self._let_numbers[node.id] = self.evaluate(value)
            else:
                self._check_widths(value)
        except Rejected:
            self.broken_names.add(node.id)
            raise
        finally:
            self._open_lets.pop()
        self._let_formulas[node.id] = value
        return value

    def _check_widths(self, value: expr.Node) -> None:
        """Reject a formula in which a channel count occurs, `c` or a `let` such as `2c`."""
        for node in [n for n in value.walk() if isinstance(n, expr.Constant)]:
            if isinstance(self._let_numbers.get(node.name, STATE_WIDTH), Width):
                message = f"`{node.name}` counts channels, and cannot be used in a formula"
                help_ = "it is for widths such as `out = 2c`"
                self.report.reject("channel-count", message, node.span, help_)

    def resolve_derivative(self, node: tree.Derivative) -> expr.Node:
        """The expression for `Y'`, which a state with an equation of second order has."""
        name = node.name
        self.used_names.add(name.id)
        if name.id in self.broken_names:
            raise Rejected
        if name.id in self.states:
            if self.states[name.id] == 2 and node.order == 1:
                return expr.State(name.id, 1, span=node.span)
            source_text = node.span.text
            equation = expr.with_primes(name.spelling, self.states[name.id])
            message = f"`{source_text}` cannot be used on the right: `{equation}` has the equation"
            help_ = f"write the right-hand side of `{equation}` instead"
            self.report.reject("misplaced-derivative", message, node.span, help_)
        if name.id in self.parameters:
            message = f"`'` is a time derivative, and `{name.spelling}` is a parameter"
            help_ = f"the transpose is written `{name.spelling}^T`"
            self.report.reject("misplaced-derivative", message, node.span, help_)
        if self.resolve_name(name) is None:
            self.reject_unknown(name)
        message = f"`'` is the time derivative of a state, and `{name.spelling}` is not a state"
        self.report.reject("misplaced-derivative", message, node.span)

    def resolve_indexed(self, node: tree.Indexed) -> NoReturn:
        """Report an index: they count steps, and occur only in schemes."""
        message = "an index counts steps, and belongs only inside `scheme { … }`"
        self.report.reject("misplaced-index", message, node.span, f"write `{node.name.spelling}`")

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """The adjoint of an operator, with `^T` only on single parameters."""
        return adjoint(operator, lambda name: self.parameters[name].is_diagonal)

    def reject_unknown(self, node: tree.Name) -> NoReturn:
        """Report a name that nothing declares, once, with the best hint; raises Rejected."""
        if self.incomplete:
            raise Rejected
        self.broken_names.add(node.id)
        spellings = self.known_spellings()
        lookalike = ConfusableNames(spellings).find_confusable(node.spelling)
        # what the author may have meant, here and below, is not reported as unused
        self.used_names |= {n for n in self.declared if strip_digits(n) == strip_digits(node.id)}
        if node.id in self.unimported_names:
            kind, name = self.unimported_names[node.id]
            help_ = (f"{Path(name.span.source.name).name} has a {kind} of this name, and `use` "
                     "brings in only schemes and `let`s: declare it here")  # fmt: skip
        elif lookalike:
            self.used_names.add(canonical(lookalike))
            help_ = f"it looks like `{lookalike}` but is another letter"
        elif operator := next(filter(self._is_operator, transpose_candidates(node.spelling)), ""):
            self.used_names.add(canonical(operator))
            help_ = f"the transpose is written `{operator}^T`"
        elif factors := self._split_product(node.spelling):
            self.used_names |= {canonical(factor) for factor in factors}
            help_ = f"write `{' '.join(factors)}`, with a space"
        elif help_ := hint_for_formula(node.spelling, [n.spelling for n in self.declared.values()]):
            pass
        elif help_ := suggest(node.spelling, spellings):
            self.used_names.add(canonical(help_.split("`")[1]))  # of "did you mean `K`?"
        elif self._open_lets and self._open_lets[-1] in self.let_overrides:
            help_ = "give a number, as in --set h=0.05"
        else:
            help_ = f"write `param {node.spelling} : …` or `let {node.spelling} = …` to declare it"
        self.report.reject("unknown-name", f"unknown name `{node.spelling}`", node.span, help_)

    def _split_product(self, spelling: str) -> tuple[str, ...]:
        """`K` and `Y` for a spelling `KY`, if they are an operator and a declared value."""
        for index in range(1, len(spelling)):
            first, second = spelling[:index], spelling[index:]
            is_declared = canonical(second) in self.declared and canonical(second) not in self.maps
            is_operator = self._is_operator(first) or canonical(first) in self.broken_names
            if is_operator and is_declared:
                return first, second
        return ()

    def _is_operator(self, spelling: str) -> bool:
        """Whether a spelling names a learned operator."""
        parameter = self.parameters.get(canonical(spelling))
        return parameter is not None and parameter.is_operator
