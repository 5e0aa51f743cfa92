"""The dynamics as s' = L φ(R s + b), split into units φ with their rows of R and columns of L.

A unit is an activation applied to an affine function of the states. A chain of activations such as
`relu(N(tanh(K Y) + b))` is one unit, since frozen batch norms, biases and numbers between them act
on each entry separately (odenet/analyse/read_units.py). Linear terms of the right-hand sides are
kept as operators from state to state; odenet/analyse/factorisations.py turns them into units.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import nan

from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.read_formulas import LINEAR
from odenet.diagnostics import Span
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.typed.program import Model

OperatorsByState = dict[State, Operator]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One φ of s' = L φ(R s + b).

    Args:
        stages: the functions that make up φ, outermost first: activations, and norms by name. If φ
            is a product of functions of one argument, its factors. Empty for a unit that was made
            of linear terms; (LINEAR,) for an affine A in `K A` that was kept as a unit.
        row: its row of R, the operator on each state that it reads.
        column: its column of L, the operator to each rate in which it occurs.
        text: φ(R s + b) as the author wrote it.
        argument: R s + b as a formula, None where no formula for it is in the file.
        has_offset: whether there is a b.
        function_text: φ(t) as a text, `relu(-2 tanh(t) + b)`; empty if it is one activation of t.
        span: the place of φ(R s + b) in the text.
        formula: the author's formula for φ(R s + b) where it occurs first; None for a linear unit.
        formula_sign: -1 if φ is minus that formula, which makes φ nondecreasing.
        stage_factors: the number that multiplies between each two stages, one less than there are
            stages: (-2,) for `relu(-2 tanh(t) + b)`. It is None where diagonals multiply as well.
            (None,) for a product of functions, whose slope has no upper bound.
        min_slope, max_slope: bounds of φ', None if unknown; see odenet/analyse/slopes.py.
        moved_slope: the m of a term m (R s + b) that was moved from φ to the linear terms.
        is_reflected: whether the rest is m (R s + b) - φ rather than φ - m (R s + b).
    """

    stages: tuple[expr.Activation | str, ...]
    row: OperatorsByState = field(hash=False)
    column: OperatorsByState = field(hash=False)
    text: str
    argument: expr.Node | None = None
    has_offset: bool = False
    function_text: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)
    formula: expr.Node | None = field(default=None, compare=False, repr=False)
    formula_sign: int = field(default=1, compare=False, repr=False)
    stage_factors: tuple[Scalar | None, ...] = ()
    min_slope: Fraction | None = field(default=None, compare=False, repr=False)
    max_slope: Fraction | None = field(default=None, compare=False, repr=False)
    moved_slope: Fraction | None = None
    is_reflected: bool = False

    @property
    def column_times_row(self) -> Iterator[tuple[tuple[State, State], Operator]]:
        """Its part of L R, as pairs (i, j), operator: from state j to the rate of state i."""
        for i, left in self.column.items():
            yield from (((i, j), left @ right) for j, right in self.row.items())

    @property
    def is_linear(self) -> bool:
        """Whether φ is the identity."""
        return all(stage == LINEAR for stage in self.stages)

    @property
    def norms(self) -> tuple[str, ...]:
        """The names of the norms among its stages."""
        return tuple(stage for stage in self.stages if isinstance(stage, str))

    @property
    def activations(self) -> tuple[expr.Activation, ...]:
        """The activations among its stages, outermost first."""
        return tuple(stage for stage in self.stages if isinstance(stage, expr.Activation))


@dataclass(frozen=True)
class System:
    """The dynamics s' = L φ(R s + b) as units and linear terms.

    `Dynamics.system`, in contrast, has the right-hand sides as formulas.

    Args:
        states: the states and, for equations of higher order, their derivatives such as Y', as
            their author spells them.
        units: the activations, equal ones merged.
        linear_terms: (i, j) -> the operator from state j to the rate of state i.
        has_forcing: whether a rate has a term, outside all units, that reads no state.
        absorbed_units: (name, unit) for each slope D′ = diag(φ') that `slope_absorptions` wrote
            into the linear terms as a diagonal of that name. For φ = σ(K Y + A Z) in
            Y' = -Kᵀ σ(K Y + A Z), -Kᵀ D′ K Y becomes a linear term, φ is left with the row {Z: A},
            and the unit here has the row {Y: K}.
    """

    states: tuple[State, ...]
    units: tuple[Unit, ...]
    linear_terms: dict[tuple[State, State], Operator] = field(hash=False)
    has_forcing: bool
    absorbed_units: tuple[tuple[str, Unit], ...] = ()

    def with_units(self, units: Iterable[Unit]) -> "System":
        """The system with these units, except those whose row or column is zero.

        A column is zero if all its operators are, or if it has none; a row, if it has none. A unit
        whose row is zero does not depend on the states: it is a forcing.
        """
        units = [unit for unit in units if any(unit.column.values())]
        has_forcing = self.has_forcing or not all(unit.row for unit in units)
        nonzero = tuple(unit for unit in units if unit.row)
        return replace(self, units=nonzero, has_forcing=has_forcing)


def nonmonotone_activation(unit: Unit, model: Model) -> expr.Activation | None:
    """The first activation of a unit that is not known to be nondecreasing; None if all are."""
    for activation in unit.activations:
        if not ACTIVATIONS[activation.name].nondecreasing(*_constants(activation, model)):
            return activation
    return None


def _constants(activation: expr.Activation, model: Model) -> Iterator[Fraction | float]:
    """The values of an activation's constants; nan, which fails comparisons, for a learned one."""
    for node in activation.constants:
        try:
            yield evaluate(node, model.constants)
        except EvaluationError:
            yield nan
