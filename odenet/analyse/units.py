"""The dynamics as s' = L φ(R s + b): which units φ there are, what they read and where they go.

A unit is an activation of an affine function of the states. Frozen batch norms, biases and numbers
between activations act on each value by itself, so a chain of them, `relu(N(tanh(K Y) + b))`, is
one unit. What stands in the right-hand sides without an activation is kept apart, as operators from
state to state; odenet/analyse/factorisations.py makes units of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from odenet.analyse.laurent import Signs
from odenet.analyse.operator_algebra import NOTHING, Operator
from odenet.analyse.read_formulas import Form, FormulaReader, OutsideTheorems, reads_state
from odenet.diagnostics import Span
from odenet.model import expr
from odenet.model.activations import ACTIVATIONS
from odenet.model.expr import State
from odenet.model.numbers import NotANumber, evaluate
from odenet.model.program import Model

Row = dict[State, Operator]


@dataclass(frozen=True)
class Unit:
    """One φ of s' = L φ(R s + b).

    Args:
        stages: what is applied to R s + b, outermost first: activations and the names of norms;
            none for the identity.
        row: R, the operator on each state it reads.
        column: L, the operator to each rate it stands in.
        text: how the author wrote it.
        argument: R s + b as a formula, None where no formula for it stands in the file.
        offset: whether there is a b.
        exact: whether the stages follow each other directly, without numbers or biases between.
        formula: the author's formula that gives φ(R s + b) where it occurs first; None for a
            linear unit.
        sign: -1 if φ is the negative of that formula, so that φ is nondecreasing.
    """

    stages: tuple[expr.Activation | str, ...]
    row: Row = field(hash=False)
    column: Row = field(hash=False)
    text: str
    argument: expr.Node | None = None
    offset: bool = False
    exact: bool = True
    span: Span | None = field(default=None, compare=False, repr=False)
    formula: expr.Node | None = field(default=None, compare=False, repr=False)
    sign: int = field(default=1, compare=False, repr=False)

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms in it."""
        return tuple(stage for stage in self.stages if isinstance(stage, str))

    @property
    def activations(self) -> tuple[expr.Activation, ...]:
        """The activations in it."""
        return tuple(stage for stage in self.stages if isinstance(stage, expr.Activation))


@dataclass(frozen=True)
class System:
    """The dynamics, taken apart.

    Args:
        states: the unknowns, named as their author spelled them.
        units: the activations, in the order of the text, equal ones merged.
        linear: (i, j) -> the operator from state j to the rate of i.
        forced: whether a rate has a term that reads no state, outside all units.
        absorbed: units whose slopes stand among the linear operators, by the name they have there,
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


def read_system(model: Model, reader: FormulaReader, whole: bool = False) -> System:
    """Take the dynamics apart.

    Args:
        model: the typed program.
        reader: reads its formulas.
        whole: whether linear units are kept as their author wrote them; see FormulaReader.form.

    Raises:
        OutsideTheorems: they are not of the form s' = L φ(R s + b).
    """
    rates = model.dynamics.system(1)
    units: dict[object, Unit] = {}
    columns: dict[object, Row] = {}
    linear: dict[tuple[State, State], Operator] = {}
    forced = False
    for rated, rate in rates.items():
        state = reader.state(rated)
        for leaf, operator in reader.form(rate, whole).items():
            if isinstance(leaf, State):
                linear[state, reader.state(leaf)] = operator
            elif not reads_state(leaf):
                forced = True
            else:
                sign, key, unit = _Chain(reader, model).read(leaf)
                units.setdefault(key, unit)
                column = columns.setdefault(key, {})
                column[state] = column.get(state, NOTHING) + (operator if sign > 0 else -operator)
    found = [replace(unit, column=columns[key]) for key, unit in units.items()]
    return System(tuple(map(reader.state, rates)), (), linear, forced).with_units(found)


class _Chain:
    """Reads an activation, norm or chain of them."""

    def __init__(self, reader: FormulaReader, model: Model):
        self.reader = reader
        self.model = model
        self.signs = Signs(reader.values)

    def read(self, leaf: expr.Node) -> tuple[int, object, Unit]:
        """The unit, a key that equal units share, and -1 if its φ is the negative."""
        stages: list[expr.Activation | str] = []
        between: list[object] = []
        sign, node, argument = 1, leaf, leaf
        while isinstance(node, expr.Activate | expr.Call):
            stages.append(self._stage(node))
            argument = node.operand
            form = self.reader.form(node.operand)
            inner = [k for k in form if reads_state(k) and not isinstance(k, State)]
            if not inner:
                break
            node, factor = self._inner(node, inner, form)
            sign *= factor
            offsets = frozenset((k, v) for k, v in form.items() if k != node)
            if offsets or form[node].scalar is None or str(form[node]) != "I":
                between.append((str(form[node]), offsets))
        row = {self.reader.state(k): v for k, v in form.items() if isinstance(k, State)}
        offset = {k: v for k, v in form.items() if not isinstance(k, State)}
        key = (*stages, *between, frozenset(row.items()), frozenset(offset.items()))
        text = " ".join(leaf.span.text.split()).replace("^T", "ᵀ") if leaf.span else "?"
        return sign, key, Unit(
            tuple(stages), row, {}, text, argument, bool(offset), not between, leaf.span, leaf, sign
        )  # fmt: skip

    def _stage(self, node: expr.Activate | expr.Call) -> expr.Activation | str:
        if isinstance(node, expr.Activate):
            return node.activation
        name = node.function.name
        if name in self.model.maps:
            raise OutsideTheorems(
                f"the map `{self.reader.spell(name)}` is opaque: none of its operators has its "
                "adjoint beside it, so nothing cancels",
                node.span,
            )
        kind = self.model.parameters[name].options["kind"]
        if kind != "batch":
            raise OutsideTheorems(
                f"a {kind} norm computes its statistics from the state: no diagonal Jacobian",
                node.span,
            )
        return name

    def _inner(self, outer: expr.Node, inner: list[expr.Node], form: Form) -> tuple[expr.Node, int]:
        """The one activation inside another, and the sign of the number between them."""
        states = [k for k in form if isinstance(k, State)]
        number = form[inner[0]].scalar
        sign = self.signs.of(number) if number is not None else None
        if len(inner) == 1 and not states and sign:
            return inner[0], sign
        span = inner[0].span
        raise OutsideTheorems(
            "this activation stands inside another with more than a number between them: the "
            "Jacobian has two diagonals with an operator between, not one",
            span or outer.span,
        )


def not_monotone(unit: Unit, model: Model) -> expr.Activation | None:
    """The first activation of a unit that is not known to be nondecreasing."""
    for activation in unit.activations:
        row = ACTIVATIONS[activation.name]
        if not row.nondecreasing(*_constants(activation, model)):
            return activation
    return None


def _constants(activation: expr.Activation, model: Model) -> Iterator[float]:
    """The values of an activation's constants; nan, which fails every test, for a learned one."""
    for node in activation.constants:
        try:
            value = evaluate(node, model.constants)
        except NotANumber:
            value = float("nan")
        yield value  # type: ignore[misc]
