"""One step as methods: `advance` from the author's lines, the others from the shear form."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from odenet.derive import Coefficient, Derivation, Shear
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import PRODUCT, Code
from odenet.emit.frame import Frame, Register
from odenet.emit.reads import names_read
from odenet.emit.step_printer import StepPrinter
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Update

Value = tuple[str, int, int]
TIMES = "times"  # the attribute of odenet.runtime.Flow that holds the time of each step
Method = tuple[str, list[str], list[str]]  # its name, the slots and the parameters it takes


class Stage(NamedTuple):
    """A method for a formula of the registers."""

    name: str
    text: str
    arguments: str
    lines: list[str]


class StepWriter:
    """Writes the methods of one step."""

    def __init__(self, frame: Frame, derivation: Derivation):
        self.frame = frame
        self.derivation = derivation
        self.stages: list[Stage] = []

    # forward: the author's lines

    def advance(self) -> list[str]:
        """The lines of `advance`."""
        registers = self.frame.registers()
        current = {(r.unknown, r.offset, r.component): r.name for r in registers}
        printer = StepPrinter(self.frame, current)
        work = [(u, i) for u in self.frame.scheme.updates for i in self._components(u)]
        lines: list[str] = []
        for n, (update, i) in enumerate(work):
            code = printer(update.value, i).text
            target = update.target
            name = self._target(target, i, work[n + 1 :])
            current[target.name, target.offset if isinstance(target, Slot) else 0, i] = name
            lines.append(f"{name} = {code}")
        values = [current[r.unknown, r.offset + 1, r.component] for r in registers]
        lines.append(f"return State({', '.join([*values, *self._input()])})")
        return unpack(self.frame.slots, self._timed(lines))

    def _timed(self, lines: list[str]) -> list[str]:
        """The lines after the one that gives the time its name, where they read it."""
        if self.frame.model.time is None or self.frame.time not in names_read("\n".join(lines)):
            return lines
        return [f"{self.frame.time} = {self.frame.time_of('step').text}", *lines]

    def _components(self, update: Update) -> range:
        return range(len(self.frame.components(update.target.name)))

    def _input(self) -> list[str]:
        return ["u"] if self.frame.model.dynamics.exogenous else []

    def _target(self, target: expr.Node, i: int, later: list[tuple[Update, int]]) -> str:
        """The variable of a line; the old value's own where nothing reads that any more."""
        if isinstance(target, expr.Stage):
            return self.frame.value(target.name, 0, i)
        assert isinstance(target, Slot)
        old = (target.name, 0, i)
        read = any(old in set(self.uses(u.value, j)) for u, j in later)
        kept = len(self.frame.scheme.history(target.name)) > 1
        return self.frame.value(target.name, 1 if read or kept else 0, i)

    def uses(self, node: expr.Node, component: int) -> Iterator[Value]:
        """The values a formula reads, for one of its components."""
        match node:
            case expr.Slot():
                yield node.name, node.offset, component
            case expr.Stage():
                yield node.name, 0, component
            case expr.Rate():
                yield from self._rate_uses(node, component)
            case _:
                for child in node.children():
                    yield from self.uses(child, component)

    def _rate_uses(self, node: expr.Rate, component: int) -> Iterator[Value]:
        groups = self.frame.model.discretisation.groups
        pattern = self.frame.pattern[node.function]
        state = groups[pattern.variable][component]
        for read in self.frame.rate_reads(state, node.function):
            for unknown, value in zip(pattern.reads, node.arguments, strict=True):
                if read in groups[unknown]:
                    yield from self.uses(value, groups[unknown].index(read))

    # backward: the shear form

    def retreat(self) -> list[str]:
        """The lines of `retreat`: the shears undone, last first."""
        registers = self.frame.registers()
        after = {(r.unknown, r.offset, r.component): self._after(r) for r in registers}
        names = [self._after(self._holder(r)) for r in registers]
        lines: list[str] = []
        current = dict(after)
        printer = StepPrinter(self.frame, current)
        for shear in reversed(self.derivation.shears or ()):
            for i in reversed(range(len(self.frame.components(shear.target.name)))):
                key = (shear.target.name, shear.target.offset, i)
                name = self.frame.value(*key)
                lines.append(f"{name} = {self._undone(shear, printer, current[key], i)}")
                current[key] = name
        values = [current[r.unknown, r.offset, r.component] for r in registers]
        lines.append(f"return State({', '.join([*values, *self._input()])})")
        return unpack((*names, *self._input()), self._timed(lines))

    def _holder(self, slot: Register) -> Register:
        """The register that holds a slot's value after the step."""
        wanted = Slot(slot.unknown, slot.offset)
        source = next(r for r, s in self._relabel().items() if s == wanted)
        return Register(source.name, source.offset, slot.component, "")

    def _relabel(self) -> dict[Slot, Slot]:
        return {r: self.derivation.relabel.get(r, r) for r in self.frame.scheme.slots}

    def _after(self, register: Register) -> str:
        """The name of what a register holds after the step.

        `retreat` gives a register its own name once its shears are undone, so that no other may
        hold a value by that name: it would be lost while it is still needed, as when two swap.
        """
        slot = Slot(register.unknown, register.offset)
        new = self._relabel()[slot]
        alone = len(self.frame.scheme.history(new.name)) == 1
        kept = alone and new == slot  # the old value's own name, which only this register takes
        return self.frame.value(new.name, 0 if kept else new.offset + 1, register.component)

    def _undone(self, shear: Shear, printer: StepPrinter, held: str, i: int) -> str:
        """`(held - adds - rates) / (scale * exp(…))`, with the scale ±1 written out."""
        at = printer.constant
        terms = [(self._scalar(c, at), printer(slot, i)) for c, slot in shear.adds]
        terms += [(self._scalar(c, at), printer(rate, i)) for c, rate in shear.rates]
        products = [_scaled(c, code) for c, code in terms]
        divisors = [printer(expr.Stretch(node), i) for node in shear.exponents]
        if shear.scale == -1:
            text = _signed_sum([*products, f"-{held}"])
        else:
            text = _signed_sum([held, *(_negated(p) for p in products)])
            divisors += [self._scalar(shear.scale, at)] if shear.scale != 1 else []
        below = "".join(f" / {divisor.at(PRODUCT + 1)}" for divisor in divisors)
        return f"({text}){below}" if below and products else text + below

    def _scalar(self, value: Coefficient, at: Callable[[str], str]) -> Code:
        return self.frame.scalar(scalar(value), at)

    def _argued(self, value: Coefficient) -> str:
        """A coefficient of the method `shears`, whose arguments are what differs by step."""
        return _float(self._scalar(value, self.frame.argument))

    def shears(self) -> list[str]:
        """The shears as data, one item each; fills `stages` with the methods they need."""
        return [
            self._shear(shear, i)
            for shear in self.derivation.shears or ()
            for i in range(len(self.frame.components(shear.target.name)))
        ]

    def _shear(self, shear: Shear, i: int) -> str:
        target = self.frame.value(shear.target.name, shear.target.offset, i)
        parts = [f'"{target}"', self._argued(shear.scale)]
        if shear.exponents:
            text = "What a value is multiplied by the exponential of."
            inside = (self._exponent(node, i, text) for node in shear.exponents)
            parts.append(f"exponents={_tuple(inside)}")
        if shear.adds:
            adds = (
                f'({self._argued(c)}, "{self.frame.value(s.name, s.offset, i)}")'
                for c, s in shear.adds
            )
            parts.append(f"adds={_tuple(adds)}")
        if shear.rates:
            parts.append(f"terms={_tuple(self._term(c, rate, i) for c, rate in shear.rates)}")
        return f"Shear({', '.join(parts)})"

    def _exponent(self, node: expr.Node, i: int, text: str) -> str:
        method, reads, params = self._stage(node, i, "exponent", text)
        return f"Term(1.0, self.{method}, {_names(reads)}, {_names(params)})"

    def _term(self, coefficient: Coefficient, rate: expr.Rate | expr.MapCall, i: int) -> str:
        """A right-hand side with its factor; its own method where an argument is a formula."""
        if isinstance(rate, expr.Rate) and self._is_plain(rate, i):
            method, reads, params = self._plain(rate, i)
        else:
            text = "A right-hand side at a value inside the step."
            method, reads, params = self._stage(rate, i, "stage", text)
        factor = self._argued(coefficient)
        return f"Term({factor}, self.{method}, {_names(reads)}, {_names(params)})"

    def _is_plain(self, rate: expr.Rate, i: int) -> bool:
        """Whether a right-hand side is evaluated at registers, and at the time of the step."""
        groups = self.frame.model.discretisation.groups
        state = groups[self.frame.pattern[rate.function].variable][i]
        timed = self.frame.rate_time(state, rate.function)
        slots = all(isinstance(argument, Slot) for argument in rate.arguments)
        return slots and (not timed or rate.time == expr.Time())

    def _plain(self, rate: expr.Rate, i: int) -> Method:
        """The method of a right-hand side, at values of the registers."""
        frame = self.frame
        pattern = frame.pattern[rate.function]
        state = frame.model.discretisation.groups[pattern.variable][i]
        key = state, rate.function
        reads = [self._read_name(rate, read) for read in frame.rate_reads(*key)]
        reads += ["u"] if frame.rate_input(*key) else []
        params = [TIMES] if frame.rate_time(*key) else []
        params += [frame.names("spec", name) for name in frame.rate_params(*key)]
        return frame.rate_name(*key), reads, params

    def _read_name(self, rate: expr.Rate, read: expr.State) -> str:
        groups = self.frame.model.discretisation.groups
        for unknown, value in zip(
            self.frame.pattern[rate.function].reads, rate.arguments, strict=True
        ):
            if read in groups[unknown]:
                assert isinstance(value, Slot)
                return self.frame.value(value.name, value.offset, groups[unknown].index(read))
        raise AssertionError(read)

    def _stage(self, node: expr.Node, i: int, kind: str, text: str) -> Method:
        """A method for a formula of the registers, one for all that are the same."""
        frame = self.frame
        current = {(r.unknown, r.offset, r.component): r.name for r in frame.registers()}
        rates = [inner for inner in node.walk() if isinstance(inner, expr.Rate)]
        reads = list(dict.fromkeys(frame.value(*value) for value in self.uses(node, i)))
        reads += ["u"] if any(map(self._reads_input, rates)) else []
        used = {name for inner in rates for name in self._learned(inner)}
        used |= {inner.name for inner in node.walk() if isinstance(inner, expr.Map)}
        learned = [n for n in (*frame.model.parameters, *frame.model.maps) if n in used]
        timed = [inner for inner in rates if self._reads_time(inner)]
        formulas = [node, *(inner.time for inner in timed if inner.time is not None)]
        varying = {name for formula in formulas for name in frame.varying_in(formula)}
        named = [frame.argument(name) for name in frame.varying if name in varying]
        named += [frame.names("spec", name) for name in learned]
        arguments = ", ".join([*reads, *[frame.time] * bool(timed), *named])
        params = [*[TIMES] * bool(timed), *named]
        lines = [f"return {_StagePrinter(frame, current)(node, i).text}"]
        for stage in self.stages:
            if stage.lines == lines and stage.arguments == arguments:
                return stage.name, reads, params
        name = f"{kind}_{1 + sum(stage.text == text for stage in self.stages)}"
        self.stages.append(Stage(name, text, arguments, lines))
        return name, reads, params

    def _reads_input(self, rate: expr.Rate) -> bool:
        states = self.frame.model.discretisation.groups[self.frame.pattern[rate.function].variable]
        return any(self.frame.rate_input(state, rate.function) for state in states)

    def _reads_time(self, rate: expr.Rate) -> bool:
        states = self.frame.model.discretisation.groups[self.frame.pattern[rate.function].variable]
        return any(self.frame.rate_time(state, rate.function) for state in states)

    def _learned(self, rate: expr.Rate) -> set[str]:
        states = self.frame.model.discretisation.groups[self.frame.pattern[rate.function].variable]
        return {n for state in states for n in self.frame.rate_params(state, rate.function)}


