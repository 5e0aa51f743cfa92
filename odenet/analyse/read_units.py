"""Splits the dynamics into units: equal functions are merged, a chain of functions is one unit."""

from dataclasses import dataclass, replace

from odenet.analyse import functions
from odenet.analyse.functions import AffineForm, AppliedFunction, ElementwiseProduct, Function
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import Diagonal, Operator, word_powers
from odenet.analyse.read_formulas import FormulaReader, OutsideTheorems
from odenet.analyse.read_numbers import source_text
from odenet.analyse.units import OperatorsByState, System, Unit
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.norms import NORMS
from odenet.model.typed.program import Model


def read_system(model: Model, reader: FormulaReader, keep_affine: bool = False) -> System:
    """Write the dynamics of a model as s' = L φ(R s + b).

    Args:
        model: the typed program.
        reader: reads its formulas.
        keep_affine: whether linear units are kept as their author wrote them; see
            FormulaReader.normal_form.

    Raises:
        OutsideTheorems: the dynamics are not of that form.
    """
    columns: dict[Function, OperatorsByState] = {}
    linear_terms: dict[tuple[State, State], Operator] = {}
    has_forcing = False
    states: list[State] = []
    for state, rate in model.dynamics.system(order=1).items():
        states.append(reader.spelled_state(state))
        for leaf, operator in reader.normal_form(rate, keep_affine).items():
            if isinstance(leaf, State):
                linear_terms[states[-1], leaf] = operator
            elif isinstance(leaf, Function) and leaf.reads_state:
                columns.setdefault(leaf, {})[states[-1]] = operator
            else:
                has_forcing = True
    chains = _ChainReader(reader, model)
    units = [chains.unit(leaf, column) for leaf, column in columns.items()]
    terms = sorted(linear_terms.items(), key=lambda item: tuple(map(states.index, item[0])))
    return System(tuple(states), (), dict(terms), has_forcing).with_units(units)


@dataclass(frozen=True)
class _Chain:
    """An elementwise function of one affine form of the states, made of one or more stages.

    Args:
        stages: the activations and norms (by name) that it is made of, outermost first.
        sign: 1 if the function is nondecreasing provided that all its activations are, -1 if it
            is then nonincreasing: the product of the signs of the numbers between the stages.
        is_odd: whether the function is odd.
        affine_form: its argument.
        argument: the author's formula for that argument, up to a sign.
        argument_sign: 1 or -1, with affine_form = argument_sign · argument.
        text: the function as a text, with t for its argument.
        stage_factors: see Unit.
    """

    stages: tuple[expr.Activation | str, ...]
    sign: int
    is_odd: bool
    affine_form: AffineForm
    argument: expr.Node
    argument_sign: int
    text: str
    stage_factors: tuple[Scalar | None, ...] = ()


