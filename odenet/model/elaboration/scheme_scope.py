"""What the names inside a `scheme` block mean."""

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
MOST_HISTORY = 16


class SchemeScope(Scope):
    """The names of one scheme; more are known as its lines are read.

    Attributes:
        numbers: the step size, constants and lets.
        exponentials: the lets among them that have one.
        functions: the right-hand sides.
        unknowns: the patterns' unknowns and the auxiliary ones.
        stages: values inside the step that are computed.
        computed: unknowns whose next value is computed.
        broken: names with an error that has been reported.
        inside_start: whether a start line is being read.
        current: what the line being read computes.
        maps: of the file, which lines may read.
        counts: whether a line has read the number of the step.
    """

    def __init__(self, block: tree.Scheme, report: Report, maps: Collection[str] = ()):
        self.block = block
        self.maps = maps
        self.report = report
        self.elaborator = Elaborator(self, report)
        self.before = report.errors
        self.broken: set[str] = set()
        self.spellings: dict[str, str] = {}
        self._shapes = ConfusableNames()
        self.numbers: set[str] = {"h"}
        self.functions: dict[str, Pattern] = {}
        self.unknowns: list[str] = []
        self.exponentials: set[str] = set()
        self.stages: set[str] = set()
        self.computed: set[str] = set()
        self.inside_start = False
        self.counts = False
        self.current: tree.Name | None = None

    def starts(self, lines: tuple[tree.Start, ...]) -> tuple[tuple[expr.Slot, expr.Node], ...]:
        """Values before the first step; also for the lines where the scheme is used."""
        self.inside_start = True
        found: list[tuple[expr.Slot, expr.Node]] = []
        for line in lines:
            try:
                target = self.indexed(line.target)
                found.append((target, self.elaborator.field(line.value)))
            except Rejected:
                continue
        return tuple(found)

    def name(self, node: tree.Name) -> expr.Node | Function | None:
        """Constants, stages and right-hand sides."""
        self._spell(node)
        if node.id in self.broken:
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
        if node.id == STEP_NUMBER and not self.inside_start:
            self.counts = True
            return expr.Constant(STEP_NUMBER, span=node.span)
        if node.id != "exp":
            return None
        return Function("exp", "exp(-γ h)` or `exp(s(Z[n])) * Y[n]", self._exp)

    def _exp(self, arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
        """The exponential of a number, or of a field that a value is multiplied by."""
        if len(arguments) == 1 and arguments[0].kind is expr.Kind.FIELD and not self.inside_start:
            return expr.Stretch(arguments[0], span=span)
        if len(arguments) != 1 or arguments[0].kind is not expr.Kind.SCALAR:
            return None
        if self.has_exponential(arguments[0]):
            message = "an exponent has no exponential in it"
            self.report.reject("scheme-line", message, span, "write it without one")
        return expr.Exp(arguments[0], span=span)

    def has_exponential(self, value: expr.Node) -> bool:
        """Whether an exponential is in a formula, or in a let that it names."""
        return any(
            isinstance(node, expr.Exp)
            or (isinstance(node, expr.Constant) and node.name in self.exponentials)
            for node in value.walk()
        )

    def _rate(self, pattern: Pattern, node: tree.Name) -> Function:
        takes = f"{node.spelling}({', '.join(self.spellings[r] + '[n]' for r in pattern.reads)})"

        def call(arguments: tuple[expr.Node, ...], span: Span) -> expr.Node | None:
            fields = all(argument.kind is expr.Kind.FIELD for argument in arguments)
            if len(arguments) != len(pattern.reads) or not fields:
                return None
            return expr.Rate(pattern.function, arguments, span=span)

        return Function(node.spelling, takes, call)

    def indexed(self, node: tree.Indexed) -> expr.Slot:
        """`Y[n]`, `Y[n-1]`, and `Y[n+1]` once it is computed; in a start line `Y[0]`, `Y[-1]`."""
        name = node.name.spelling
        if node.name.id not in self.unknowns:
            self.unknown(node.name)
        if self.inside_start:
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
        elif node.offset == 1 and node.name.id not in self.computed:
            self._reject_early(node)
        return expr.Slot(node.name.id, node.offset, span=node.span)

    def _reject_early(self, node: tree.Indexed) -> NoReturn:
        shown = node.span.text
        if self.current is not None and self.current.id == node.name.id:
            message = f"this line is implicit: `{shown}` appears in its own right-hand side"
            help_ = "an explicit scheme computes it from values above"
        else:
            message = f"`{shown}` is used before the line that computes it"
            help_ = f"move its line up, or use `{node.name.spelling}[n]`"
        self.report.reject("implicit-line", message, node.span, help_)

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """A scheme names right-hand sides by their function."""
        message = "a scheme uses the right-hand side by its name, not a derivative"
        help_ = f"write {' or '.join(self.functions)}"
        self.report.reject("scheme-line", message, node.span, help_)

    def unknown(self, node: tree.Name) -> NoReturn:
        """Say what is near the name, or that it is below."""
        if any(isinstance(r, tree.Update) and r.target == node for r in self.block.rules):
            message = f"`{node.spelling}` is used before the line that computes it"
            self.report.reject("implicit-line", message, node.span, "lines run top to bottom")
        elif node.id == STEP_NUMBER:
            message = "`n` is the number of a step, and no step is taken yet"
            self.report.reject("scheme-line", message, node.span, "the first step has n = 0")
        elif node.id in self.unknowns:
            name = node.spelling
            inside = f"`{name}[n]`, or `{name}[n+1]`"
            help_ = f"write `{name}[0]`" if self.inside_start else f"write {inside}"
            self.report.reject("misplaced-index", f"which value of `{name}`?", node.span, help_)
        else:
            self.broken.add(node.id)
            message = f"unknown name `{node.spelling}` in scheme {self.block.name.spelling}"
            known = sorted(self.spellings.get(n, n) for names in self._known() for n in names)
            near = suggest(node.spelling, known)
            help_ = near or f"it has {', '.join(known)}"
            self.report.reject("unknown-name", message, node.span, help_)

    def _known(self) -> tuple[Collection[str], ...]:
        """All names that mean something here, kind by kind."""
        return self.numbers, self.stages, self.functions, self.unknowns

    def _declare(self, name: tree.Name) -> None:
        shown, help_ = f"`{name.spelling}`", "choose another name"
        if name.id in RESERVED:
            message = f"{shown} is {RESERVED[name.id]} and cannot be a name"
            self.report.error("name-taken", message, name.span, help_)
        elif any(name.id in names for names in self._known()):
            self.report.error("name-taken", f"{shown} is defined twice", name.span, help_)
        elif twin := self._shapes.find_confusable(name.spelling):
            message = f"{shown} cannot be told from `{twin}` by eye"
            self.report.error("confusable-name", message, name.span, help_)
        self._spell(name)

    def _spell(self, name: tree.Name) -> None:
        """Keep how a name was first written."""
        if name.id not in self.spellings:
            self.spellings[name.id] = name.spelling
            self._shapes.add(name.spelling)
