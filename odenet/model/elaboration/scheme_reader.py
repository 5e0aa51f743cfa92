"""From the syntax tree of a `scheme` block to a typed scheme."""

from collections.abc import Collection

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import EvaluationError, evaluate, known_scalars
from odenet.model.typed.scheme import STEP_NUMBER, Pattern, Scheme, Update


def elaborate_scheme(
    block: tree.Scheme, report: Report, maps: Collection[str] = ()
) -> Scheme | None:
    """The typed scheme of a block; None after reporting its errors.

    Args:
        block: the syntax tree of the block.
        report: collects the errors.
        maps: the names of the file's maps, which the lines may read.
    """
    errors_before = report.error_count
    scheme = SchemeReader(block, report, maps).read()
    return scheme if report.error_count == errors_before else None


class SchemeReader(SchemeScope):
    """Reads one block from top to bottom.

    It is also the scope of the block's formulas. A value may be used only below the line that
    computes it, so the reader adds the name to this scope when it has read that line.
    """

    def read(self) -> Scheme | None:
        """The typed scheme; errors go to the report."""
        rules = self.block.rules
        constants = self.read_constants()
        patterns = [p for rule in rules if isinstance(rule, tree.For) for p in rule.patterns]
        if not patterns:
            message = "a scheme says which dynamics it takes"
            help_ = "add a line such as `for Y' = F(Y)`"
            self.report.error("scheme-for", message, self.block.name.span, help_)
            return None
        for pattern in patterns:
            self._add_name(pattern.name)
            self.unknowns.append(pattern.name.id)
        typed_patterns = tuple(p for pattern in patterns for p in self._typed_patterns(pattern))
        aux_names = [name for rule in rules if isinstance(rule, tree.Aux) for name in rule.names]
        for name in aux_names:
            self._add_name(name)
            self.unknowns.append(name.id)
        decays = dict.fromkeys(p.decay for p in typed_patterns if p.decay is not None)
        constants += tuple((name, None) for name in decays)
        lets, updates = self._lines()
        starts = self.starts(tuple(rule for rule in rules if isinstance(rule, tree.Start)))
        if self.reads_step_number:
            constants += ((STEP_NUMBER, None),)
        scheme = Scheme(
            name=self.block.name.id,
            constants=constants,
            lets=lets,
            patterns=typed_patterns,
            aux=tuple(n.id for n in aux_names),
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
        constants: list[tuple[str, expr.Node | None]] = []
        for argument in self.block.constants.arguments if self.block.constants else ():
            name = argument.name or argument.value
            if not isinstance(name, tree.Name):
                message = "a scheme's constant is a name"
                self.report.error("scheme-for", message, argument.span, "write `γ = 0.9`, or `γ`")
                continue
            self._add_name(name)
            default = self._default(argument.value) if argument.name else None
            self.numbers.add(name.id)
            constants.append((name.id, default))
        return tuple(constants)

    def _default(self, value: tree.Value) -> expr.Node | None:
        """The default of a constant: a formula of plain numbers, so that its value is known."""
        try:
            default = self.elaborator.scalar(value)
        except Rejected:
            return None
        try:
            evaluate(default, {})
        except EvaluationError as error:
            has_name = any(isinstance(node, expr.Constant) for node in default.walk())
            message = "a default value is a plain number" if has_name else str(error)
            span = error.node.span or value.span
            self.report.error("scheme-for", message, span, "write `γ = 0.9`")
            return None
        return default

    def _typed_patterns(self, pattern: tree.Pattern) -> tuple[Pattern, ...]:
        """The right-hand sides in an equation of the `for` line: one, or one for each summand."""
        if pattern.order > 2:
            message = "dynamics are of first or second order"
            self.report.error("scheme-for", message, pattern.span, "write `Y'`, or `Y''`")
        count = len(pattern.summands)
        if count > 1 and pattern.damped is not None:
            message = "a right-hand side is a sum, or has a decay, not both"
            help_ = "make the decay part of a summand"
            self.report.error("scheme-for", message, pattern.damped.span, help_)
        reads = [self._arguments_of(summand) for summand in pattern.summands]
        decay = self._decay(pattern)
        patterns = tuple(
            Pattern(pattern.name.id, pattern.order, summand.function.id, unknowns, decay,
                    (index, count) if count > 1 else None)
            for index, (summand, unknowns) in enumerate(zip(pattern.summands, reads, strict=True))
        )  # fmt: skip
        self.functions |= {typed_pattern.function: typed_pattern for typed_pattern in patterns}
        return patterns

    def _arguments_of(self, right_hand_side: tree.RightHandSide) -> tuple[str, ...]:
        """The unknowns that a right-hand side reads."""
        self._add_name(right_hand_side.function)
        unknowns: list[str] = []
        for argument in right_hand_side.arguments.arguments:
            name = argument.value
            if not isinstance(name, tree.Name) or name.id not in self.unknowns:
                names = ", ".join(self.unknowns)
                message = "a right-hand side reads the scheme's unknowns"
                self.report.error("scheme-for", message, argument.span, f"the unknowns are {names}")
                continue
            unknowns.append(name.id)
        return tuple(unknowns)

    def _decay(self, pattern: tree.Pattern) -> str | None:
        """The constant γ of a decay: `- γ Y` in an equation for Y', `- γ Y'` in one for Y''."""
        damped_term = pattern.damped
        if pattern.decay is None or damped_term is None:
            return None
        is_derivative = isinstance(damped_term, tree.Derivative)
        name, order = (damped_term.name, damped_term.order) if is_derivative else (damped_term, 0)
        if (name.id, order) != (pattern.name.id, pattern.order - 1):
            expected = expr.with_primes(pattern.name.spelling, pattern.order - 1)
            message = "a decay is one of the equation's own unknown"
            help_ = f"write `- {pattern.decay.spelling} {expected}`"
            self.report.error("scheme-for", message, damped_term.span, help_)
        if pattern.decay.id not in self.numbers:
            self._add_name(pattern.decay)
            self.numbers.add(pattern.decay.id)
        return pattern.decay.id

    def _lines(self) -> tuple[tuple[tuple[str, expr.Node], ...], tuple[Update, ...]]:
        """The lets and the update lines, each in the order of the text."""
        lets: list[tuple[str, expr.Node]] = []
        updates: list[Update] = []
        for rule in self.block.rules:
            try:
                if isinstance(rule, tree.Let):
                    value = self.elaborator.scalar(rule.value)
                    self._check_numbers(value)
                    self._add_name(rule.name)
                    self.numbers.add(rule.name.id)
                    if self.has_exponential(value):
                        self.lets_with_exp.add(rule.name.id)
                    lets.append((rule.name.id, value))
                elif isinstance(rule, tree.Update):
                    updates.append(self._update(rule))
            except Rejected:
                if isinstance(rule, tree.Update | tree.Let):
                    self._assume_computed(rule)
        return tuple(lets), tuple(updates)

    def _check_numbers(self, value: expr.Node) -> None:
        """Report numbers without a value, such as 1/0, in which no constant occurs."""
        for number in known_scalars(value, lambda node: isinstance(node, expr.Constant)):
            try:
                evaluate(number, {})
            except EvaluationError as error:
                span = error.node.span or self.block.span
                self.report.reject("undefined-number", str(error), span)

    def _update(self, line: tree.Update) -> Update:
        """The typed form of an update line; raises Rejected."""
        target = line.target
        self.current_target = target if isinstance(target, tree.Name) else target.name
        if isinstance(target, tree.Indexed):
            self._check_target(target)
        value = self.elaborator.field(line.value)
        self._check_numbers(value)
        self._check_exponentials(value)
        self.current_target = None
        if isinstance(target, tree.Name):
            self._add_name(target)
            self.stages.add(target.id)
            return Update(expr.Stage(target.id, span=target.span), value, line.span)
        self.computed_unknowns.add(target.name.id)
        return Update(expr.Slot(target.name.id, 1, span=target.span), value, line.span)

    def _check_exponentials(self, value: expr.Node) -> None:
        """Reject the exponential of a field where it is not a factor of a product."""
        for node in (value, *value.children()):
            if isinstance(node, expr.ElementwiseExp) and not isinstance(value, expr.Hadamard):
                message = "the exponential of a field multiplies a value"
                help_ = "write what it multiplies: `exp(s(Z[n])) * Y[n]`"
                self.report.reject("not-linear", message, node.span or self.block.span, help_)
        for node in value.children():
            for operand in node.children() if isinstance(node, expr.ElementwiseExp) else (node,):
                self._check_exponentials(operand)

    def _check_target(self, target: tree.Indexed) -> None:
        """Report a target that is not `Y[n+1]`, or that another line computes."""
        name = target.name.spelling
        if target.name.id not in self.unknowns:
            self.reject_unknown(target.name)
        if target.base is None or target.base.id != "n" or target.offset != 1:
            message = f"a line computes `{name}[n+1]` or a stage"
            self.report.reject("scheme-line", message, target.span, "the step leads from n to n+1")
        if target.name.id in self.computed_unknowns - self.broken_names:
            help_ = "give the first value a name without an index: a stage"
            self.report.error("scheme-line", f"`{name}[n+1]` is computed twice", target.span, help_)

    def _assume_computed(self, line: tree.Update | tree.Let) -> None:
        """Treat the target of a line with an error as computed, so that its uses are no errors."""
        self.current_target = None
        if isinstance(line, tree.Let):
            self.numbers.add(line.name.id)
        elif isinstance(line.target, tree.Name):
            self.stages.add(line.target.id)
        else:
            self.computed_unknowns.add(line.target.name.id)
            self.broken_names.add(line.target.name.id)

    def _check_complete(self, scheme: Scheme) -> None:
        """Report unknowns that no line computes, and values that the first step reads and lacks."""
        if self.report.error_count > self.errors_before:
            return
        for unknown in self.unknowns:
            if unknown not in self.computed_unknowns:
                name = self.spellings[unknown]
                message = f"no line computes `{name}[n+1]`"
                help_ = f"add a line `{name}[n+1] = …`"
                self.report.error("scheme-line", message, self.block.name.span, help_)
        given_starts = {(slot.name, slot.offset) for slot, _ in scheme.starts}
        for slot in scheme.slots:
            needs_start = slot.offset < 0 or slot.name in scheme.aux
            if needs_start and (slot.name, slot.offset) not in given_starts:
                name = f"{self.spellings[slot.name]}[{slot.offset}]"
                message = f"`{name}` has no value before the first step"
                help_ = f"add a line `start {name} = 0`"
                self.report.error("scheme-start", message, self.block.name.span, help_)


def scheme_cost(scheme: Scheme) -> tuple[int, int, str]:
    """A sort key for schemes: evaluations of right-hand sides per step, lines, and name."""
    values = [update.value for update in scheme.updates]
    rates = {node for value in values for node in value.walk() if isinstance(node, expr.Rate)}
    return len(rates), len(values), scheme.name
