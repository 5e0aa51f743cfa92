"""The lines of the inverse step, and the proof that they undo the step."""

from collections.abc import Mapping
from dataclasses import dataclass

import sympy

from odenet.derive import to_expr
from odenet.derive.coefficients import CoefficientField, UnknownPower
from odenet.derive.exact_numbers import to_sympy
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.derive.scheme_notation import SchemeNotation
from odenet.derive.shears import Shear
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.expressions.fold import fold_arithmetic, map_children
from odenet.model.typed.scheme import Scheme, Update


@dataclass(frozen=True)
class ShearPair:
    """One shear and its inverse, as lines of a scheme.

    Args:
        forward: the shear as a line, `Z[n+1] = Z[n] + h G(Y[n+1])`.
        backward: its inverse, `Z[n] = Z[n+1] - h G(Y[n+1])`.
    """

    forward: Update
    backward: Update


def derive_inverse(
    scheme: Scheme, shears: tuple[Shear, ...], relabel: Mapping[Slot, Slot]
) -> tuple[ShearPair, ...]:
    """Each shear with its inverse, the last shear first.

    In each line a register is named after the value it holds at this point: a slot, a stage of the
    scheme, or a stage with a new name.

    Args:
        scheme: the scheme, as parsed.
        shears: the shears of a step, in forward order.
        relabel: register -> the slot whose value it holds after the step, where that is another.
    """
    taken_names = {*scheme.spellings, *scheme.unknowns}
    # register -> the name of the value it holds at this point
    names: dict[Slot, Slot | Stage] = {slot: slot for slot in scheme.slots}
    last_shear = {shear.target: shear for shear in shears}
    # a register may hold for a while a value that at the end of the step another register holds
    in_use: set[Slot | Stage] = {*scheme.slots, *(_name_after(s, relabel) for s in scheme.slots)}
    pairs: list[ShearPair] = []
    for shear in shears:
        before = dict(names)
        if last_shear[shear.target] is shear:
            names[shear.target] = _name_after(shear.target, relabel)
        elif shear.scheme_line and shear.scheme_line.target not in in_use:
            names[shear.target] = shear.scheme_line.target
        else:
            names[shear.target] = _new_stage(shear.target.name, taken_names)
        in_use.add(names[shear.target])
        pairs.append(_shear_pair(shear, before, names[shear.target]))
    for slot in scheme.slots:
        new_name = _name_after(slot, relabel)
        if slot not in last_shear and new_name != slot:
            span = next(u.span for u in scheme.updates if u.target == new_name)
            pairs.append(ShearPair(Update(new_name, slot, span), Update(slot, new_name, span)))
    return tuple(reversed(pairs))


def _name_after(register: Slot, relabel: Mapping[Slot, Slot]) -> Slot:
    """The name of the value that a register holds after the step."""
    slot = relabel.get(register, register)
    return Slot(slot.name, slot.offset + 1)


def _new_stage(name: str, taken_names: set[str]) -> Stage:
    """A stage named after an unknown, such as `Y1`, with a number that is not taken."""
    number = next(n for n in range(1, len(taken_names) + 2) if f"{name}{n}" not in taken_names)
    taken_names.add(f"{name}{number}")
    return Stage(f"{name}{number}")


def _shear_pair(shear: Shear, names: Mapping[Slot, Slot | Stage], new: Slot | Stage) -> ShearPair:
    """A shear and its inverse as lines.

    `names` has the name of the value in each register before the shear, `new` that of the new one.
    """
    span = shear.scheme_line.span if shear.scheme_line else None
    terms: list[tuple[sympy.Expr, Node]] = [(c, names[slot]) for c, slot in shear.linear_terms]
    terms += [(c, to_expr.substitute(rate, names.__getitem__)) for c, rate in shear.rate_terms]
    before = names[shear.target]
    exponents = [to_expr.substitute(node, names.__getitem__) for node in shear.exponents]
    scaled_target = to_expr.scaled(before, exponents)
    forward = to_expr.combination([(1, shear.scale, scaled_target), *((1, c, x) for c, x in terms)])
    sign = 1 if shear.scale != -1 else -1
    one = sympy.Integer(1)
    backward = to_expr.combination([(sign, one, new), *((-sign, c, x) for c, x in terms)])
    if shear.scale not in (1, -1):
        backward = expr.Quotient(backward, to_expr.scalar(shear.scale))
    backward = to_expr.scaled(backward, map(to_expr.negated, exponents))
    return ShearPair(Update(new, forward, span), Update(before, backward, span))


def is_verified(
    scheme: Scheme, shear_pairs: tuple[ShearPair, ...], coeff_field: CoefficientField
) -> bool:
    """Whether the step followed by the lines of the inverse gives back all stored values.

    The lines are read as those of any scheme are, so that what is checked is what is printed.

    Returns:
        False if this cannot be decided: the field does not know that 1/2^(1/3) and 2^(2/3)/2, two
        ways to write an irrational power, are equal.

    Raises:
        AssertionError: a value is not given back, which is a bug.
    """
    algebra = Algebra(coeff_field)
    step = read_step(scheme, algebra)
    values: dict[Node, Form] = {
        Slot(slot.name, slot.offset + 1): form for slot, form in step.new_values.items()
    }
    try:
        algebra.run_lines((pair.backward for pair in shear_pairs), values)
    except UnknownPower:
        return False
    for register in step.registers:
        if values[register] != algebra.form_of(register):
            if coeff_field.has_irrational_power:
                return False
            raise AssertionError(f"the inverse of {scheme.name} does not give back {register}")
    return True


def proof_lines(shear_pairs: tuple[ShearPair, ...], notation: SchemeNotation) -> tuple[str, ...]:
    """For each shear the line `… = 0` that proves its inverse.

    The shear is substituted into its inverse and the old value subtracted. That sympy reduces the
    difference to 0 is checked here.

    Raises:
        AssertionError: a difference is not zero, which is a bug.
    """
    lines: list[str] = []
    for pair in shear_pairs:
        old, new = pair.backward.target, pair.forward.target
        composed = _replace(pair.backward.value, new, pair.forward.value)
        difference = expr.Sum(((1, composed), (-1, old)))
        if sympy.cancel(_opaque(difference, notation)) != 0:
            raise AssertionError(f"{notation.show(difference)} is not zero")
        lines.append(f"{notation.show(difference)} = 0")
    return tuple(lines)


def _replace(node: Node, old: Node, new: Node) -> Node:
    """An expression with a value replaced, except inside right-hand sides and `exp(…)`."""
    if node == old or isinstance(node, expr.Rate | expr.MapCall | expr.ElementwiseExp):
        return new if node == old else node
    return map_children(node, lambda part: _replace(part, old, new))


def _opaque(node: Node, notation: SchemeNotation) -> sympy.Expr:
    """A sympy expression in which stored values and right-hand sides are commuting symbols."""
    match node:
        case expr.Sum() | expr.Product() | expr.Quotient():
            return fold_arithmetic(node, lambda part: _opaque(part, notation), to_sympy)
        case expr.Hadamard():
            return _opaque(node.left, notation) * _opaque(node.right, notation)
        case expr.ElementwiseExp():
            return sympy.exp(_opaque(node.operand, notation))
        case expr.Zero():
            return sympy.Integer(0)
        case _:
            return sympy.Symbol(notation.show(node))
