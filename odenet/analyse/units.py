"""The dynamics as s' = L φ(R s + b): units φ, what they read and where they go.

A unit is an activation of an affine function of the states. Frozen batch norms, biases and numbers
between activations act on each value by itself, so a chain of them, `relu(N(tanh(K Y) + b))`, is
one unit (odenet/analyse/read_units.py). What is in the right-hand sides without an activation
is kept apart, as operators from state to state; odenet/analyse/factorisations.py makes units of it.
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
from odenet.model.expressions.numbers import NotANumber, evaluate
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.typed.program import Model

Row = dict[State, Operator]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One φ of s' = L φ(R s + b).

    Args:
        stages: what is applied to R s + b, outermost first: activations and the names of norms;
            none for the identity. The factors of a product of functions of the same argument are
            here too.
        row: R, the operator on each state it reads.
        column: L, the operator to each rate it is in.
        text: how the author wrote it.
        argument: R s + b as a formula, None where no formula for it is in the file.
        offset: whether there is a b.
        composed: φ(t) as a text, `relu(-2 tanh(t) + b)`, unless it is one activation of t.
        formula: the author's formula that gives φ(R s + b) where it occurs first; None for a
            linear unit.
        sign: -1 if φ is the negative of that formula, so that φ is nondecreasing.
        between: the numbers between its stages, None for a diagonal; (None,) for a product, so that
            its slope has no upper bound.
        least, most: bounds of φ', None where none is known; see odenet/analyse/slopes.py.
        moved: the multiple of R s + b that was moved from φ to the linear terms, if one was.
        turned: whether what is left of φ, moved (R s + b) - φ, is taken with the other sign.
    """

    stages: tuple[expr.Activation | str, ...]
    row: Row = field(hash=False)
    column: Row = field(hash=False)
    text: str
    argument: expr.Node | None = None
    offset: bool = False
    composed: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)
    formula: expr.Node | None = field(default=None, compare=False, repr=False)
    sign: int = field(default=1, compare=False, repr=False)
    between: tuple[Scalar | None, ...] = ()
    least: Fraction | None = field(default=None, compare=False, repr=False)
    most: Fraction | None = field(default=None, compare=False, repr=False)
    moved: Fraction | None = None
    turned: bool = False

    @property
    def products(self) -> Iterator[tuple[tuple[State, State], Operator]]:
        """L R, by the state of the rate and the state that is read."""
        for i, back in self.column.items():
            yield from (((i, j), back @ read) for j, read in self.row.items())

    @property
    def linear(self) -> bool:
        """Whether φ is the identity."""
        return all(stage == LINEAR for stage in self.stages)

    @property
    def norms(self) -> tuple[str, ...]:
        """The normalisations among its stages, by name."""
        return tuple(stage for stage in self.stages if isinstance(stage, str))

    @property
    def activations(self) -> tuple[expr.Activation, ...]:
        """The activations among its stages, in their order."""
        return tuple(stage for stage in self.stages if isinstance(stage, expr.Activation))


@dataclass(frozen=True)
class System:
    """The dynamics, taken apart.

    Args:
        states: the unknowns, named as their author spelled them.
        units: the activations, equal ones merged.
        linear: (i, j) -> the operator from state j to the rate of i.
        forced: whether a rate has a term that reads no state, outside all units.
        absorbed: units whose slopes are among the linear operators, by the name they have there,
            with the state through which each is read there.
    """

    states: tuple[State, ...]
    units: tuple[Unit, ...]
    linear: dict[tuple[State, State], Operator] = field(hash=False)
    forced: bool
    absorbed: tuple[tuple[str, Unit], ...] = ()

    def with_units(self, units: Iterable[Unit]) -> "System":
        """The system with these units, without those that read or move nothing.

        One that reads nothing, because what it reads cancels, is a forcing.
        """
        moving = [unit for unit in units if any(unit.column.values())]
        live = tuple(unit for unit in moving if unit.row)
        return replace(self, units=live, forced=self.forced or len(live) < len(moving))


def not_monotone(unit: Unit, model: Model) -> expr.Activation | None:
    """The first activation of a unit that is not known to be nondecreasing."""
    for activation in unit.activations:
        row = ACTIVATIONS[activation.name]
        if not row.nondecreasing(*_constants(activation, model)):
            return activation
    return None


def _constants(activation: expr.Activation, model: Model) -> Iterator[Fraction | float]:
    """The values of an activation's constants; nan, which fails every test, for a learned one."""
    for node in activation.constants:
        try:
            yield evaluate(node, model.constants)
        except NotANumber:
            yield nan
