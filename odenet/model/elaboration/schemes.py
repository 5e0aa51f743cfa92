"""From a `scheme` block to a typed scheme."""

from collections.abc import Collection

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import NotANumber, closed, evaluate
from odenet.model.typed.scheme import STEP_NUMBER, Pattern, Scheme, Update


def elaborate_scheme(
    block: tree.Scheme, report: Report, maps: Collection[str] = ()
) -> Scheme | None:
    """A typed scheme; None after reporting what is wrong with the block.

    Args:
        block: its text.
        report: takes what is wrong.
        maps: of the file that uses it.
    """
    before = report.errors
    scheme = SchemeReader(block, report, maps).read()
    return scheme if report.errors == before else None


class SchemeReader(SchemeScope):
    """Reads one block top to bottom.

    A value may be used only below the line that computes it, so the scope grows as lines are read.
    """

    def read(self) -> Scheme | None:
        """The scheme; whatever is wrong goes to the report."""
        rules = self.block.rules
        constants = self.read_constants()
        patterns = [p for rule in rules if isinstance(rule, tree.For) for p in rule.patterns]
        if not patterns:
            message = "a scheme says which dynamics it takes"
            help_ = "add a line such as `for Y' = F(Y)`"
            self.report.error("scheme-for", message, self.block.name.span, help_)
            return None
        for pattern in patterns:
            self._declare(pattern.name)
            self.unknowns.append(pattern.name.id)
        typed = tuple(part for pattern in patterns for part in self._pattern(pattern))
        aux = [name for rule in rules if isinstance(rule, tree.Aux) for name in rule.names]
        for name in aux:
            self._declare(name)
            self.unknowns.append(name.id)
        decays = dict.fromkeys(pattern.decay for pattern in typed if pattern.decay is not None)
        constants += tuple((name, None) for name in decays)
        lets, updates = self._lines()
        starts = self.starts(tuple(rule for rule in rules if isinstance(rule, tree.Start)))
        if self.counts:
            constants += ((STEP_NUMBER, None),)
        scheme = Scheme(
            name=self.block.name.id,
            constants=constants,
            lets=lets,
            patterns=typed,
            aux=tuple(n.id for n in aux),
            starts=starts,
            updates=updates,
            spellings=self.spellings | {self.block.name.id: self.block.name.spelling},
            span=self.block.span,
            text=self.block.span.text,
        )
        self._check_complete(scheme)
        return scheme

    def read_constants(self) -> tuple[tuple[str, expr.Node | None], ...]:
        """The constants in the brackets after the name, with their defaults."""
        found: list[tuple[str, expr.Node | None]] = []
        for argument in self.block.constants.arguments if self.block.constants else ():
            name = argument.name or argument.value
            if not isinstance(name, tree.Name):
                message = "a scheme's constant is a name"
                self.report.error("scheme-for", message, argument.span, "write `γ = 0.9`, or `γ`")
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
        except Rejected:
            return None
        try:
            evaluate(default, {})
        except NotANumber as error:
            named = any(isinstance(node, expr.Constant) for node in default.walk())
            wrong = "a default value is a plain number" if named else str(error)
            self.report.error("scheme-for", wrong, error.node.span or value.span, "write `γ = 0.9`")
            return None
        return default

    def _pattern(self, pattern: tree.Pattern) -> tuple[Pattern, ...]:
        """The right-hand sides of an equation: one, or the summands."""
        if pattern.order > 2:
            message = "dynamics are of first or second order"
            self.report.error("scheme-for", message, pattern.span, "write `Y'`, or `Y''`")
        count = len(pattern.summands)
        if count > 1 and pattern.damped is not None:
            message = "a right-hand side is a sum, or has a decay, not both"
            help_ = "make the decay part of a summand"
            self.report.error("scheme-for", message, pattern.damped.span, help_)
        reads = [self._reads(right) for right in pattern.summands]
        decay = self._decay(pattern)
        found = tuple(
            Pattern(pattern.name.id, pattern.order, right.function.id, read, decay,
                    (index, count) if count > 1 else None)
            for index, (right, read) in enumerate(zip(pattern.summands, reads, strict=True))
        )  # fmt: skip
        self.functions |= {part.function: part for part in found}
        return found

    def _reads(self, right: tree.RightHandSide) -> tuple[str, ...]:
        """The unknowns that a right-hand side reads."""
        self._declare(right.function)
        reads: list[str] = []
        for argument in right.arguments.arguments:
            name = argument.value
            if not isinstance(name, tree.Name) or name.id not in self.unknowns:
                known = ", ".join(self.unknowns)
                message = "a right-hand side reads the scheme's unknowns"
                self.report.error("scheme-for", message, argument.span, f"the unknowns are {known}")
                continue
            reads.append(name.id)
        return tuple(reads)

    def _decay(self, pattern: tree.Pattern) -> str | None:
        """The constant of `- γ Y` in an equation for Y', or of `- γ Y'` in one for Y''."""
        damped = pattern.damped
        if pattern.decay is None or damped is None:
            return None
        derived = isinstance(damped, tree.Derivative)
        name, order = (damped.name, damped.order) if derived else (damped, 0)
        if (name.id, order) != (pattern.name.id, pattern.order - 1):
            own = expr.derivative(pattern.name.spelling, pattern.order - 1)
            message = "a decay is one of the equation's own unknown"
            help_ = f"write `- {pattern.decay.spelling} {own}`"
            self.report.error("scheme-for", message, damped.span, help_)
        if pattern.decay.id not in self.numbers:
            self._declare(pattern.decay)
            self.numbers.add(pattern.decay.id)
        return pattern.decay.id

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
                    if self.has_exponential(value):
                        self.exponentials.add(rule.name.id)
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
                place = error.node.span or self.block.span
                self.report.reject("undefined-number", str(error), place)

    def _update(self, rule: tree.Update) -> Update:
        target = rule.target
        self.current = target if isinstance(target, tree.Name) else target.name
        if isinstance(target, tree.Indexed):
            self._check_target(target)
        value = self.elaborator.field(rule.value)
        self._check_numbers(value)
        self._check_stretches(value)
        self.current = None
        if isinstance(target, tree.Name):
            self._declare(target)
            self.stages.add(target.id)
            return Update(expr.Stage(target.id, span=target.span), value, rule.span)
        self.computed.add(target.name.id)
        return Update(expr.Slot(target.name.id, 1, span=target.span), value, rule.span)

    def _check_stretches(self, value: expr.Node) -> None:
        """The exponential of a field is a factor of something else; raises Rejected."""
        for node in (value, *value.children()):
            if isinstance(node, expr.Stretch) and not isinstance(value, expr.Hadamard):
                message = "the exponential of a field multiplies a value"
                help_ = "write what it multiplies: `exp(s(Z[n])) * Y[n]`"
                self.report.reject("not-linear", message, node.span or self.block.span, help_)
        for node in value.children():
            for inner in node.children() if isinstance(node, expr.Stretch) else (node,):
                self._check_stretches(inner)

    def _check_target(self, target: tree.Indexed) -> None:
        """A line computes `Y[n+1]`, once."""
        name = target.name.spelling
        if target.name.id not in self.unknowns:
            self.unknown(target.name)
        if target.base is None or target.base.id != "n" or target.offset != 1:
            message = f"a line computes `{name}[n+1]` or a stage"
            self.report.reject("scheme-line", message, target.span, "the step leads from n to n+1")
        if target.name.id in self.computed - self.broken:
            help_ = "give the first value a name without an index: a stage"
            self.report.error("scheme-line", f"`{name}[n+1]` is computed twice", target.span, help_)

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

    def _check_complete(self, scheme: Scheme) -> None:
        if self.report.errors > self.before:
            return
        for unknown in self.unknowns:
            if unknown not in self.computed:
                name = self.spellings[unknown]
                message = f"no line computes `{name}[n+1]`"
                help_ = f"add a line `{name}[n+1] = …`"
                self.report.error("scheme-line", message, self.block.name.span, help_)
        started = {(slot.name, slot.offset) for slot, _ in scheme.starts}
        for slot in scheme.slots:
            missing = slot.offset < 0 or slot.name in scheme.aux
            if missing and (slot.name, slot.offset) not in started:
                name = f"{self.spellings[slot.name]}[{slot.offset}]"
                message = f"`{name}` has no value before the first step"
                help_ = f"add a line `start {name} = 0`"
                self.report.error("scheme-start", message, self.block.name.span, help_)


def cost(scheme: Scheme) -> tuple[int, int, str]:
    """How often a step evaluates a right-hand side, how many lines it has, and its name."""
    values = [update.value for update in scheme.updates]
    rates = {node for value in values for node in value.walk() if isinstance(node, expr.Rate)}
    return len(rates), len(values), scheme.name
