"""The order conditions of a scheme, tree by tree.

A step maps values on the exact solution to values on the solution one step later, up to the local
error. For an unknown of the equations, "on the solution" means the exact solution at its time. For
an auxiliary (`aux`) unknown, one of the scheme's own, it means a certain function of the solution:
the formal series that the step maps to itself (the starting procedure of a general linear method;
Butcher, Numerical Methods for Ordinary Differential Equations, 530-532; Hairer, Nørsett & Wanner,
Solving Ordinary Differential Equations I, III.8). For every tree its coefficients are found from a
small linear system, and the residuals of this system are the local error.
"""

from collections.abc import Mapping
from functools import cached_property, partial

import sympy

from odenet.derive.cached_method import cached_method
from odenet.derive.coefficients import CoefficientField
from odenet.derive.elimination import Elimination
from odenet.derive.h_series import NoSeries, Number, PowerSeries, SeriesWriter, add, shift
from odenet.derive.influence import Influence, delays
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.derive.power_bounded import Matrix, lost_powers
from odenet.derive.step_series import StepSeries
from odenet.derive.trees import Forest, Tree
from odenet.diagnostics import SpecError
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import Scheme


class OrderConditions:
    """Compares a step with the exact solution.

    Args:
        scheme: the scheme, as parsed.
        coeff_field: the field of its coefficients.
        values: the values of the symbols of that field, except h.
        max_degree: the highest power of h that is kept.
        factors: right-hand side -> a factor that it has in the equations to solve; by default 1.

    Attributes:
        forest: the trees.
        algebra: has the right-hand sides that the step evaluates.
        writer: writes coefficients of the scheme as power series in h.
        step_series: gives the coefficients of forms, if the values before the step are on the
            solution.
        new_values: slot -> the linear form it holds after a step.
        unknowns: the scheme's unknowns that the solution depends on.
        aux: the auxiliary unknowns among these.
        slots: the stored values of these unknowns.
        start_lines: slot -> the expression by which it is initialised.
        undetermined: whether an auxiliary unknown is not determined by the step, so that its start
            line was used. Known once residuals were computed.
    """

    def __init__(
        self,
        scheme: Scheme,
        coeff_field: CoefficientField,
        values: Mapping[sympy.Symbol, Number],
        max_degree: int,
        factors: dict[str, Number] | None = None,
    ):
        if coeff_field.has_root_of_h:
            raise NoSeries("a root of h is not a power series in h")
        self.scheme = scheme
        self.forest = Forest(scheme.patterns, factors or {})
        self.algebra = Algebra(coeff_field)
        self.max_degree = max_degree
        self.writer = SeriesWriter(coeff_field, values, max_degree)
        self.new_values = read_step(scheme, self.algebra).new_values
        self.unknowns = self._relevant_unknowns()
        self.aux = tuple(name for name in scheme.aux if name in self.unknowns)
        self.slots = tuple(slot for slot in scheme.slots if slot.name in self.unknowns)
        series = partial(StepSeries, self.algebra, self.forest, self.writer.to_series, max_degree)
        self.step_series = series(self.solution_coefficient)
        self.start_lines = dict(scheme.starts)
        self._start_series = series(self.start_coefficient)
        self._aux_coefficients: dict[tuple[str, Tree], PowerSeries] = {}
        self._system = Elimination(self._equations(), self.aux, max_degree)
        self.undetermined = False

    def _relevant_unknowns(self) -> tuple[str, ...]:
        """The unknowns of the equations, and those they depend on, directly or through others."""
        found: set[str | int] = {p.unknown for p in self.scheme.patterns}
        waiting = list(found)
        while waiting:
            name = waiting.pop()
            if isinstance(name, int):
                forms = list(self.algebra.atoms[name].arguments)
            else:
                forms = [form for slot, form in self.new_values.items() if slot.name == name]
            read = {key.name if isinstance(key, Slot) else key for form in forms for key in form}
            waiting += read - found
            found |= read
        return tuple(name for name in self.scheme.unknowns if name in found)

    def _equations(self) -> dict[str, dict[str, PowerSeries]]:
        """The rows of the system, named by unknowns: row -> auxiliary unknown -> coefficient.

        A row is the new value of its unknown minus the old one.
        """
        found: dict[str, dict[str, PowerSeries]] = {}
        for row in (*self.aux, *(p.unknown for p in self.scheme.patterns)):
            entries: dict[str, PowerSeries] = {row: {0: -1}} if row in self.aux else {}
            for key, factor in self.new_values[Slot(row, 0)].items():
                if isinstance(key, Slot) and key.name in self.aux:
                    old = entries.get(key.name, {})
                    entries[key.name] = add(old, self.writer.to_series(factor))
            found[row] = entries
        return found

    # the step as a linear map

    def step_matrix(self, power: int = 0) -> Matrix:
        """The matrix of a step if all right-hand sides are 0: its coefficient of h^power."""
        rows = [[self._entry(self.new_values[new], s) for s in self.slots] for new in self.slots]
        if any(entry and min(entry) < 0 for row in rows for entry in row):
            raise NoSeries("a value grows like 1/h as h tends to 0")
        return [[entry.get(power, 0) for entry in row] for row in rows]

    def _entry(self, form: Form, slot: Slot) -> PowerSeries:
        return self.writer.to_series(form[slot]) if slot in form else {}

    @cached_property
    def lost_powers(self) -> dict[str, int]:
        """Unknown -> how many powers of h are lost if an error of it is made in every step.

        For auxiliary unknowns it counts how the others depend on them (`influence.py`).
        """
        matrix, pattern_unknowns = self.step_matrix(), tuple(self.forest.pattern_of_variable)
        influence = Influence(self.algebra, self.writer.to_series)
        delay = delays(self.new_values, influence, pattern_unknowns, self.aux)
        return {
            name: lost_powers(matrix, self.slots.index(Slot(name, 0))) - delay.get(name, 0)
            for name in self.unknowns
        }

    @property
    def power_deficit(self) -> int:
        """The most by which the power of h that belongs to a tree may be below its weight."""
        degrees = [
            min(powers)
            for form in self.new_values.values()
            for factor in form.values()
            if (powers := self.writer.to_series(factor))
        ]
        extra = max(p.order for p in self.scheme.patterns) if self.aux else 0
        return extra - min([0, *degrees])

    @property
    def order_deficit(self) -> int:
        """The most by which the order may be below the weight of a tree that has a residual."""
        return self.power_deficit + max(self.lost_powers.values())

    # on the solution

    def solution_coefficient(self, slot: Slot, tree: Tree) -> PowerSeries:
        """The coefficient on a tree of a stored value that is on the solution."""
        if slot.name in self.forest.pattern_of_variable:
            return self._exact_coefficient(slot, tree)
        shifted = self._shifted_coefficient(slot.name, tree, slot.offset)
        return add(shifted, self._aux_coefficient(slot.name, tree))

    def _exact_coefficient(self, slot: Slot, tree: Tree) -> PowerSeries:
        """The coefficient on a tree of the exact solution at the time of a slot."""
        if isinstance(tree, str):
            return {0: 1} if tree == slot.name else {}
        if not slot.offset or self.forest.variable(tree) != slot.name:
            return {}
        weight, exact = self.forest.weight(tree), self.forest.exact_coefficient(tree)
        return shift({0: exact}, weight, slot.offset**weight, self.max_degree)

    def _shifted_coefficient(self, name: str, tree: Tree, time: int) -> PowerSeries:
        """What other trees add to an auxiliary unknown's coefficient on a tree as time goes on.

        `time` is how many steps later the coefficient is meant.
        """
        total: PowerSeries = {}
        if time and not isinstance(tree, str):
            weight = self.forest.weight(tree)
            for other, factor in self.forest.time_shift(tree).items():
                if other != tree and (found := self._aux_coefficient(name, other)):
                    degree = weight - self.forest.weight(other)
                    term = shift(found, degree, factor * time**degree, self.max_degree)
                    total = add(total, term)
        return total

    def _aux_coefficient(self, name: str, tree: Tree) -> PowerSeries:
        """The coefficient of an auxiliary unknown on a tree."""
        if (name, tree) not in self._aux_coefficients:
            self.residuals(tree)
        return self._aux_coefficients[name, tree]

    @cached_method
    def residuals(self, tree: Tree) -> dict[str, PowerSeries]:
        """The local error on a tree: unknown -> residual, where it is not zero.

        The coefficients of the auxiliary unknowns are solved for and kept.
        """
        free_values = {name: self._free_value(name, tree) for name in self._system.free_unknowns}
        self._aux_coefficients |= {(name, tree): {} for name in self.aux}
        right_sides = {row: self._right_side(row, tree) for row in self.unknowns}
        solved, residuals = self._system.solve(right_sides, free_values)
        self._aux_coefficients |= {(name, tree): solved[name] for name in self.aux}
        return residuals

    def _right_side(self, row: str, tree: Tree) -> PowerSeries:
        """The right side of the system: the solution a step later minus the value of the step.

        The coefficients to solve for count as 0 here.
        """
        value = self.step_series.coefficient(self.new_values[Slot(row, 0)], tree)
        later = (
            self._shifted_coefficient(row, tree, 1)
            if row in self.aux
            else self._exact_coefficient(Slot(row, 1), tree)
        )
        return add(later, value, -1)

    def _free_value(self, name: str, tree: Tree) -> PowerSeries:
        """The coefficient of an auxiliary unknown that the step does not determine."""
        self.undetermined = True
        return self.start_coefficient(Slot(name, 0), tree)

    # before the first step

    @cached_method
    def start_coefficient(self, slot: Slot, tree: Tree) -> PowerSeries:
        """The coefficient on a tree of a value before the first step, by its start line.

        Raises:
            NoSeries: the line contains a learned parameter, or does not tend to the solution.
        """
        if slot not in self.start_lines:
            return self._exact_coefficient(slot, tree)
        line = self.start_lines[slot]
        slots = [Slot(name, 0) for name in self.scheme.unknowns]
        known_forms: dict[Node, Form] = {slot: self.algebra.form_of(slot) for slot in slots}
        try:
            form = self.algebra.read(line, known_forms)
        except (SpecError, KeyError):
            raise NoSeries("it is not a sum of values and right-hand sides", line) from None
        return self._start_series.coefficient(form, tree)
