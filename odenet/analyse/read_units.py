"""Takes the dynamics apart into units: equal functions merged, chains of functions as one."""

from dataclasses import dataclass, replace

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
from odenet.analyse.operator_algebra import Diagonal, Operator, powers
from odenet.analyse.read_formulas import FormulaReader, OutsideTheorems
from odenet.analyse.read_numbers import text_of
from odenet.analyse.units import Row, System, Unit
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.norms import NORMS
from odenet.model.typed.program import Model


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
    forced = False
    states: list[State] = []
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
    """A function of the states as a function of one affine form of them, elementwise.

    Args:
        stages: see Unit.
        sign: 1 if it never decreases in the form, -1 if it never increases.
        odd: whether it is odd in the form.
        form: the form.
        argument: the author's formula of it, up to a sign.
        argument_sign: that sign.
        text: the function of t.
        between: see Unit.
    """

    stages: tuple[expr.Activation | str, ...]
    sign: int
    odd: bool
    form: Affine
    argument: expr.Node
    argument_sign: int
    text: str
    between: tuple[Scalar | None, ...] = ()


class _Chains:
    """Reads activations, norms and chains of them."""

    def __init__(self, reader: FormulaReader, model: Model):
        self.reader = reader
        self.model = model
        self.signs = Signs(reader.values, frozenset(reader.nonnegative))

    def unit(self, leaf: Applied | Times, column: Row) -> Unit:
        """The unit of a function that enters the rates through `column`, {state: operator}.

        φ is chain.sign times the function, so that it never decreases. The normal form may have
        turned the sign of what the author wrote: where φ is odd, R and L are turned back with it.
        """
        chain = self._chain(leaf)
        sign = chain.sign * (leaf.sign if isinstance(leaf, Applied) else 1)
        flip = -1 if sign < 0 and chain.odd else 1
        row = {k: _signed(flip, v) for k, v in chain.form if isinstance(k, State)}
        argument = chain.argument
        if chain.argument_sign != flip:
            argument = expr.Sum(((-1, argument),))
        single = len(chain.stages) == 1 and not isinstance(chain.stages[0], str)
        return Unit(
            stages=chain.stages,
            row=row,
            column={
                state: _signed(chain.sign * flip, operator) for state, operator in column.items()
            },
            text=("-" if sign * flip < 0 else "") + text_of(leaf.node),
            argument=argument,
            offset=any(not isinstance(k, State) for k, _ in chain.form),
            composed="" if single else ("-" if chain.sign < 0 else "") + chain.text,
            span=leaf.span if isinstance(leaf, Times) else leaf.node.span,
            formula=leaf.node,
            sign=sign * flip,
            between=chain.between,
        )

    def _chain(self, leaf: Applied | Times) -> _Chain:
        if isinstance(leaf, Times):
            return self._product(leaf)
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

    def _product(self, leaf: Times) -> _Chain:
        """A product of functions of one form, all >= 0 and all rising or all falling."""
        nonnegative = [inner for inner, word in leaf.factors if never_negative(inner) and not word]
        if len(nonnegative) == len(leaf.factors):
            chains = [self._chain(inner) for inner in nonnegative if isinstance(inner, Applied)]
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
        beside = any(isinstance(k, State) for k, _ in outer.argument)
        if len(inner) > 1 or beside or not sign:
            raise OutsideTheorems(
                "this activation is inside another with more than a number between them: the "
                "Jacobian has two diagonals with an operator between, not one",
                leaf.node.span or outer.node.span,
            )
        return self._chain(leaf), factor.scalar, sign

    def _sign(self, factor: Operator) -> int | None:
        """The sign of a number, or of one times a diagonal that is never negative."""
        if len(factor.terms) != 1:
            return None
        word, number = factor.terms[0]
        known = all(p % 2 == 0 or name in self.signs.assumed for name, p in powers(word))
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
