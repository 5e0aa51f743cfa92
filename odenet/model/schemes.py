"""From a `scheme` block to a typed scheme, and the library of schemes that ship as text."""

from functools import cache
from importlib.resources import files
from typing import NoReturn

from odenet.diagnostics import Report, Source, Span, suggest
from odenet.language import confusable, parse, tree
from odenet.model import expr
from odenet.model.elaborate import Elaborator
from odenet.model.meaning import Function, Rejected
from odenet.model.numbers import NotANumber, closed, evaluate
from odenet.model.scheme import Pattern, Scheme, Update

RESERVED = ("h", "T", "n")
MOST_HISTORY = 16


@cache
def library() -> tuple[str, ...]:
    """The names of the schemes that ship with odenet."""
    folder = files("odenet") / "schemes"
    return tuple(sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".ode")))


@cache
def library_scheme(name: str) -> Scheme:
    """One scheme of the library."""
    file = files("odenet") / "schemes" / f"{name}.ode"
    source = Source(f"odenet/schemes/{name}.ode", file.read_text(encoding="utf-8"))
    report = Report()
    (block,) = parse(source, report).of(tree.Scheme)
    scheme = elaborate_scheme(block, report)
    report.check()
    assert scheme is not None
    return scheme


def elaborate_scheme(block: tree.Scheme, report: Report) -> Scheme | None:
    """A typed scheme; None after reporting what is wrong with the block."""
    before = report.errors
    scheme = SchemeReader(block, report).read()
    return scheme if report.errors == before else None


