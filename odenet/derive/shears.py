"""One step as shears, in the order in which they are taken.

They are the moves that undo the step, in reverse, grouped by the stored value that they change.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import mul

import sympy
from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.linear_forms import Step
from odenet.derive.solve_backwards import Exponent, Move, StepInverter
from odenet.model.expressions.expr import MapCall, Node, Rate, Slot
from odenet.model.typed.scheme import Update

Coefficient = sympy.Expr  # of h and the scheme's constants


@dataclass(frozen=True)
class Shear:
    """target <- exp(Σ exponents) * scale * target + Σ weight * slot + Σ factor * rate.

    Args:
        target: the stored value, or register, that changes.
        exponents: fields of the same kind as the rates, element by element.
        scale: α, never zero.
        adds: the terms linear in other registers.
        rates: the right-hand sides that are added; their arguments are registers and linear
            combinations of registers and right-hand sides, none of them the target.
        line: the line of the scheme whose value the register holds afterwards, if one does.
    """

    target: Slot
    exponents: tuple[Node, ...]
    scale: Coefficient
    adds: tuple[tuple[Coefficient, Slot], ...]
    rates: tuple[tuple[Coefficient, Rate | MapCall], ...]
    line: Update | None

    def value(self) -> Node:
        """The right-hand side as an expression of the language."""
        kept = to_expr.scaled(self.target, self.exponents)
        terms: list[tuple[Coefficient, Node]] = [(self.scale, kept), *self.adds, *self.rates]
        return to_expr.combination((1, factor, what) for factor, what in terms)


def find_shears(step: Step) -> tuple[tuple[Shear, ...], dict[Slot, Slot], tuple[FracElement, ...]]:
    """The shears of a step in forward order.

    Returns:
        The shears; register -> the slot it holds after the step, where that is another one; and the
        numbers that must not be zero.

    Raises:
        NoInverse: the step has no explicit inverse.
    """
    inverter = StepInverter(step)
    carried = inverter.undo()
    groups = _merge(reversed(inverter.moves), inverter)
    shears = tuple(_shear(group, carried, inverter) for group in groups)
    relabel = {register: slot for slot, register in carried.items() if register != slot}
    divisors = [move.factor.denom for move in inverter.moves]
    divisors += [move.factor.numer for move in inverter.moves if move.what is None]
    return shears, relabel, tuple(map(step.algebra.scalars.field, divisors))


def _merge(moves: Iterable[Move], inverter: StepInverter) -> list[list[Move]]:
    """Moves in groups that make one shear: same target, and nothing between them interferes."""
    groups: list[list[Move]] = []
    for move in moves:
        place = (
            _last_scaling(move, groups) if move.scales else _last_commuting(move, groups, inverter)
        )
        if place is None:
            groups.append([move])
        else:
            groups[place].append(move)
    return groups


def _last_scaling(move: Move, groups: list[list[Move]]) -> int | None:
    """The last group if it scales the same target and does nothing else."""
    same = groups and all(m.target == move.target and m.scales for m in groups[-1])
    return len(groups) - 1 if same else None


def _last_commuting(move: Move, groups: list[list[Move]], inverter: StepInverter) -> int | None:
    """The last group with the move's target, if the move commutes with all groups after it."""
    for index in reversed(range(len(groups))):
        group = groups[index]
        target = group[0].target
        if target == move.target:
            return index
        if move.reads(target, inverter) or any(m.reads(move.target, inverter) for m in group):
            return None
    return None


def _shear(moves: list[Move], carried: dict[Slot, Slot], inverter: StepInverter) -> Shear:
    show = inverter.step.algebra.scalars.show
    scaling = [move.factor for move in moves if move.what is None]
    exponents = [inverter.exponent(m.what, m.rows) for m in moves if isinstance(m.what, Exponent)]
    adds = [(show(m.factor), carried[m.what]) for m in moves if isinstance(m.what, Slot)]
    rates: list[tuple[Coefficient, Rate | MapCall]] = []
    for move in moves:
        if isinstance(move.what, int):
            rate = to_expr.substitute(inverter.rate(move.what, move.rows), carried.__getitem__)
            assert isinstance(rate, Rate | MapCall)
            rates.append((show(move.factor), rate))
    after = moves[-1].after
    line = after.update if after else None
    return Shear(
        target=carried[moves[0].target],
        exponents=tuple(to_expr.substitute(node, carried.__getitem__) for node in exponents),
        scale=show(reduce(mul, scaling, inverter.step.algebra.scalars.field.one)),
        adds=tuple(adds),
        rates=tuple(rates),
        line=line,
    )
