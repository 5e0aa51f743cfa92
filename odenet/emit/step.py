"""Code of `advance`, from the lines of the scheme, and of `retreat`, its inverse, from shears.

A shear is a substep that changes one register, a value stored between steps, and can be undone.
"""

from collections.abc import Callable, Iterable

from odenet.analyse.laurent import signed_sum
from odenet.derive import Coefficient, Derivation, Shear
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import PRODUCT, SIGN, Code
from odenet.emit.names_read import names_read
from odenet.emit.step_printer import StepPrinter, values_read
from odenet.emit.symbols import SymbolTable, ValueKey
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Update


class StepWriter:
    """Writes `advance` and `retreat`.

    An unknown of the scheme consists of states of the file, its components; `i` is their index.
    """

    def __init__(self, symbols: SymbolTable, derivation: Derivation):
        self.symbols = symbols
        self.derivation = derivation

    # forward: the lines of the scheme

    def advance(self) -> list[str]:
        """The lines of `advance`."""
        registers = self.symbols.registers()
        current = dict(registers)
        printer = StepPrinter(self.symbols, current)
        updates = self.symbols.scheme.updates
        assignments = [(update, i) for update in updates for i in self._components(update)]
        lines: list[str] = []
        for n, (update, i) in enumerate(assignments):
            code = printer(update.value, i).text
            target = update.target
            variable = self._target_variable(target, i, assignments[n + 1 :])
            current[target.name, target.offset if isinstance(target, Slot) else 0, i] = variable
            lines.append(f"{variable} = {code}")
        # `Y[n+1]` is what the next step reads as `Y[n]`
        values = [current[unknown, offset + 1, i] for unknown, offset, i in registers]
        return self._body(registers.values(), lines, values)

    def _body(self, before: Iterable[str], lines: list[str], after: Iterable[str]) -> list[str]:
        """The method's body: unpacks the state into `before`, runs the lines, returns `after`."""
        inputs = ["u"] if self.symbols.model.dynamics.reads_input else []
        lines = [*lines, f"return State({', '.join([*after, *inputs])})"]
        if self.symbols.time and self.symbols.time in names_read("\n".join(lines)):
            lines.insert(0, f"{self.symbols.time} = {self.symbols.time_before('step').text}")
        return unpack((*before, *inputs), lines)

    def _components(self, update: Update) -> range:
        """The indices of the states that the target of a line consists of."""
        return range(len(self.symbols.components(update.target.name)))

    def _target_variable(self, target: expr.Node, i: int, later: list[tuple[Update, int]]) -> str:
        """The variable that a line assigns.

        The new value takes the variable of the old one if no later line reads the old value and the
        state does not keep it, else a variable of its own.
        """
        if isinstance(target, expr.Stage):
            return self.symbols.variable(target.name, 0, i)
        assert isinstance(target, Slot)
        old = (target.name, 0, i)
        is_read = any(old in set(values_read(self.symbols, line.value, j)) for line, j in later)
        has_history = len(self.symbols.scheme.stored_offsets(target.name)) > 1
        return self.symbols.variable(target.name, 1 if is_read or has_history else 0, i)

    # backward: the shear form

    def retreat(self) -> list[str]:
        """The lines of `retreat`: the shears undone, last first."""
        current = {key: self._variable_after(key) for key in self.symbols.registers()}
        # the state after the step, slot by slot: `Y` and `Y_next` for the slots `Y[n-1]` and `Y[n]`
        variables = [self._variable_after(self._register_after(slot)) for slot in current]
        lines: list[str] = []
        printer = StepPrinter(self.symbols, current)
        for shear in reversed(self.derivation.shears or ()):
            for i in reversed(range(len(self.symbols.components(shear.target.name)))):
                key = (shear.target.name, shear.target.offset, i)
                variable = self.symbols.variable(*key)
                lines.append(f"{variable} = {self._inverse_shear(shear, printer, current[key], i)}")
                current[key] = variable
        return self._body(variables, lines, current.values())

    def _register_after(self, slot: ValueKey) -> ValueKey:
        """The register that holds a slot's value after the step."""
        name, offset, i = slot
        register = next(r for r, new in self._slots_after().items() if new == Slot(name, offset))
        return register.name, register.offset, i

    def _slots_after(self) -> dict[Slot, Slot]:
        """Register -> the slot whose value it holds after the step.

        A register is named by its slot before the step. Under leapfrog, `Y[n-1]` -> `Y[n]`: the
        register of `Y[n-1]` holds the new value, `Y[n+1]`, which is `Y[n]` for the next step.
        """
        return {r: self.derivation.relabel.get(r, r) for r in self.symbols.scheme.slots}

    def _variable_after(self, register: ValueKey) -> str:
        """The variable of the value that a register holds after the step.

        When a register's shears are undone, `retreat` assigns the register's own variable. If that
        held the value of another register, as when two registers swap, this would be lost.
        """
        name, offset, i = register
        slot = Slot(name, offset)
        new = self._slots_after()[slot]
        has_history = len(self.symbols.scheme.stored_offsets(new.name)) > 1
        keeps_name = new == slot and not has_history  # no other value is in that variable
        return self.symbols.variable(new.name, 0 if keeps_name else new.offset + 1, i)

    def _inverse_shear(self, shear: Shear, printer: StepPrinter, result: str, i: int) -> str:
        """The code of `(result - terms) / (scale * exp(…))`, which undoes a shear."""
        code_of = printer.constant
        parts = (*shear.linear_terms, *shear.rate_terms)
        terms = [(self._coefficient(c, code_of), printer(part, i)) for c, part in parts]
        products = [_scaled(c, code) for c, code in terms]
        divisors = [printer(expr.ElementwiseExp(node), i) for node in shear.exponents]
        if shear.scale == -1:  # terms - result
            text = _sum([*products, f"-{result}"])
        else:
            text = _sum([result, *(_negated(p) for p in products)])
            divisors += [self._coefficient(shear.scale, code_of)] if shear.scale != 1 else []
        division = "".join(f" / {divisor.within(SIGN)}" for divisor in divisors)
        return f"({text}){division}" if division and products else text + division

    def _coefficient(self, value: Coefficient, code_of: Callable[[str], str]) -> Code:
        return self.symbols.scalar_code(scalar(value), code_of)


def unpack(names: tuple[str, ...], body: list[str]) -> list[str]:
    """The body after an assignment that unpacks the state; values that it does not read are `_`."""
    used = names_read("\n".join(body))
    targets = [name if name in used else "_" for name in names]
    target = f"({targets[0]},)" if len(targets) == 1 else ", ".join(targets)
    return [f"{target} = state", *body]


def _scaled(coefficient: Code, code: Code) -> str:
    if coefficient.text == "1":
        return code.text
    if coefficient.text == "-1":
        return f"-{code.text}"
    return f"{coefficient.within(PRODUCT)} * {code.within(SIGN)}"


def _negated(text: str) -> str:
    return text[1:] if text.startswith("-") else f"-{text}"


def _sum(terms: list[str]) -> str:
    return signed_sum((-1, term[1:]) if term.startswith("-") else (1, term) for term in terms)