class _StagePrinter(StepPrinter):
    """Prints a formula of the registers where all that differs by step is an argument."""

    def constant(self, name: str) -> str:
        """A constant by its own name."""
        return self.frame.argument(name)

    def param(self, name: str) -> str:
        """A parameter by its own name."""
        return self.frame.names("spec", name)


def unpack(names: tuple[str, ...], body: list[str]) -> list[str]:
    """The body after the assignment that takes a state apart; values it does not read are `_`."""
    read = names_read("\n".join(body))
    shown = [name if name in read else "_" for name in names]
    left = f"({shown[0]},)" if len(shown) == 1 else ", ".join(shown)
    return [f"{left} = state", *body]


def _scaled(coefficient: Code, code: Code) -> str:
    if coefficient.text == "1":
        return code.text
    if coefficient.text == "-1":
        return f"-{code.text}"
    return f"{coefficient.at(PRODUCT)} * {code.at(PRODUCT + 1)}"


def _negated(text: str) -> str:
    return text[1:] if text.startswith("-") else f"-{text}"


def _signed_sum(terms: list[str]) -> str:
    text = terms[0]
    for term in terms[1:]:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text


def _float(code: Code) -> str:
    """A coefficient as a float literal or a formula."""
    return f"{code.text}.0" if code.text.lstrip("-").isdigit() else code.text


def _names(names: Iterable[str]) -> str:
    return _tuple(f'"{name}"' for name in names)


def _tuple(items: Iterable[str]) -> str:
    listed = list(items)
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"