class SchemeReader:
    """Reads one block top to bottom; also the scope of its formulas.

    A value may be used only below the line that computes it, so the scope grows as lines are read.
    """

    def __init__(self, block: tree.Scheme, report: Report):
        self.block = block
        self.report = report
        self.elaborator = Elaborator(self, report)
        self.before = report.errors
        self.broken: set[str] = set()
        self.spellings: dict[str, str] = {}
        self.numbers: set[str] = {"h"}
        self.functions: dict[str, Pattern] = {}
        self.unknowns: list[str] = []
        self.stages: set[str] = set()
        self.computed: set[str] = set()
        self.inside_start = False
        self.current: tree.Name | None = None

    def read(self) -> Scheme | None:
        """The scheme; whatever is wrong goes to the report."""
        rules = self.block.rules
        constants = self._constants()
        patterns = [p for rule in rules if isinstance(rule, tree.For) for p in rule.patterns]
        if not patterns:
            self._error("a scheme says which dynamics it takes", self.block.name.span,
                        "add a line such as `for Y' = F(Y)`")  # fmt: skip
            return None
        for pattern in patterns:
            self._declare(pattern.name)
            self.unknowns.append(pattern.name.id)
        typed = tuple(self._pattern(pattern) for pattern in patterns)
        aux = [name for rule in rules if isinstance(rule, tree.Aux) for name in rule.names]
        for name in aux:
            self._declare(name)
            self.unknowns.append(name.id)
        lets, updates = self._lines()
        starts = self.starts(tuple(rule for rule in rules if isinstance(rule, tree.Start)))
        scheme = Scheme(
            self.block.name.id, constants, lets, typed, tuple(n.id for n in aux), starts, updates,
            self.spellings | {self.block.name.id: self.block.name.spelling},
            self.block.span, self.block.span.text,
        )  # fmt: skip
        self._check_complete(scheme)
        return scheme

    def _constants(self) -> tuple[tuple[str, expr.Node | None], ...]:
        found = []
        for argument in self.block.constants.arguments if self.block.constants else ():
            name = argument.name or argument.value
            if not isinstance(name, tree.Name):
                self._error(
                    "a scheme's constant is a name", argument.span, "write `γ = 0.9`, or `γ`"
                )
                continue
            self._declare(name)
            default = self._default(argument.value) if argument.name else None
            self.numbers.add(name.id)
            found.append((name.id, default))
        return tuple(found)

    def _default(self, value: tree.Value) -> expr.Node | None:
        """A constant's default: a plain number, so that it is known before the scheme is used."""
        try:
            default = self.elaborator.scalar(value)
            evaluate(default, {})
        except Rejected:
            return None
        except NotANumber as error:
            named = any(isinstance(node, expr.Constant) for node in default.walk())
            wrong = "a default value is a plain number" if named else str(error)
            self._error(wrong, error.node.span or value.span, "write `γ = 0.9`")
            return None
        return default

    def _pattern(self, pattern: tree.Pattern) -> Pattern:
        self._declare(pattern.function)
        reads = []
        for argument in pattern.arguments.arguments:
            name = argument.value
            if not isinstance(name, tree.Name) or name.id not in self.unknowns:
                known = ", ".join(self.unknowns)
                self._error("a right-hand side reads the scheme's unknowns", argument.span,
                            f"the unknowns are {known}")  # fmt: skip
                continue
            reads.append(name.id)
        if pattern.order > 2:
            self._error(
                "dynamics are of first or second order", pattern.span, "write `Y'`, or `Y''`"
            )
        typed = Pattern(pattern.name.id, pattern.order, pattern.function.id, tuple(reads))
        self.functions[typed.function] = typed
        return typed

    def _lines(self) -> tuple[tuple[tuple[str, expr.Node], ...], tuple[Update, ...]]:
        """The lets and the update lines, in order."""
        lets: list[tuple[str, expr.Node]] = []
        updates: list[Update] = []
        for rule in self.block.rules:
            try:
                if isinstance(rule, tree.Let):
                    value = self.elaborator.scalar(rule.value)
                    self._check_numbers(value)
                    self._declare(rule.name)
                    self.numbers.add(rule.name.id)
                    lets.append((rule.name.id, value))
                elif isinstance(rule, tree.Update):
                    updates.append(self._update(rule))
            except Rejected:
                if isinstance(rule, tree.Update | tree.Let):
                    self._mark(rule)
        return tuple(lets), tuple(updates)

    def _check_numbers(self, value: expr.Node) -> None:
        """Evaluate what does not depend on the constants; raises Rejected."""
        for number in closed(value, lambda node: isinstance(node, expr.Constant)):
            try:
                evaluate(number, {})
            except NotANumber as error:
                self._error(str(error), error.node.span or self.block.span, "")
                raise Rejected from None

    def _update(self, rule: tree.Update) -> Update:
        target = rule.target
        self.current = target if isinstance(target, tree.Name) else target.name
        if isinstance(target, tree.Indexed):
            self._check_target(target)
        value = self.elaborator.field(rule.value)
        self._check_numbers(value)
        self.current = None
        if isinstance(target, tree.Name):
            self._declare(target)
            self.stages.add(target.id)
            return Update(expr.Stage(target.id, span=target.span), value, rule.span)
        self.computed.add(target.name.id)
        return Update(expr.Slot(target.name.id, 1, span=target.span), value, rule.span)

    def _check_target(self, target: tree.Indexed) -> None:
        """A line computes `Y[n+1]`, once."""
        name = target.name.spelling
        if target.name.id not in self.unknowns:
            self.unknown(target.name)
        if target.base is None or target.base.id != "n" or target.offset != 1:
            message = f"a line computes `{name}[n+1]` or a stage"
            self._error(message, target.span, "the step leads from n to n+1")
            raise Rejected
        if target.name.id in self.computed - self.broken:
            help_ = "give the first value a name without an index: a stage"
            self._error(f"`{name}[n+1]` is computed twice", target.span, help_)

    def _mark(self, rule: tree.Update | tree.Let) -> None:
        """Take a line with an error as computed, so that it is reported once."""
        self.current = None
        if isinstance(rule, tree.Let):
            self.numbers.add(rule.name.id)
        elif isinstance(rule.target, tree.Name):
            self.stages.add(rule.target.id)
        else:
            self.computed.add(rule.target.name.id)
            self.broken.add(rule.target.name.id)

    def starts(self, lines: tuple[tree.Start, ...]) -> tuple[tuple[expr.Slot, expr.Node], ...]:
        """Values before the first step; also for the lines where the scheme is used."""
        self.inside_start = True
        found = []
        for line in lines:
            try:
                target = self.indexed(line.target)
                found.append((target, self.elaborator.field(line.value)))
            except Rejected:
                continue
        return tuple(found)

    def _check_complete(self, scheme: Scheme) -> None:
        if self.report.errors > self.before:
            return
        for unknown in self.unknowns:
            if unknown not in self.computed:
                name = self.spellings[unknown]
                self._error(f"no line computes `{name}[n+1]`", self.block.name.span,
                            f"add a line `{name}[n+1] = …`")  # fmt: skip
        started = {(slot.name, slot.offset) for slot, _ in scheme.starts}
        for slot in scheme.slots:
            missing = slot.offset < 0 or slot.name in scheme.aux
            if missing and (slot.name, slot.offset) not in started:
                name = f"{self.spellings[slot.name]}[{slot.offset}]"
                self._error(f"`{name}` has no value before the first step", self.block.name.span,
                            f"add a line `start {name} = 0`")  # fmt: skip

    # the scope of the formulas

    def name(self, node: tree.Name) -> expr.Node | Function | None:
        """Constants, stages and right-hand sides."""
        self.spellings.setdefault(node.id, node.spelling)
        if node.id in self.broken:
            raise Rejected
        if node.id in self.numbers:
            return expr.Constant(node.id, span=node.span)
        if node.id in self.stages:
            return expr.Stage(node.id, span=node.span)
        if node.id in self.functions:
            return self._rate(self.functions[node.id], node)
        return None

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
                self._error("a start line gives values at step 0 or before", node.span,
                            f"write `{name}[0]` or `{name}[-1]`")  # fmt: skip
                raise Rejected
        elif node.base is None or node.base.id != "n" or node.offset > 1:
            self._error("the index of a step is n+1, n, n-1 and so on", node.span,
                        f"write `{name}[n]`")  # fmt: skip
            raise Rejected
        elif node.offset < -MOST_HISTORY:
            message = f"a scheme looks back at most {MOST_HISTORY} steps"
            self._error(message, node.span, "every value looked back to is stored")
            raise Rejected
        elif node.offset == 1 and node.name.id not in self.computed:
            self._reject_early(node)
        return expr.Slot(node.name.id, node.offset, span=node.span)

    def _reject_early(self, node: tree.Indexed) -> NoReturn:
        shown = node.span.text
        if self.current is not None and self.current.id == node.name.id:
            self._error(f"this line is implicit: `{shown}` stands in its own right-hand side",
                        node.span, "an explicit scheme computes it from values above")  # fmt: skip
        else:
            self._error(f"`{shown}` is used before the line that computes it", node.span,
                        f"move its line up, or use `{node.name.spelling}[n]`")  # fmt: skip
        raise Rejected

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """A scheme names right-hand sides by their function."""
        self._error("a scheme uses the right-hand side by its name, not a derivative", node.span,
                    f"write {' or '.join(self.functions)}")  # fmt: skip
        raise Rejected

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """Schemes have no operators, so nothing to transpose."""
        return operator

    def unknown(self, node: tree.Name) -> NoReturn:
        """Say what is near the name, or that it stands below."""
        later = [
            rule
            for rule in self.block.rules
            if isinstance(rule, tree.Update) and rule.target == node
        ]
        if later:
            self._error(f"`{node.spelling}` is used before the line that computes it", node.span,
                        "lines run top to bottom")  # fmt: skip
        elif node.id in self.unknowns:
            name = node.spelling
            help_ = (
                f"write `{name}[n]`, or `{name}[n+1]`"
                if not self.inside_start
                else f"write `{name}[0]`"
            )
            self._error(f"which value of `{name}`?", node.span, help_)
        else:
            self.broken.add(node.id)
            message = f"unknown name `{node.spelling}` in scheme {self.block.name.spelling}"
            known = sorted(self.spellings.get(n, n) for n in self._known())
            near = suggest(node.spelling, known)
            self._error(message, node.span, near or f"it has {', '.join(known)}")
        raise Rejected

    def _known(self) -> list[str]:
        """All names that mean something here."""
        return [*self.numbers, *self.stages, *self.functions, *self.unknowns]

    def _declare(self, name: tree.Name) -> None:
        twins = [n for n in self.spellings.values() if confusable(name.spelling, n)]
        if name.id in RESERVED:
            meaning = {"h": "the step size", "T": "the final time", "n": "the step's number"}
            self._error(f"`{name.spelling}` is {meaning[name.id]} and cannot be a name",
                        name.span, "choose another name")  # fmt: skip
        elif name.id in self._known():
            self._error(f"`{name.spelling}` is defined twice", name.span, "choose another name")
        elif twins:
            message = f"`{name.spelling}` cannot be told from `{twins[0]}` by eye"
            self._error(message, name.span, "choose another name")
        self.spellings.setdefault(name.id, name.spelling)

    def _error(self, message: str, span: Span, help_: str) -> None:
        self.report.error(message, span, help=help_)
