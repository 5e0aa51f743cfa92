"""The dynamics as s' = L φ(R s + b): which units φ there are, what they read and where they go.

A unit is an activation of an affine function of the states. Frozen batch norms, biases and numbers
between activations act on each value by itself, so a chain of them, `relu(N(tanh(K Y) + b))`, is
one unit. What stands in the right-hand sides without an activation is kept apart, as operators from
state to state; odenet/analyse/factorisations.py makes units of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from odenet.analyse.functions import (
    Affine,
    Applied,
    Leaf,
    Times,
    affine_text,
    never_negative,
    reads_state,
)
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import Diagonal, Operator
from odenet.analyse.read_formulas import LINEAR, FormulaReader, OutsideTheorems
from odenet.analyse.read_numbers import text_of
from odenet.diagnostics import Span
from odenet.model import expr
from odenet.model.activations import ACTIVATIONS
from odenet.model.expr import State
from odenet.model.norms import NORMS
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
        composed: φ(t) as a text, `relu(-2 tanh(t) + b)`, unless it is one activation of t.
        formula: the author's formula that gives φ(R s + b) where it occurs first; None for a
            linear unit.
        sign: -1 if φ is the negative of that formula, so that φ is nondecreasing.
        between: the numbers between its stages, None for a diagonal.
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
    def linear(self) -> bool:
        """Whether φ is the identity."""
        return all(stage == LINEAR for stage in self.stages)

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
        units: the activations, equal ones merged.
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
    columns: dict[Applied | Times, Row] = {}
    linear: dict[tuple[State, State], Operator] = {}
    forced, states = False, []
    for rated, rate in model.dynamics.system(1).items():
        states.append(reader.state(rated))
        for leaf, operator in reader.form(rate, whole).items():
            if isinstance(leaf, State):
                linear[states[-1], leaf] = operator
            elif isinstance(leaf, Applied | Times) and leaf.reads_state:
                columns.setdefault(leaf, {})[states[-1]] = operator
            else:
                forced = True
    chains = _Chains(reader, model)
    units = [chains.unit(leaf, column) for leaf, column in columns.items()]
    linear = dict(sorted(linear.items(), key=lambda item: tuple(map(states.index, item[0]))))
    return System(tuple(states), (), linear, forced).with_units(units)


@dataclass(frozen=True)
class _Chain:
    """A function of the states as a function of one affine form of them, value by value.

    Args:
        stages: see Unit.
        sign: 1 if it never decreases in the form, -1 if it never increases.
        odd: whether it is odd in the form.
        form: the form.
        argument: the author's formula of it, up to a sign.
        argued: that sign.
        text: the function of t.
        between: see Unit.
    """

    stages: tuple[expr.Activation | str, ...]
    sign: int
    odd: bool
    form: Affine
    argument: expr.Node
    argued: int
    text: str
    between: tuple[Scalar | None, ...] = ()


class _Chains:
    """Reads activations, norms and chains of them."""

    def __init__(self, reader: FormulaReader, model: Model):
        self.reader = reader
        self.model = model
        self.signs = Signs(reader.values, frozenset(reader.nonnegative))

    def unit(self, leaf: Applied | Times, column: Row) -> Unit:
        """The unit of a function that stands in the rates behind some operators.

        φ is chain.sign times the function, so that it never decreases. The normal form may have
        turned the sign of what the author wrote: where φ is odd, R and L are turned back with it.
        """
        chain = self._chain(leaf)
        sign = chain.sign * (leaf.sign if isinstance(leaf, Applied) else 1)
        turn = -1 if sign < 0 and chain.odd else 1
        row = {k: _signed(turn, v) for k, v in chain.form if isinstance(k, State)}
        argument = chain.argument
        if chain.argued != turn:
            argument = expr.Sum(((-1, argument),))
        plain = len(chain.stages) == 1 and not isinstance(chain.stages[0], str)
        return Unit(
            chain.stages,
            row,
            {state: _signed(chain.sign * turn, operator) for state, operator in column.items()},
            ("-" if sign * turn < 0 else "") + text_of(leaf.node),
            argument,
            any(not isinstance(k, State) for k, _ in chain.form),
            "" if plain else ("-" if chain.sign < 0 else "") + chain.text,
            leaf.span if isinstance(leaf, Times) else leaf.node.span,
            leaf.node,
            sign * turn,
            chain.between,
        )

    def _chain(self, leaf: Applied | Times) -> _Chain:
        if isinstance(leaf, Times):
            return self._power(leaf)
        stage, odd = self._stage(leaf)
        inner = [k for k, _ in leaf.argument if reads_state(k) and not isinstance(k, State)]
        if not inner:
            name = f"{stage_text(stage, self.reader)}(t)"
            node = leaf.node.operand
            return _Chain((stage,), 1, odd, leaf.argument, node, leaf.sign, name)
        below, number, sign = self._inner(leaf, inner)
        names = {leaf_: self.reader.leaf_text(leaf_) for leaf_, _ in leaf.argument}
        inside = affine_text(leaf.argument, names | {inner[0]: below.text})
        return replace(
            below,
            stages=(stage, *below.stages),
            sign=sign * below.sign,
            odd=odd and below.odd and len(leaf.argument) == 1,
            text=f"{stage_text(stage, self.reader)}({inside})",
            between=(number, *below.between),
        )

    def _power(self, leaf: Times) -> _Chain:
        """A product of functions of one form, all >= 0 and all rising or all falling."""
        plain = [inner for inner, word in leaf.factors if never_negative(inner) and not word]
        if len(plain) == len(leaf.factors):
            chains = [self._chain(inner) for inner in plain if isinstance(inner, Applied)]
            first = chains[0]
            if all((c.form, c.sign) == (first.form, first.sign) for c in chains):
                stages = tuple(stage for chain in chains for stage in chain.stages)
                text = " * ".join(chain.text for chain in chains)
                return replace(first, stages=stages, odd=False, text=text, between=(None,))
        raise OutsideTheorems(
            "a product of two fields that both depend on the states has a Jacobian whose sign "
            "changes with the state",
            leaf.span,
        )

    def _stage(self, leaf: Applied) -> tuple[expr.Activation | str, bool]:
        """What is applied, and whether it is odd."""
        stage, span = leaf.stage, leaf.node.span
        if isinstance(stage, expr.Activation):
            return stage, ACTIVATIONS[stage.name].odd
        if stage.name in self.model.maps:
            raise OutsideTheorems(
                f"the map `{self.reader.spell(stage.name)}` is opaque: none of its operators has "
                "its adjoint beside it, so nothing cancels",
                span,
            )
        kind = self.model.parameters[stage.name].options["kind"]
        if not NORMS[kind].pointwise:
            raise OutsideTheorems(
                f"a {kind} norm computes its statistics from the state: no diagonal Jacobian", span
            )
        return stage.name, False

    def _inner(self, outer: Applied, inner: list[Leaf]) -> tuple[_Chain, Scalar | None, int]:
        """The one function inside another, the number between them and the sign of the factor."""
        leaf = inner[0]
        assert isinstance(leaf, Applied | Times)
        factor = dict(outer.argument)[leaf]
        sign = self._sign(factor)
        states = any(isinstance(k, State) for k, _ in outer.argument)
        if len(inner) > 1 or states or not sign:
            raise OutsideTheorems(
                "this activation stands inside another with more than a number between them: the "
                "Jacobian has two diagonals with an operator between, not one",
                leaf.node.span or outer.node.span,
            )
        return self._chain(leaf), factor.scalar, sign

    def _sign(self, factor: Operator) -> int | None:
        """The sign of a number, or of one times a diagonal that is never negative."""
        if len(factor.terms) != 1:
            return None
        word, number = factor.terms[0]
        powers = [p for letter in word if isinstance(letter, Diagonal) for p in letter.powers]
        known = all(power % 2 == 0 or name in self.signs.assumed for name, power in powers)
        diagonal = all(isinstance(letter, Diagonal) for letter in word)
        return self.signs.of(number) if diagonal and known else None


def _signed(sign: int, operator: Operator) -> Operator:
    return operator if sign > 0 else -operator


def stage_text(stage: expr.Activation | str, reader: FormulaReader) -> str:
    """`tanh`, `leaky_relu(0.1)`, `N`."""
    if isinstance(stage, str):
        return reader.spell(stage)
    constants = ", ".join(map(text_of, stage.constants))
    return f"{stage.name}({constants})" if constants else stage.name


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
