"""One step as methods: `advance` from the author's lines, `retreat` from the shear form."""

from collections.abc import Callable, Iterable

from odenet.analyse.laurent import signed_sum
from odenet.derive import Coefficient, Derivation, Shear
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import PRODUCT, Code
from odenet.emit.frame import Frame, Value
from odenet.emit.names_read import names_read
from odenet.emit.step_printer import StepPrinter, values_read
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Update


class StepWriter:
    """Writes `advance` and `retreat`."""

    def __init__(self, frame: Frame, derivation: Derivation):
        self.frame = frame
        self.derivation = derivation

    # forward: the author's lines

    def advance(self) -> list[str]:
        """The lines of `advance`."""
        registers = self.frame.registers()
        current = dict(registers)
        printer = StepPrinter(self.frame, current)
        work = [(u, i) for u in self.frame.scheme.updates for i in self._components(u)]
        lines: list[str] = []
        for n, (update, i) in enumerate(work):
            code = printer(update.value, i).text
            target = update.target
            name = self._target(target, i, work[n + 1 :])
            current[target.name, target.offset if isinstance(target, Slot) else 0, i] = name
            lines.append(f"{name} = {code}")
        values = [current[name, offset + 1, i] for name, offset, i in registers]
        return self._method(registers.values(), lines, values)

    def _method(self, before: Iterable[str], lines: list[str], after: Iterable[str]) -> list[str]:
        """Lines from the stored values by some names to those by others."""
        given = ["u"] if self.frame.model.dynamics.exogenous else []
        lines = [*lines, f"return State({', '.join([*after, *given])})"]
        if self.frame.time and self.frame.time in names_read("\n".join(lines)):
            lines.insert(0, f"{self.frame.time} = {self.frame.time_of('step').text}")
        return unpack((*before, *given), lines)

    def _components(self, update: Update) -> range:
        return range(len(self.frame.components(update.target.name)))

    def _target(self, target: expr.Node, i: int, later: list[tuple[Update, int]]) -> str:
        """The variable of a line; the old value's own where nothing reads that any more."""
        if isinstance(target, expr.Stage):
            return self.frame.value(target.name, 0, i)
        assert isinstance(target, Slot)
        old = (target.name, 0, i)
        read = any(old in set(values_read(self.frame, u.value, j)) for u, j in later)
        kept = len(self.frame.scheme.history(target.name)) > 1
        return self.frame.value(target.name, 1 if read or kept else 0, i)

    # backward: the shear form

    def retreat(self) -> list[str]:
        """The lines of `retreat`: the shears undone, last first."""
        current = {key: self._after(key) for key in self.frame.registers()}
        names = [self._after(self._holder(key)) for key in current]
        lines: list[str] = []
        printer = StepPrinter(self.frame, current)
        for shear in reversed(self.derivation.shears or ()):
            for i in reversed(range(len(self.frame.components(shear.target.name)))):
                key = (shear.target.name, shear.target.offset, i)
                name = self.frame.value(*key)
                lines.append(f"{name} = {self._undone(shear, printer, current[key], i)}")
                current[key] = name
        return self._method(names, lines, current.values())

    def _holder(self, value: Value) -> Value:
        """The register that holds a stored value after the step."""
        name, offset, i = value
        source = next(r for r, s in self._relabel().items() if s == Slot(name, offset))
        return source.name, source.offset, i

    def _relabel(self) -> dict[Slot, Slot]:
        return {r: self.derivation.relabel.get(r, r) for r in self.frame.scheme.slots}

    def _after(self, register: Value) -> str:
        """The name of what a register holds after the step.

        `retreat` gives a register its own name once its shears are undone, so that no other may
        hold a value by that name: it would be lost while it is still needed, as when two swap.
        """
        name, offset, i = register
        slot = Slot(name, offset)
        new = self._relabel()[slot]
        alone = len(self.frame.scheme.history(new.name)) == 1
        kept = alone and new == slot  # the old value's own name, which only this register takes
        return self.frame.value(new.name, 0 if kept else new.offset + 1, i)

    def _undone(self, shear: Shear, printer: StepPrinter, held: str, i: int) -> str:
        """`(held - adds - rates) / (scale * exp(…))`, with the scale ±1 written out."""
        at = printer.constant
        terms = [(self._scalar(c, at), printer(slot, i)) for c, slot in shear.adds]
        terms += [(self._scalar(c, at), printer(rate, i)) for c, rate in shear.rates]
        products = [_scaled(c, code) for c, code in terms]
        divisors = [printer(expr.Stretch(node), i) for node in shear.exponents]
        if shear.scale == -1:
            text = _sum([*products, f"-{held}"])
        else:
            text = _sum([held, *(_negated(p) for p in products)])
            divisors += [self._scalar(shear.scale, at)] if shear.scale != 1 else []
        below = "".join(f" / {divisor.at(PRODUCT + 1)}" for divisor in divisors)
        return f"({text}){below}" if below and products else text + below

    def _scalar(self, value: Coefficient, at: Callable[[str], str]) -> Code:
        return self.frame.scalar(scalar(value), at)


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


def _sum(terms: list[str]) -> str:
    return signed_sum((-1, term[1:]) if term.startswith("-") else (1, term) for term in terms)
