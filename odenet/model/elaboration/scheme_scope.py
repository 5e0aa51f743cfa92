"""The scope of a `scheme` block: the meaning of the names inside it."""

from collections.abc import Collection
from typing import NoReturn

from odenet.diagnostics import Rejected, Report, Span, suggest
from odenet.language import ConfusableNames, tree
from odenet.model.elaboration.elaborate import Elaborator
from odenet.model.elaboration.meaning import Function, Scope
from odenet.model.expressions import expr
from odenet.model.typed.scheme import STEP_NUMBER, Pattern

RESERVED = {
    "h": "the step size",
    "T": "the final time",
    "n": "the step's number",
    "exp": "the exponential of a number",
}
MOST_HISTORY = 16  # steps that a multistep scheme may look back


class SchemeScope(Scope):
    """The names of one scheme. The scope grows as its lines are read.

    Attributes:
        block: the `scheme` block.
        elaborator: gives its formulas their meaning, by the names of this scope.
        errors_before: how many errors had been reported before the block was read.
        numbers: the step size, the constants and the lets.
        lets_with_exp: the lets that contain an exponential.
        functions: the right-hand sides, by name.
        unknowns: the unknowns of the `for` line and the auxiliary ones.
        stages: the stages that the lines so far compute.
        computed_unknowns: the unknowns whose value `[n+1]` the lines so far compute.
        broken_names: names with an error that has been reported.
        in_start_line: whether a `start` line is being read.
        current_target: the name that the line being read computes.
        maps: the maps of the file, which lines may read.
        spellings: canonical name -> how it is written where it first occurs.
        reads_step_number: whether a line has read `n`, the number of the step.
    """

    def __init__(self, block: tree.Scheme, report: Report, maps: Collection[str] = ()):
        self.block = block
        self.maps = maps
        self.report = report
        self.elaborator = Elaborator(self, report)
        self.errors_before = report.error_count
        self.broken_names: set[str] = set()
        self.spellings: dict[str, str] = {}
        self._known_spellings = ConfusableNames()
        self.numbers: set[str] = {"h"}
        self.functions: dict[str, Pattern] = {}
        self.unknowns: list[str] = []
        self.lets_with_exp: set[str] = set()
        self.stages: set[str] = set()
        self.computed_unknowns: set[str] = set()
        self.in_start_line = False
        self.reads_step_number = False
        self.current_target: tree.Name | None = None

    def starts(self, lines: tuple[tree.Start, ...]) -> tuple[tuple[expr.Slot, expr.Node], ...]:
        """The values before the first step, from `start` lines.

        It serves the lines in the scheme and those of the `discretise` line that uses it.
        """
        self.in_start_line = True
        values: list[tuple[expr.Slot, expr.Node]] = []
        for line in lines:
            try:
                target = self.resolve_indexed(line.target)
                values.append((target, self.elaborator.field(line.value)))
            except Rejected:
                continue
        return tuple(values)

    def resolve_name(self, node: tree.Name) -> expr.Node | Function | None:
        """The meaning of a name: a number, a stage, a right-hand side, a map or `exp`."""
        self._note_spelling(node)
        if node.id in self.broken_names:
            raise Rejected
        if node.id in self.numbers:
            return expr.Constant(node.id, span=node.span)
        if node.id in self.stages:
            return expr.Stage(node.id, span=node.span)
        if node.id in self.functions:
            return self._rate(self.functions[node.id], node)
        if node.id in self.unknowns:
            return None
        if node.id in self.maps:
            return expr.Map(node.id, span=node.span)
        if node.id == STEP_NUMBER and not self.in_start_line:
            self.reads_step_number = True
            return expr.Constant(STEP_NUMBER, span=node.span)
        if node.id != "exp":
            return None
        # two usages: a message has one pair of backticks around what is given here
        return Function("exp", "exp(-γ h)` or `exp(s(Z[n])) * Y[n]", self._exp)

    def _exp(self, arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
        """The exponential of a number, or the element-wise one of a field."""
        if len(arguments) == 1 and arguments[0].kind is expr.Kind.FIELD and not self.in_start_line:
            return expr.ElementwiseExp(arguments[0], span=span)
        if len(arguments) != 1 or arguments[0].kind is not expr.Kind.SCALAR:
            return None
        if self.has_exponential(arguments[0]):
            message = "an exponent has no exponential in it"
            self.report.reject("scheme-line", message, span, "write it without one")
        return expr.Exp(arguments[0], span=span)

    def has_exponential(self, value: expr.Node) -> bool:
        """Whether a formula, or a let that it names, contains an exponential."""
        return any(
            isinstance(node, expr.Exp)
            or (isinstance(node, expr.Constant) and node.name in self.lets_with_exp)
            for node in value.walk()
        )

    def _rate(self, pattern: Pattern, node: tree.Name) -> Function:
        """The function for the name of a right-hand side, whose calls are `Rate` nodes."""
        usage = f"{node.spelling}({', '.join(self.spellings[r] + '[n]' for r in pattern.reads)})"

        def call(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
            are_fields = all(argument.kind is expr.Kind.FIELD for argument in arguments)
            if len(arguments) != len(pattern.reads) or not are_fields:
                return None
            return expr.Rate(pattern.function, arguments, span=span)

        return Function(node.spelling, usage, call)

    def resolve_indexed(self, node: tree.Indexed) -> expr.Slot:
        """The value `Y[n]`, `Y[n-1]`, or `Y[n+1]` after the line that computes it.

        In a `start` line it is `Y[0]` or `Y[-1]`.
        """
        name = node.name.spelling
        if node.name.id not in self.unknowns:
            self.reject_unknown(node.name)
        if self.in_start_line:
            if node.base is not None or node.offset > 0:
                message = "a start line gives values at step 0 or before"
                help_ = f"write `{name}[0]` or `{name}[-1]`"
                self.report.reject("scheme-start", message, node.span, help_)
        elif node.base is None or node.base.id != "n" or node.offset > 1:
            message = "the index of a step is n+1, n, n-1 and so on"
            self.report.reject("misplaced-index", message, node.span, f"write `{name}[n]`")
        elif node.offset < -MOST_HISTORY:
            message = f"a scheme looks back at most {MOST_HISTORY} steps"
            help_ = "every value looked back to is stored"
            self.report.reject("misplaced-index", message, node.span, help_)
        elif node.offset == 1 and node.name.id not in self.computed_unknowns:
            self._reject_early(node)
        return expr.Slot(node.name.id, node.offset, span=node.span)

    def _reject_early(self, node: tree.Indexed) -> NoReturn:
        """Report `Y[n+1]` above or on the line that computes it."""
        source_text = node.span.text
        if self.current_target is not None and self.current_target.id == node.name.id:
            message = f"this line is implicit: `{source_text}` appears in its own right-hand side"
            help_ = "an explicit scheme computes it from values above"
        else:
            message = f"`{source_text}` is used before the line that computes it"
            help_ = f"move its line up, or use `{node.name.spelling}[n]`"
        self.report.reject("implicit-line", message, node.span, help_)

    def resolve_derivative(self, node: tree.Derivative) -> expr.Node:
        """Report a derivative: a scheme names the function of the right-hand side instead."""
        message = "a scheme uses the right-hand side by its name, not a derivative"
        help_ = f"write {' or '.join(self.functions)}"
        self.report.reject("scheme-line", message, node.span, help_)

    def reject_unknown(self, node: tree.Name) -> NoReturn:
        """Report a name without a meaning, or one that is used above its line."""
        if any(isinstance(r, tree.Update) and r.target == node for r in self.block.rules):
            message = f"`{node.spelling}` is used before the line that computes it"
            self.report.reject("implicit-line", message, node.span, "lines run top to bottom")
        elif node.id == STEP_NUMBER:
            message = "`n` is the number of a step, and no step is taken yet"
            self.report.reject("scheme-line", message, node.span, "the first step has n = 0")
        elif node.id in self.unknowns:
            name = node.spelling
            indexed_name = f"`{name}[n]`, or `{name}[n+1]`"
            help_ = f"write `{name}[0]`" if self.in_start_line else f"write {indexed_name}"
            self.report.reject("misplaced-index", f"which value of `{name}`?", node.span, help_)
        else:
            self.broken_names.add(node.id)
            message = f"unknown name `{node.spelling}` in scheme {self.block.name.spelling}"
            known = sorted(self.spellings.get(n, n) for n in self._known_names())
            help_ = suggest(node.spelling, known) or f"it has {', '.join(known)}"
            self.report.reject("unknown-name", message, node.span, help_)

    def _known_names(self) -> list[str]:
        """The names that have a meaning at the line that is read."""
        return [*self.numbers, *self.stages, *self.functions, *self.unknowns]

    def _add_name(self, name: tree.Name) -> None:
        """Add a declared name, or report that it is taken or looks the same as another."""
        quoted_name, help_ = f"`{name.spelling}`", "choose another name"
        if name.id in RESERVED:
            message = f"{quoted_name} is {RESERVED[name.id]} and cannot be a name"
            self.report.error("name-taken", message, name.span, help_)
        elif name.id in self._known_names():
            self.report.error("name-taken", f"{quoted_name} is defined twice", name.span, help_)
        elif lookalike := self._known_spellings.find_confusable(name.spelling):
            message = f"{quoted_name} cannot be told from `{lookalike}` by eye"
            self.report.error("confusable-name", message, name.span, help_)
        self._note_spelling(name)

    def _note_spelling(self, name: tree.Name) -> None:
        """Keep the spelling of a name where it first occurs."""
        if name.id not in self.spellings:
            self.spellings[name.id] = name.spelling
            self._known_spellings.add(name.spelling)
