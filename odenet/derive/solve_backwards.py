"""Solves a step backwards for the values before it, one right-hand side at a time.

A register is the memory of one stored value. What it holds after the step is a linear form in the
values before the step and in atoms, which are the right-hand sides (`linear_forms.py`). An atom is
known as soon as its arguments are linear combinations of what is known. It is then subtracted, and
more becomes known. If in the end everything is known, the step has an explicit inverse, and the
subtractions are the terms of its shears. (An atom does not occur in its own arguments, so once a
single register contains it, it does not read that register.) If some atom never becomes known, the
inverse is implicit. A factor `exp(…)` of all that a register holds is divided out likewise, once
its exponent is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sympy
from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.linear_forms import Direction, Form, Line, Step, add, direction, express, scale
from odenet.model.expressions.expr import MapCall, Node, Rate, Slot


@dataclass(frozen=True)
class Exponent:
    """A factor exp(power · form).

    Args:
        index: the index of the form in `Algebra.exponents`.
        power: a whole number.
    """

    index: int
    power: int


@dataclass(frozen=True)
class ShearTerm:
    """One term of a shear: target += factor * source.

    If the source is an exponent, the target is multiplied by its exponential instead; if it is
    None, by the factor.

    Args:
        target: the register that changes.
        factor: the number by which the source, or without a source the target, is multiplied.
        source: another register, an atom by its number, an exponent, or None.
        registers: register -> the form it holds at this point; atoms are written in terms of these.
        line_after: the line whose value the target holds afterwards, if any.
    """

    target: Slot
    factor: FracElement
    source: Slot | int | Exponent | None
    registers: dict[Slot, Form]
    line_after: Line | None

    @property
    def is_scaling(self) -> bool:
        """Whether the target is multiplied, and nothing is added to it."""
        return self.source is None or isinstance(self.source, Exponent)

    def reads(self, slot: Slot, inverter: "StepInverter") -> bool:
        """Whether the term reads a register, directly or inside a right-hand side."""
        if isinstance(self.source, int | Exponent):
            return slot in inverter.registers_read(self)
        return self.source == slot


class NoInverse(Exception):
    """A step has no explicit inverse: no further atom becomes known.

    Args:
        rows: register -> what remained of the form it holds.
        known_atoms: the atoms that are known.
    """

    def __init__(self, rows: dict[Slot, Form], known_atoms: set[int]):
        super().__init__()
        self.rows = rows
        self.known_atoms = known_atoms


def without_atoms(form: Form, atoms: set[int]) -> Form:
    """A form without some atoms."""
    return {key: factor for key, factor in form.items() if key not in atoms}


class StepInverter:
    """Inverts a step term by term.

    Attributes:
        rows: register, named by its slot after the step -> what remains of the form it holds.
        known_atoms: the atoms that are known.
        terms: what was subtracted or divided out, the last term of the step first.
    """

    def __init__(self, step: Step):
        self.step = step
        self.coeff_field = step.algebra.coeff_field
        self.rows: dict[Slot, Form] = dict(step.new_values)
        self.known_atoms: set[int] = set()
        self.terms: list[ShearTerm] = []
        # direction of a line's form -> the factor to get that form back, and the line
        self._lines: dict[Direction, tuple[FracElement, Line]] = {}
        for line in step.lines:
            if line.form:
                key, factor = direction(line.form)
                self._lines[key] = (factor, line)

    def invert(self) -> dict[Slot, Slot]:
        """Invert the whole step.

        Returns:
            Register, named by its slot after the step -> the same, named by its slot before it.

        Raises:
            NoInverse: the step has no explicit inverse.
        """
        while True:
            if self._divide_out():
                continue
            atom = self._next_known()
            if atom is None:
                break
            self._remove_atom(atom)
        if any(isinstance(key, int) for row in self.rows.values() for key in row):
            raise NoInverse(self.rows, self.known_atoms)
        self._require_constants(c for row in self.rows.values() for c in row.values())
        self._undo_linear_map()
        return {s: held for s, row in self.rows.items() for held in row if isinstance(held, Slot)}

    def _next_known(self) -> int | None:
        """The next atom to subtract: of the known ones the last in the text; None if there is none.

        Atoms that become known but that no register contains any more are only noted as known.
        """
        while True:
            ready_atoms = self._ready_atoms()
            carried_atoms = [i for i in ready_atoms if self._is_carried(i)]
            if carried_atoms or not ready_atoms:
                return max(carried_atoms, default=None)
            self.known_atoms.update(ready_atoms)

    def _ready_atoms(self) -> list[int]:
        """The atoms that are not known yet, but whose arguments are."""
        return [
            index
            for index, atom in enumerate(self.step.algebra.atoms)
            if index not in self.known_atoms
            and all(self.in_registers(argument) is not None for argument in atom.arguments)
        ]

    def _is_carried(self, atom: int) -> bool:
        """Whether a register contains an atom."""
        return any(atom in row for row in self.rows.values())

    def _divide_out(self) -> bool:
        """Divide a register by a factor `exp(…)` whose exponent is known from other registers.

        Returns:
            Whether there was one.
        """
        algebra = self.step.algebra
        if algebra.exponents:
            self.known_atoms.update(i for i in self._ready_atoms() if not self._is_carried(i))
        for index, form in enumerate(algebra.exponents):
            if self.in_registers(form) is None:
                continue
            for slot, row in self.rows.items():
                powers = {self.coeff_field.power_of_stretch(c, index) for c in row.values()}
                power = powers.pop() if len(powers) == 1 else None
                one, exponent = self.coeff_field.sympy_field.one, Exponent(index, power or 0)
                term = ShearTerm(slot, one, exponent, dict(self.rows), self._line_held(slot))
                if power and not term.reads(slot, self):
                    self.terms.append(term)
                    self.rows[slot] = scale(row, self.coeff_field.stretches[index] ** -power)
                    self._rescale(slot)
                    return True
        return False

    def _require_constants(self, coefficients: Iterable[FracElement]) -> None:
        """Check that coefficients do not depend on the state.

        Raises:
            NoInverse: one contains a factor `exp(…)`.
        """
        if not all(map(self.coeff_field.is_constant, coefficients)):
            raise NoInverse(self.rows, self.known_atoms)

    def in_registers(
        self, form: Form, registers: dict[Slot, Form] | None = None
    ) -> dict[Slot, FracElement] | None:
        """A form as a combination of registers: register -> factor; None if it is not one.

        Known atoms are left out. The registers hold what remains, unless other forms are given.
        """
        registers = self.rows if registers is None else registers
        rows = {s: without_atoms(row, self.known_atoms) for s, row in registers.items()}
        combination = express(without_atoms(form, self.known_atoms), rows)
        is_valid = all(map(self.coeff_field.is_constant, (combination or {}).values()))
        return combination if is_valid else None

    def _remove_atom(self, atom: int) -> None:
        """Subtract a known atom from the registers that contain it.

        It is subtracted from one of them, after a multiple of that register was subtracted from
        each of the others. This is the one computed first: the others contain the atom through it.
        """
        carriers = [slot for slot, row in self.rows.items() if atom in row]
        self._require_constants(self.rows[slot][atom] for slot in carriers)
        pivot = min(carriers, key=self._line_position)
        for slot in carriers:
            if slot != pivot:
                self._subtract(slot, self.rows[slot][atom] / self.rows[pivot][atom], pivot)
        factor = self.rows[pivot][atom]
        self._add_term(pivot, factor, atom, add(self.rows[pivot], {atom: factor}, -1))
        self.known_atoms.add(atom)

    def _line_position(self, slot: Slot) -> int:
        """The number of the line that computes what a register holds; -1 for an old value."""
        row = self.rows[slot]
        if len(row) == 1 and isinstance(next(iter(row)), Slot):
            return -1
        found = self._lines.get(direction(row)[0])
        return self.step.lines.index(found[1]) if found else len(self.step.lines)

    def _subtract(self, slot: Slot, factor: FracElement, other: Slot) -> None:
        self._add_term(slot, factor, other, add(self.rows[slot], self.rows[other], -factor))

    def _add_term(self, slot: Slot, factor: FracElement, source: Slot | int, rest: Form) -> None:
        """Note a subtracted term; `rest` is what it leaves of the form that the register holds."""
        self.terms.append(ShearTerm(slot, factor, source, dict(self.rows), self._line_held(slot)))
        self.rows[slot] = rest
        self._rescale(slot)

    def _line_held(self, slot: Slot) -> Line | None:
        """The line whose value a register holds, if any."""
        row = self.rows[slot]
        found = self._lines.get(direction(row)[0]) if row else None
        return found[1] if found and found[1].form == row else None

    def _rescale(self, slot: Slot) -> None:
        """If a register holds a multiple of an old value or of a line's value, divide it out."""
        row = self.rows[slot]
        if not row:
            return
        key, factor = direction(row)
        if len(row) == 1:
            wanted_factor = self.coeff_field.sympy_field.one
        elif key in self._lines:
            wanted_factor = self._lines[key][0]
        else:
            return
        ratio = factor / wanted_factor
        if ratio != 1 and self.coeff_field.is_constant(ratio):
            self.terms.append(ShearTerm(slot, ratio, None, dict(self.rows), self._line_held(slot)))
            self.rows[slot] = scale(row, 1 / ratio)

    def _undo_linear_map(self) -> None:
        """Invert what remains, a linear map of the registers, by Gauss-Jordan elimination."""
        for slot in self.rows:
            self._rescale(slot)
        pivots: set[Slot] = set()
        while True:
            while self._use_single_values():
                pass
            unresolved = [s for s, row in self.rows.items() if len(row) != 1 and s not in pivots]
            if not unresolved:
                break
            pivot, key = self._pivot(unresolved)
            pivots.add(pivot)
            for slot, row in list(self.rows.items()):
                if slot != pivot and key in row:
                    self._subtract(slot, row[key] / self.rows[pivot][key], pivot)
        if len({next(iter(row)) for row in self.rows.values() if row}) < len(self.rows):
            raise NoInverse(self.rows, self.known_atoms)

    def _use_single_values(self) -> bool:
        """Subtract a register that holds a single old value from another that contains it.

        Returns:
            Whether there was such a pair.
        """
        for slot, row in self.rows.items():
            for other, single in list(self.rows.items()):
                if other != slot and len(single) == 1 and len(row) > 1:
                    (key,) = single  # with factor 1, see `_rescale`
                    if key in row:
                        self._subtract(slot, row[key], other)
                        return True
        return False

    def _pivot(self, slots: list[Slot]) -> tuple[Slot, Slot]:
        """The next pivot: a register and an old value in it, preferably with factor ±1."""

        def cost(choice: tuple[Slot, Slot]) -> int:
            factor = self.rows[choice[0]][choice[1]]
            return 0 if factor in (1, -1) else 1 if factor.numer.is_ground else 2

        choices = [(s, key) for s in slots for key in self.rows[s] if isinstance(key, Slot)]
        if not choices:
            raise NoInverse(self.rows, self.known_atoms)
        return min(choices, key=cost)

    def registers_read(self, term: ShearTerm) -> set[Slot]:
        """The registers that an atom or an exponent reads, inside nested right-hand sides too."""
        if isinstance(term.source, Exponent):
            read = self.exponent(term.source, term.registers)
        else:
            assert isinstance(term.source, int)
            read = self.rate(term.source, term.registers)
        return {node for node in read.walk() if isinstance(node, Slot)}

    def rate(self, atom: int, registers: dict[Slot, Form]) -> Rate | MapCall:
        """A known right-hand side, written in terms of registers."""
        found = self.step.algebra.atoms[atom]
        arguments = tuple(self._expression(form, registers) for form in found.arguments)
        return found.with_arguments(arguments)

    def exponent(self, exponent: Exponent, registers: dict[Slot, Form]) -> Node:
        """An exponent, power times form, written in terms of registers."""
        form = self.step.algebra.exponents[exponent.index]
        return self._expression(scale(form, exponent.power), registers)

    def _expression(self, form: Form, registers: dict[Slot, Form]) -> Node:
        """A form as an expression in the registers, given what they hold, and in known atoms."""
        to_sympy = self.coeff_field.to_sympy
        slots = self.in_registers(form, registers)
        assert slots is not None
        for slot, factor in slots.items():
            form = add(form, registers[slot], -factor)
        terms: list[tuple[int, sympy.Expr, Node]] = []
        terms += [(1, to_sympy(slots[slot]), slot) for slot in registers if slot in slots]
        for atom in sorted(key for key in form if isinstance(key, int)):
            terms.append((1, to_sympy(form[atom]), self.rate(atom, registers)))
        return to_expr.combination(terms)
