"""From the text of one step to a sequence of shears, or to what prevents it.

The stored values after a step are known; which values before it follow? A right-hand side is known
as soon as its arguments are linear combinations of what is known. Take its contribution off, and
more becomes known. If everything does, the step has an explicit inverse, and taking contributions
off one at a time writes it as shears: an atom never occurs in its own arguments, so once a single
register carries it, it does not read that register. If some right-hand side never becomes known,
the inverse is implicit: there is no order of solving the equations one at a time. An exponential
that multiplies all of what a register holds is divided out likewise, once what is inside is known.
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
    """A multiplication by exp(power · form), the form by its number in the algebra."""

    index: int
    power: int


@dataclass(frozen=True)
class Move:
    """One term of a shear: target += factor * what.

    With `what` None or an exponent it multiplies instead, by the factor or by the exponential.

    Args:
        rows: what the registers hold at that moment; a right-hand side is written in these.
        after: the line whose value the target holds afterwards, if one does.
    """

    target: Slot
    factor: FracElement
    what: Slot | int | Exponent | None
    rows: dict[Slot, Form]
    after: Line | None

    @property
    def scales(self) -> bool:
        """Whether it multiplies its target."""
        return self.what is None or isinstance(self.what, Exponent)

    def reads(self, slot: Slot, step: "StepInverter") -> bool:
        """Whether the slot is read, directly or inside a right-hand side."""
        if isinstance(self.what, int | Exponent):
            return slot in step.registers_of(self)
        return self.what == slot


class NoInverse(Exception):
    """No further value before the step becomes known."""

    def __init__(self, rows: dict[Slot, Form], known: set[int]):
        super().__init__()
        self.rows = rows
        self.known = known


class StepInverter:
    """Undoes a step move by move.

    Attributes:
        rows: slot after the step -> what is left of the form it holds.
        known: the atoms that are known.
        moves: what was taken off, the last move of the step first.
    """

    def __init__(self, step: Step):
        self.step = step
        self.rows: dict[Slot, Form] = dict(step.after)
        self.known: set[int] = set()
        self.moves: list[Move] = []
        self._lines: dict[Direction, tuple[FracElement, Line]] = {}
        for line in step.lines:
            if line.form:
                key, factor = direction(line.form)
                self._lines[key] = (factor, line)

    def undo(self) -> dict[Slot, Slot]:
        """Undo the whole step.

        Returns:
            Slot after the step -> the register whose value it turned out to carry.

        Raises:
            NoInverse: the step has no explicit inverse.
        """
        while True:
            if self._divide_out():
                continue
            atom = self._next_known()
            if atom is None:
                break
            self._take_off(atom)
        if any(isinstance(key, int) for row in self.rows.values() for key in row):
            raise NoInverse(self.rows, self.known)
        self._require_numbers(c for row in self.rows.values() for c in row.values())
        self._untangle()
        return {s: held for s, row in self.rows.items() for held in row if isinstance(held, Slot)}

    def _next_known(self) -> int | None:
        """The last atom of the text that became known, so that lines are undone bottom up."""
        while True:
            ready = self._ready()
            carried = [i for i in ready if self._carried(i)]
            if carried or not ready:
                return max(carried, default=None)
            self.known.update(ready)

    def _ready(self) -> list[int]:
        """The atoms whose arguments are known."""
        return [
            index
            for index, atom in enumerate(self.step.algebra.atoms)
            if index not in self.known
            and all(self.write(argument) is not None for argument in atom.arguments)
        ]

    def _carried(self, atom: int) -> bool:
        return any(atom in row for row in self.rows.values())

    def _divide_out(self) -> bool:
        """Divide a register by an exponential of what is known, read off the other registers."""
        algebra = self.step.algebra
        if algebra.exponents:
            self.known.update(index for index in self._ready() if not self._carried(index))
        for index, form in enumerate(algebra.exponents):
            if self.write(form) is None:
                continue
            for slot, row in self.rows.items():
                powers = {algebra.scalars.power_of_stretch(c, index) for c in row.values()}
                power = powers.pop() if len(powers) == 1 else None
                move = Move(slot, algebra.scalars.field.one, Exponent(index, power or 0),
                            dict(self.rows), self._line(slot))  # fmt: skip
                if power and not move.reads(slot, self):
                    self.moves.append(move)
                    self.rows[slot] = scale(row, algebra.scalars.stretches[index] ** -power)
                    self._rescale(slot)
                    return True
        return False

    def _require_numbers(self, coefficients: Iterable[FracElement]) -> None:
        """What is subtracted and divided by from here on are numbers, the same everywhere.

        Raises:
            NoInverse: one has the exponential of a field.
        """
        if not all(map(self.step.algebra.scalars.is_number, coefficients)):
            raise NoInverse(self.rows, self.known)

    def write(
        self, form: Form, rows: dict[Slot, Form] | None = None
    ) -> dict[Slot, FracElement] | None:
        """A form as a combination of registers, up to known atoms; None if it is not one."""
        rest = {key: value for key, value in form.items() if key not in self.known}
        rows = self.rows if rows is None else rows
        bare = {s: {k: v for k, v in row.items() if k not in self.known} for s, row in rows.items()}
        found = express(rest, bare)
        numbers = found is None or all(map(self.step.algebra.scalars.is_number, found.values()))
        return found if numbers else None

    def _take_off(self, atom: int) -> None:
        """Make one register the only one that carries a known atom, and subtract it there.

        That register is the one computed first: the others got the atom through it.
        """
        carriers = [slot for slot, row in self.rows.items() if atom in row]
        self._require_numbers(self.rows[slot][atom] for slot in carriers)
        pivot = min(carriers, key=self._position)
        for slot in carriers:
            if slot != pivot:
                self._subtract(slot, self.rows[slot][atom] / self.rows[pivot][atom], pivot)
        factor = self.rows[pivot][atom]
        self._move(pivot, factor, atom, add(self.rows[pivot], {atom: factor}, -1))
        self.known.add(atom)

    def _position(self, slot: Slot) -> int:
        """Where the value a register holds is computed: lines from 0, old values before."""
        row = self.rows[slot]
        if len(row) == 1 and isinstance(next(iter(row)), Slot):
            return -1
        found = self._lines.get(direction(row)[0])
        return self.step.lines.index(found[1]) if found else len(self.step.lines)

    def _subtract(self, slot: Slot, factor: FracElement, other: Slot) -> None:
        self._move(slot, factor, other, add(self.rows[slot], self.rows[other], -factor))

    def _move(self, slot: Slot, factor: FracElement, what: Slot | int, left: Form) -> None:
        rows = dict(self.rows)
        self.moves.append(Move(slot, factor, what, rows, self._line(slot)))
        self.rows[slot] = left
        self._rescale(slot)

    def _line(self, slot: Slot) -> Line | None:
        row = self.rows[slot]
        found = self._lines.get(direction(row)[0]) if row else None
        return found[1] if found and found[1].form == row else None

    def _rescale(self, slot: Slot) -> None:
        """Divide what a register holds so that it is an old value, or the value of a line."""
        row = self.rows[slot]
        if not row:
            return
        key, factor = direction(row)
        if len(row) == 1:
            wanted = self.step.algebra.scalars.field.one
        elif key in self._lines:
            wanted = self._lines[key][0]
        else:
            return
        ratio = factor / wanted
        if ratio != 1 and self.step.algebra.scalars.is_number(ratio):
            self.moves.append(Move(slot, ratio, None, dict(self.rows), self._line(slot)))
            self.rows[slot] = scale(row, 1 / ratio)

    def _untangle(self) -> None:
        """Undo what is left, a linear map of the registers, by Gauss-Jordan elimination."""
        for slot in self.rows:
            self._rescale(slot)
        used: set[Slot] = set()
        while True:
            while self._use_single_values():
                pass
            left = [slot for slot, row in self.rows.items() if len(row) != 1 and slot not in used]
            if not left:
                break
            pivot, key = self._pivot(left)
            used.add(pivot)
            for slot, row in list(self.rows.items()):
                if slot != pivot and key in row:
                    self._subtract(slot, row[key] / self.rows[pivot][key], pivot)
        if len({next(iter(row)) for row in self.rows.values() if row}) < len(self.rows):
            raise NoInverse(self.rows, self.known)

    def _use_single_values(self) -> bool:
        """Subtract registers that hold one old value from all others that contain it."""
        for slot, row in self.rows.items():
            for other, single in list(self.rows.items()):
                if other != slot and len(single) == 1 and len(row) > 1:
                    (key,) = single  # with factor 1, see `_rescale`
                    if key in row:
                        self._subtract(slot, row[key], other)
                        return True
        return False

    def _pivot(self, slots: list[Slot]) -> tuple[Slot, Slot]:
        """A register and an old value in it to eliminate by, preferably with factor ±1."""

        def cost(choice: tuple[Slot, Slot]) -> int:
            factor = self.rows[choice[0]][choice[1]]
            return 0 if factor in (1, -1) else 1 if factor.numer.is_ground else 2

        choices = [(s, key) for s in slots for key in self.rows[s] if isinstance(key, Slot)]
        if not choices:
            raise NoInverse(self.rows, self.known)
        return min(choices, key=cost)

    def registers_of(self, move: Move) -> set[Slot]:
        """The slots a right-hand side or an exponent reads, nested ones included."""
        if isinstance(move.what, Exponent):
            read = self.exponent(move.what, move.rows)
        else:
            assert isinstance(move.what, int)
            read = self.rate(move.what, move.rows)
        return {node for node in read.walk() if isinstance(node, Slot)}

    def rate(self, atom: int, rows: dict[Slot, Form]) -> Rate | MapCall:
        """A known right-hand side, written in what the registers hold."""
        found = self.step.algebra.atoms[atom]
        return found.at(tuple(self._argument(argument, rows) for argument in found.arguments))

    def exponent(self, what: Exponent, rows: dict[Slot, Form]) -> Node:
        """The form of an exponent times its power, written in what the registers hold."""
        form = self.step.algebra.exponents[what.index]
        return self._argument(scale(form, what.power), rows)

    def _argument(self, form: Form, rows: dict[Slot, Form]) -> Node:
        show = self.step.algebra.scalars.show
        slots = self.write(form, rows)
        assert slots is not None
        for slot, factor in slots.items():
            form = add(form, rows[slot], -factor)
        terms: list[tuple[int, sympy.Expr, Node]] = [
            (1, show(slots[slot]), slot) for slot in rows if slot in slots
        ]
        for atom in sorted(key for key in form if isinstance(key, int)):
            terms.append((1, show(form[atom]), self.rate(atom, rows)))
        return to_expr.combination(terms)
