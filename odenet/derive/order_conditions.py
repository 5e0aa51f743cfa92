"""The order conditions of a scheme, tree by tree.

A step takes values on the solution to values on the solution one step later, up to its local error.
For an unknown of the pattern "on the solution" means the exact solution at its time. An unknown
of the scheme's own is a function of the solution too, and which one follows from the step: a
formal series that the step carries along (the starting procedure of a general linear method;
Butcher, Numerical Methods for Ordinary Differential Equations, 530-532; Hairer, Nørsett & Wanner,
Solving Ordinary Differential Equations I, III.8). On every tree this is a small linear system. What
is left over in its rows is the error a step makes.
"""

from collections.abc import Mapping
from functools import cached_property

import sympy

from odenet.derive.coefficients import Scalars
from odenet.derive.elimination import Elimination
from odenet.derive.h_series import NoSeries, Number, Powers, SeriesWriter, add, shift
from odenet.derive.influence import Influence, delays
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.derive.power_bounded import Matrix, loss
from odenet.derive.remembered import remembered
from odenet.derive.step_series import StepSeries
from odenet.derive.trees import Forest, Key
from odenet.diagnostics import SpecError
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import Scheme


class OrderConditions:
    """Compares a step with the exact solution.

    Args:
        scheme: as parsed.
        scalars: the field of its coefficients, `let`s expanded.
        values: of the symbols of that field.
        limit: the highest power of h that counts.
        factors: function -> a number it is multiplied by in the equations that are solved.
    """

    def __init__(
        self,
        scheme: Scheme,
        scalars: Scalars,
        values: Mapping[sympy.Symbol, Number],
        limit: int,
        factors: dict[str, Number] | None = None,
    ):
        if scalars.powers_of_h:
            raise NoSeries("a root of h is not a power series in h")
        self.scheme = scheme
        self.forest = Forest(scheme.patterns, factors or {})
        self.algebra = Algebra(scalars)
        self.limit = limit
        self.writer = SeriesWriter(scalars, values, limit)
        step = read_step(scheme, self.algebra)
        self.after = step.after
        self.unknowns = self._relevant()
        self.aux = tuple(name for name in scheme.aux if name in self.unknowns)
        self.slots = tuple(slot for slot in scheme.slots if slot.name in self.unknowns)
        self.series = StepSeries(self.algebra, self.forest, self.writer.read, self.stored, limit)
        self.starts = dict(scheme.starts)
        self._begin = StepSeries(self.algebra, self.forest, self.writer.read, self.begin, limit)
        self._followed: dict[tuple[str, Key], Powers] = {}
        self._system = Elimination(self._equations(), self.aux, limit)
        self.undetermined = False

    def _relevant(self) -> tuple[str, ...]:
        """The pattern's unknowns, and those that they read, directly or through others."""
        found: set[str | int] = {p.variable for p in self.scheme.patterns}
        waiting = list(found)
        while waiting:
            name = waiting.pop()
            if isinstance(name, int):
                forms = list(self.algebra.atoms[name].arguments)
            else:
                forms = [form for slot, form in self.after.items() if slot.name == name]
            read = {key.name if isinstance(key, Slot) else key for form in forms for key in form}
            waiting += read - found
            found |= read
        return tuple(name for name in self.scheme.unknowns if name in found)

    def _equations(self) -> dict[str, dict[str, Powers]]:
        """What a change of the auxiliary unknowns changes in each row: new value less old one."""
        found: dict[str, dict[str, Powers]] = {}
        for row in (*self.aux, *(p.variable for p in self.scheme.patterns)):
            entries: dict[str, Powers] = {row: {0: -1}} if row in self.aux else {}
            for key, factor in self.after[Slot(row, 0)].items():
                if isinstance(key, Slot) and key.name in self.aux:
                    old = entries.get(key.name, {})
                    entries[key.name] = add(old, self.writer.read(factor))
            found[row] = entries
        return found

    # h = 0

    def matrix(self, power: int = 0) -> Matrix:
        """How the stored values go over in a step with all rates 0: the coefficient of a power."""
        rows = [[self._entry(self.after[to], of) for of in self.slots] for to in self.slots]
        if any(entry and min(entry) < 0 for row in rows for entry in row):
            raise NoSeries("a value grows like 1/h as h tends to 0")
        return [[entry.get(power, 0) for entry in row] for row in rows]

    def _entry(self, form: Form, slot: Slot) -> Powers:
        return self.writer.read(form[slot]) if slot in form else {}

    @cached_property
    def losses(self) -> dict[str, int]:
        """Row -> how many powers of h an error that it makes in every step costs.

        An error of an own unknown reaches those of the pattern as they read it (`influence.py`).
        """
        matrix, solved = self.matrix(), tuple(self.forest.of_variable)
        influence = Influence(self.algebra, self.writer.read)
        late = delays(self.after, influence, solved, self.aux)
        return {
            name: loss(matrix, self.slots.index(Slot(name, 0))) - late.get(name, 0)
            for name in self.unknowns
        }

    @property
    def lightest(self) -> int:
        """How far the power of h that goes with a tree may lie below its weight."""
        degrees = [
            min(powers)
            for form in self.after.values()
            for factor in form.values()
            if (powers := self.writer.read(factor))
        ]
        own = max(p.order for p in self.scheme.patterns) if self.aux else 0
        return own - min([0, *degrees])

    @property
    def below(self) -> int:
        """How far the order that an error on a tree leaves may lie below its weight."""
        return self.lightest + max(self.losses.values())

    # on the solution

    def stored(self, slot: Slot, key: Key) -> Powers:
        """The coefficient of a stored value on the solution."""
        if slot.name in self.forest.of_variable:
            return self._exact(slot, key)
        return add(self._earlier(slot.name, key, slot.offset), self._follow(slot.name, key))

    def _exact(self, slot: Slot, key: Key) -> Powers:
        if isinstance(key, str):
            return {0: 1} if key == slot.name else {}
        if not slot.offset or self.forest.variable(key) != slot.name:
            return {}
        weight = self.forest.weight(key)
        return shift({0: self.forest.exact(key)}, weight, slot.offset**weight, self.limit)

    def _earlier(self, name: str, key: Key, time: int) -> Powers:
        """An auxiliary unknown at another time, but for its own coefficient on the tree."""
        total: Powers = {}
        if time and not isinstance(key, str):
            weight = self.forest.weight(key)
            for other, factor in self.forest.moved(key).items():
                if other != key and (found := self._follow(name, other)):
                    degree = weight - self.forest.weight(other)
                    moved = shift(found, degree, factor * time**degree, self.limit)
                    total = add(total, moved)
        return total

    def _follow(self, name: str, key: Key) -> Powers:
        """The coefficient of an auxiliary unknown, solved for."""
        if (name, key) not in self._followed:
            self.errors(key)
        return self._followed[name, key]

    @remembered
    def errors(self, key: Key) -> dict[str, Powers]:
        """What a step is off by on a tree, row by row; solves for the auxiliary unknowns."""
        free = {name: self._free(name, key) for name in self._system.free}
        self._followed |= {(name, key): {} for name in self.aux}
        right = {row: self._right(row, key) for row in self.unknowns}
        solved, left = self._system.solve(right, free)
        self._followed |= {(name, key): solved[name] for name in self.aux}
        return left

    def _right(self, row: str, key: Key) -> Powers:
        """The solution a step later, less the value of the step, without the unknowns there."""
        new = self.series.value(self.after[Slot(row, 0)], key)
        later = self._earlier(row, key, 1) if row in self.aux else self._exact(Slot(row, 1), key)
        return add(later, new, -1)

    def _free(self, name: str, key: Key) -> Powers:
        """Where the step leaves a value open, the start line says what it is."""
        self.undetermined = True
        return self.begin(Slot(name, 0), key)

    # at the beginning

    @remembered
    def begin(self, slot: Slot, key: Key) -> Powers:
        """The coefficient of a value that a step begins with, by its start line.

        Raises:
            NoSeries: the line reads what is learned, or is not near the solution.
        """
        if slot not in self.starts:
            return self._exact(slot, key)
        line = self.starts[slot]
        now: dict[Node, Form] = {
            Slot(name, 0): self.algebra.register(Slot(name, 0)) for name in self.scheme.unknowns
        }
        try:
            form = self.algebra.read(line, now)
        except (SpecError, KeyError):
            raise NoSeries("it is not a sum of values and right-hand sides", line) from None
        return self._begin.value(form, key)
