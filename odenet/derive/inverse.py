"""The equations of the inverse step, and the proof that it undoes the step."""

from collections.abc import Mapping
from dataclasses import dataclass

import sympy

from odenet.derive import to_expr
from odenet.derive.coefficients import Scalars, UnknownPower
from odenet.derive.exact_numbers import to_sympy
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.derive.shears import Shear
from odenet.derive.text import SchemeNotation
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.expressions.fold import fold_arithmetic, map_children
from odenet.model.typed.scheme import Scheme, Update


@dataclass(frozen=True)
class Undo:
    """One shear and its inverse, in the names of the scheme.

    Args:
        forward: the shear as a line, `Z[n+1] = Z[n] + h G(Y[n+1])`.
        backward: its inverse, `Z[n] = Z[n+1] - h G(Y[n+1])`.
    """

    forward: Update
    backward: Update


def derive_inverse(
    scheme: Scheme, shears: tuple[Shear, ...], relabel: Mapping[Slot, Slot]
) -> tuple[Undo, ...]:
    """The shears undone, the last one first.

    A register is called by the value it holds at the time: a slot, a stage of the author's, or a
    stage with a new name.
    """
    taken = {*scheme.spellings, *scheme.unknowns}
    names: dict[Slot, Slot | Stage] = {slot: slot for slot in scheme.slots}
    last = {shear.target: shear for shear in shears}
    # a register may pass through the value of a line that another one holds in the end
    used: set[Slot | Stage] = {*scheme.slots, *(_name_after(s, relabel) for s in scheme.slots)}
    undone: list[Undo] = []
    for shear in shears:
        before = dict(names)
        if last[shear.target] is shear:
            names[shear.target] = _name_after(shear.target, relabel)
        elif shear.line and shear.line.target not in used:
            names[shear.target] = shear.line.target
        else:
            names[shear.target] = _fresh(shear.target.name, taken)
        used.add(names[shear.target])
        undone.append(_undo(shear, before, names[shear.target]))
    for slot in scheme.slots:
        after = _name_after(slot, relabel)
        if slot not in last and after != slot:
            span = next(u.span for u in scheme.updates if u.target == after)
            undone.append(Undo(Update(after, slot, span), Update(slot, after, span)))
    return tuple(reversed(undone))


def _name_after(register: Slot, relabel: Mapping[Slot, Slot]) -> Slot:
    held = relabel.get(register, register)
    return Slot(held.name, held.offset + 1)


def _fresh(name: str, taken: set[str]) -> Stage:
    number = next(n for n in range(1, len(taken) + 2) if f"{name}{n}" not in taken)
    taken.add(f"{name}{number}")
    return Stage(f"{name}{number}")


def _undo(shear: Shear, names: Mapping[Slot, Slot | Stage], after: Slot | Stage) -> Undo:
    span = shear.line.span if shear.line else None
    terms: list[tuple[sympy.Expr, Node]] = [
        *((weight, names[slot]) for weight, slot in shear.adds),
        *((factor, to_expr.substitute(rate, names.__getitem__)) for factor, rate in shear.rates),
    ]
    before = names[shear.target]
    inside = [to_expr.substitute(node, names.__getitem__) for node in shear.exponents]
    scaled = to_expr.scaled(before, inside)
    forward = to_expr.combination([(1, shear.scale, scaled), *((1, c, x) for c, x in terms)])
    sign = 1 if shear.scale != -1 else -1
    one = sympy.Integer(1)
    backward = to_expr.combination([(sign, one, after), *((-sign, c, x) for c, x in terms)])
    if shear.scale not in (1, -1):
        backward = expr.Quotient(backward, to_expr.scalar(shear.scale))
    backward = to_expr.scaled(backward, map(to_expr.negated, inside))
    return Undo(Update(after, forward, span), Update(before, backward, span))


def verified(scheme: Scheme, undone: tuple[Undo, ...], scalars: Scalars) -> bool:
    """Run the step, then the inverse equations, and compare every value with the one it undoes.

    Equations are read back as text of the language is, so that what is checked is what is printed.

    Returns:
        False where that cannot be told: an irrational power that is divided by, 1/2^(1/3), is
        written as another one, 2^(2/3)/2, and the field does not know them to be equal.

    Raises:
        AssertionError: some value does not come back. It would be an error of ours.
    """
    algebra = Algebra(scalars)
    step = read_step(scheme, algebra)
    values: dict[Node, Form] = {
        Slot(slot.name, slot.offset + 1): form for slot, form in step.after.items()
    }
    try:
        algebra.run((undo.backward for undo in undone), values)
    except UnknownPower:
        return False
    for register in step.registers:
        if values[register] != algebra.register(register):
            if scalars.irrational:
                return False
            raise AssertionError(f"the inverse of {scheme.name} does not give back {register}")
    return True


def proof_lines(undone: tuple[Undo, ...], notation: SchemeNotation) -> tuple[str, ...]:
    """Each equation of the inverse, proved.

    The step is put in for the value the equation starts from, the value it should give is
    subtracted, and sympy reduces the difference to 0.

    Raises:
        AssertionError: a difference is not zero. It would be an error of ours.
    """
    lines: list[str] = []
    for undo in undone:
        old, new = undo.backward.target, undo.forward.target
        put_in = _replace(undo.backward.value, new, undo.forward.value)
        difference = expr.Sum(((1, put_in), (-1, old)))
        if sympy.cancel(_opaque(difference, notation)) != 0:
            raise AssertionError(f"{notation.show(difference)} is not zero")
        lines.append(f"{notation.show(difference)} = 0")
    return tuple(lines)


def _replace(node: Node, old: Node, new: Node) -> Node:
    """An expression with its linear occurrences of a value replaced."""
    if node == old or isinstance(node, expr.Rate | expr.MapCall | expr.ElementwiseExp):
        return new if node == old else node
    return map_children(node, lambda part: _replace(part, old, new))


def _opaque(node: Node, notation: SchemeNotation) -> sympy.Expr:
    """A field expression as sympy has it: values and right-hand sides are commuting symbols."""
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