class _ChainReader:
    """Reads activations, norms and chains of them as units."""

    def __init__(self, reader: FormulaReader, model: Model):
        self.reader = reader
        self.model = model
        self.signs = Signs(reader.values, frozenset(reader.nonnegative))

    def unit(self, leaf: Function, column: OperatorsByState) -> Unit:
        """The unit of a function f that enters the rates through `column`, {state: operator}.

        Signs are kept so that φ is nondecreasing and, where it can be, is the author's formula:
          - f = leaf.sign · (the author's formula), since the normal form picks one of f(x), -f(-x);
          - φ = chain.sign · f is nondecreasing, as the theorems require;
          - so φ = formula_sign · (the author's formula). If that is -1 and f is odd, parity_sign is
            -1 too: the unit is φ(-x) in place of φ(x) = -φ(-x), R and L change sign, and
            formula_sign becomes 1.
          - The argument of f is chain.argument_sign · (the author's formula for it).
        `column` multiplies f; L has chain.sign · parity_sign times it.
        """
        chain = self._read_chain(leaf)
        sign = chain.sign * (leaf.sign if isinstance(leaf, AppliedFunction) else 1)
        parity_sign = -1 if sign < 0 and chain.is_odd else 1
        formula_sign = sign * parity_sign
        row = {k: _times_sign(parity_sign, v) for k, v in chain.affine_form if isinstance(k, State)}
        argument = chain.argument
        if chain.argument_sign != parity_sign:
            argument = expr.Sum(((-1, argument),))
        is_single_activation = len(chain.stages) == 1 and not isinstance(chain.stages[0], str)
        function_text = ("-" if chain.sign < 0 else "") + chain.text
        return Unit(
            stages=chain.stages,
            row=row,
            column={s: _times_sign(chain.sign * parity_sign, op) for s, op in column.items()},
            text=("-" if formula_sign < 0 else "") + source_text(leaf.node),
            argument=argument,
            has_offset=any(not isinstance(k, State) for k, _ in chain.affine_form),
            function_text="" if is_single_activation else function_text,
            span=leaf.span if isinstance(leaf, ElementwiseProduct) else leaf.node.span,
            formula=leaf.node,
            formula_sign=formula_sign,
            stage_factors=chain.stage_factors,
        )

    def _read_chain(self, leaf: Function) -> _Chain:
        if isinstance(leaf, ElementwiseProduct):
            return self._product_chain(leaf)
        stage, is_odd = self._outer_stage(leaf)
        inner = functions.inner_functions(dict(leaf.argument))
        if not inner:
            function_text = f"{stage_text(stage, self.reader)}(t)"
            argument = leaf.node.operand
            return _Chain((stage,), 1, is_odd, leaf.argument, argument, leaf.sign, function_text)
        inner_chain, number, sign = self._inner_chain(leaf, inner)
        names = {k: self.reader.leaf_text(k) for k, _ in leaf.argument}
        names[inner[0]] = inner_chain.text
        argument_text = functions.affine_text(leaf.argument, names)
        return replace(
            inner_chain,
            stages=(stage, *inner_chain.stages),
            sign=sign * inner_chain.sign,
            is_odd=is_odd and inner_chain.is_odd and len(leaf.argument) == 1,
            text=f"{stage_text(stage, self.reader)}({argument_text})",
            stage_factors=(number, *inner_chain.stage_factors),
        )

    def _product_chain(self, leaf: ElementwiseProduct) -> _Chain:
        """A product of functions of one form, all >= 0 and all increasing or all decreasing."""
        nonnegative = [f for f, word in leaf.factors if functions.is_nonnegative(f) and not word]
        if len(nonnegative) == len(leaf.factors):
            chains = [self._read_chain(f) for f in nonnegative if isinstance(f, AppliedFunction)]
            first = chains[0]
            if all((c.affine_form, c.sign) == (first.affine_form, first.sign) for c in chains):
                stages = tuple(stage for chain in chains for stage in chain.stages)
                text = " * ".join(chain.text for chain in chains)
                return replace(first, stages=stages, is_odd=False, text=text, stage_factors=(None,))
        raise OutsideTheorems(
            "a product of two fields that both depend on the states has a Jacobian whose sign "
            "changes with the state",
            leaf.span,
        )

    def _outer_stage(self, leaf: AppliedFunction) -> tuple[expr.Activation | str, bool]:
        """The outermost stage of a function, and whether it is odd."""
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
            reason = f"a {kind} norm computes its statistics from the state: no diagonal Jacobian"
            raise OutsideTheorems(reason, span)
        return stage.name, False

    def _inner_chain(
        self, outer: AppliedFunction, inner: list[Function]
    ) -> tuple[_Chain, Scalar | None, int]:
        """The only function inside another, with the factor that multiplies it there.

        Returns:
            Its chain, the factor if it is a number (None if it has diagonals), the factor's sign.
        """
        leaf = inner[0]
        factor = dict(outer.argument)[leaf]
        sign = self._factor_sign(factor)
        has_plain_states = any(isinstance(k, State) for k, _ in outer.argument)
        if len(inner) > 1 or has_plain_states or not sign:
            raise OutsideTheorems(
                "this activation is inside another with more than a number between them: the "
                "Jacobian has two diagonals with an operator between, not one",
                leaf.node.span or outer.node.span,
            )
        return self._read_chain(leaf), factor.scalar, sign

    def _factor_sign(self, factor: Operator) -> int | None:
        """The sign of a number, or of one times diagonals that are >= 0; 0 for 0; None if unknown.

        An operator that is not diagonal has none either.
        """
        if len(factor.terms) != 1:
            return None
        word, number = factor.terms[0]
        powers = word_powers(word)
        sign_is_known = all(p % 2 == 0 or name in self.signs.nonnegative for name, p in powers)
        is_diagonal = all(isinstance(letter, Diagonal) for letter in word)
        return self.signs.sign_of(number) if is_diagonal and sign_is_known else None


def _times_sign(sign: int, operator: Operator) -> Operator:
    return operator if sign > 0 else -operator


def stage_text(stage: expr.Activation | str, reader: FormulaReader) -> str:
    """`tanh`, `leaky_relu(0.1)`, `N`."""
    if isinstance(stage, str):
        return reader.spell(stage)
    constants = ", ".join(map(source_text, stage.constants))
    return f"{stage.name}({constants})" if constants else stage.name
