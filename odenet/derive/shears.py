"""One step as a sequence of shears: the moves that undo it, grouped by the register they change."""

from collections.abc import Iterable
from dataclasses import dataclass

import sympy
from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.linear_forms import Step
from odenet.derive.solve_backwards import Move, StepInverter
from odenet.model.expressions.expr import Node, Rate, Slot
from odenet.model.typed.scheme import Update

Coefficient = sympy.Expr  # of h and the scheme's constants


@dataclass(frozen=True)
class Shear:
    """target <- scale * target + Σ weight * slot + Σ factor * rate.

    Args:
        target: the register that changes.
        scale: α, never zero.
        adds: the terms linear in other registers.
        rates: the right-hand sides that are added; their arguments are registers and linear
            combinations of registers and right-hand sides, none of them the target.
        line: the line of the scheme whose value the register holds afterwards, if one does.
    """

    target: Slot
    scale: Coefficient
    adds: tuple[tuple[Coefficient, Slot], ...]
    rates: tuple[tuple[Coefficient, Rate], ...]
    line: Update | None

    def value(self) -> Node:
        """The right-hand side as an expression of the language."""
        terms: list[tuple[Coefficient, Node]] = [(self.scale, self.target), *self.adds, *self.rates]
        return to_expr.combination((1, factor, what) for factor, what in terms)


def find_shears(step: Step) -> tuple[tuple[Shear, ...], dict[Slot, Slot], tuple[FracElement, ...]]:
    """The shears of a step in forward order.

    Returns:
        The shears; register -> the slot it holds after the step, where that is another one; and the
        numbers that must not be zero.

    Raises:
        NoInverse: the step has no explicit inverse.
    """
    reader = StepInverter(step)
    carried = reader.undo()
    groups = _merge(reversed(reader.moves), reader)
    shears = tuple(_shear(group, carried, reader) for group in groups)
    relabel = {register: slot for slot, register in carried.items() if register != slot}
    divisors = [move.factor.denom for move in reader.moves]
    divisors += [move.factor.numer for move in reader.moves if move.what is None]
    return shears, relabel, tuple(map(step.algebra.scalars.field, divisors))


def _merge(moves: Iterable[Move], reader: StepInverter) -> list[list[Move]]:
    """Moves in groups that make one shear: same target, and nothing between them interferes."""
    groups: list[list[Move]] = []
    for move in moves:
        place = None if move.what is None else _place(move, groups, reader)
        if place is None:
            groups.append([move])
        else:
            groups[place].append(move)
    return groups


def _place(move: Move, groups: list[list[Move]], reader: StepInverter) -> int | None:
    """The last group with the move's target, if the move commutes with all groups after it."""
    for index in reversed(range(len(groups))):
        group = groups[index]
        target = group[0].target
        if target == move.target:
            return index
        if move.reads(target, reader) or any(m.reads(move.target, reader) for m in group):
            return None
    return None


def _shear(moves: list[Move], carried: dict[Slot, Slot], reader: StepInverter) -> Shear:
    show = reader.step.algebra.scalars.show
    scaling = [move for move in moves if move.what is None]
    adds = [(show(m.factor), carried[m.what]) for m in moves if isinstance(m.what, Slot)]
    rates: list[tuple[Coefficient, Rate]] = []
    for move in moves:
        if isinstance(move.what, int):
            rate = to_expr.substitute(reader.rate(move.what, move.rows), carried.__getitem__)
            assert isinstance(rate, Rate)
            rates.append((show(move.factor), rate))
    after = moves[-1].after
    factor = show(scaling[0].factor) if scaling else sympy.Integer(1)
    line = after.update if after else None
    return Shear(carried[moves[0].target], factor, tuple(adds), tuple(rates), line)
