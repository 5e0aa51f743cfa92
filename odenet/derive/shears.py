"""One step as a sequence of shears.

A shear changes one stored value, the target: target <- α target + a function of the others. It is
undone by subtracting that function and dividing by α. The shears are made of the terms by which the
step is inverted (`solve_backwards.py`), in reverse order; terms with the same target are joined.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import mul

import sympy
from sympy.polys.fields import FracElement

from odenet.derive import to_expr
from odenet.derive.linear_forms import Step
from odenet.derive.solve_backwards import Exponent, ShearTerm, StepInverter
from odenet.model.expressions.expr import MapCall, Node, Rate, Slot
from odenet.model.typed.scheme import Update

Coefficient = sympy.Expr  # in h and the scheme's constants


@dataclass(frozen=True)
class Shear:
    """target <- exp(Σ exponents) * scale * target + Σ weight * register + Σ factor * rate.

    A register is the memory of one stored value, and named by its slot before the step.

    Args:
        target: the register that changes.
        exponents: expressions whose exponentials multiply the target element by element.
        scale: α, never zero.
        linear_terms: (weight, register) for other registers that are added.
        rate_terms: (factor, right-hand side) for right-hand sides that are added. They are written
            in registers and other right-hand sides, and do not read the target.
        scheme_line: the line of the scheme whose value the register holds afterwards, if any.
    """

    target: Slot
    exponents: tuple[Node, ...]
    scale: Coefficient
    linear_terms: tuple[tuple[Coefficient, Slot], ...]
    rate_terms: tuple[tuple[Coefficient, Rate | MapCall], ...]
    scheme_line: Update | None

    def expression(self) -> Node:
        """The new value of the target, as an expression of the language."""
        scaled_target = to_expr.scaled(self.target, self.exponents)
        terms: list[tuple[Coefficient, Node]] = [(self.scale, scaled_target)]
        terms += [*self.linear_terms, *self.rate_terms]
        return to_expr.combination((1, factor, operand) for factor, operand in terms)


def find_shears(step: Step) -> tuple[tuple[Shear, ...], dict[Slot, Slot], tuple[FracElement, ...]]:
    """The shears of a step in forward order.

    Returns:
        The shears; register -> the slot whose value it holds after the step, where that is
        another; and the numbers by which the shears or their inverses divide.

    Raises:
        NoInverse: the step has no explicit inverse.
    """
    inverter = StepInverter(step)
    register_of = inverter.invert()
    groups = _merge(reversed(inverter.terms), inverter)
    shears = tuple(_shear(group, register_of, inverter) for group in groups)
    relabel = {register: slot for slot, register in register_of.items() if register != slot}
    divisors = [term.factor.denom for term in inverter.terms]
    divisors += [term.factor.numer for term in inverter.terms if term.source is None]
    return shears, relabel, tuple(map(inverter.coeff_field.sympy_field, divisors))


def _merge(terms: Iterable[ShearTerm], inverter: StepInverter) -> list[list[ShearTerm]]:
    """Groups of terms that make one shear: same target, and commuting with all terms in between."""
    groups: list[list[ShearTerm]] = []
    for term in terms:
        index = _matching_group(term, groups, inverter)
        if index is None:
            groups.append([term])
        else:
            groups[index].append(term)
    return groups


def _matching_group(
    term: ShearTerm, groups: list[list[ShearTerm]], inverter: StepInverter
) -> int | None:
    """The index of the last group with the term's target, if it commutes with all later groups.

    A scaling term only fits the very last group, if all terms of that scale the same target.
    """
    if term.is_scaling:
        fits = groups and all(t.target == term.target and t.is_scaling for t in groups[-1])
        return len(groups) - 1 if fits else None
    for index in reversed(range(len(groups))):
        group = groups[index]
        target = group[0].target
        if target == term.target:
            return index
        if term.reads(target, inverter) or any(t.reads(term.target, inverter) for t in group):
            return None
    return None


def _shear(terms: list[ShearTerm], register_of: dict[Slot, Slot], inverter: StepInverter) -> Shear:
    """One shear from its terms, with registers named by their slots before the step."""
    to_sympy = inverter.coeff_field.to_sympy
    scalings = [term.factor for term in terms if term.source is None]
    exponents = [
        inverter.exponent(t.source, t.registers) for t in terms if isinstance(t.source, Exponent)
    ]
    added = [(t.factor, t.source) for t in terms if isinstance(t.source, Slot)]
    rates: list[tuple[Coefficient, Rate | MapCall]] = []
    for term in terms:
        if isinstance(term.source, int):
            found = inverter.rate(term.source, term.registers)
            rate = to_expr.substitute(found, register_of.__getitem__)
            assert isinstance(rate, Rate | MapCall)
            rates.append((to_sympy(term.factor), rate))
    line_after = terms[-1].line_after

    return Shear(
        target=register_of[terms[0].target],
        exponents=tuple(to_expr.substitute(node, register_of.__getitem__) for node in exponents),
        scale=to_sympy(reduce(mul, scalings, inverter.coeff_field.sympy_field.one)),
        linear_terms=tuple((to_sympy(factor), register_of[slot]) for factor, slot in added),
        rate_terms=tuple(rates),
        scheme_line=line_after.update if line_after else None,
    )
