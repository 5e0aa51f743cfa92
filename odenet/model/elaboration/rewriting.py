"""Formulas of a scheme with other names, another step size, or the step size reversed."""

from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from functools import partial

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind, Node
from odenet.model.expressions.fold import product_of, rebuilt, sum_of

H = expr.Constant("h")
Monomial = tuple[Fraction, dict[str, int]]


def substituted(
    node: Node, numbers: Mapping[str, Node], field: Callable[[Node], Node | None]
) -> Node:
    """A formula with other numbers and fields.

    Args:
        node: the formula.
        numbers: constant -> what is written for it.
        field: what is written for a value, or for a right-hand side whose arguments are done; None
            for the node itself.
    """
    if node.kind is Kind.SCALAR:
        names = {n.name for n in node.walk() if isinstance(n, expr.Constant)}
        changed = any(numbers.get(name, node) != expr.Constant(name) for name in names & {*numbers})
        return tidied(_with_numbers(node, numbers)) if changed else node
    inner = rebuilt(node, partial(substituted, numbers=numbers, field=field))
    return field(inner) or inner


def _with_numbers(node: Node, numbers: Mapping[str, Node]) -> Node:
    if isinstance(node, expr.Constant):
        return numbers.get(node.name, node)
    return rebuilt(node, partial(_with_numbers, numbers=numbers))


# --- numbers -------------------------------------------------------------------------------------


def tidied(node: Node) -> Node:
    """A number with its monomials written as one fraction: `h/4` for `(h/2)/2`."""
    found = _monomial(node)
    return _written(*found) if found else rebuilt(node, tidied)


def _monomial(node: Node) -> Monomial | None:
    """A rational number and powers of constants; None for another form, and for decimals."""
    match node:
        case expr.Number() if "." not in node.text:
            return node.value, {}
        case expr.Constant():
            return Fraction(1), {node.name: 1}
        case expr.Sum(((sign, term),)):
            inner = _monomial(term)
            return None if inner is None else (sign * inner[0], inner[1])
        case expr.Product(left, right):
            return _times(_monomial(left), _monomial(right))
        case expr.Quotient(left, right):
            return _times(_monomial(left), _power(_monomial(right), -1))
        case expr.Power(base, expr.Number(value)) if value.denominator == 1 and abs(value) < 9:
            return _power(_monomial(base), int(value))
        case _:
            return None


def _times(one: Monomial | None, other: Monomial | None) -> Monomial | None:
    if not one or not other:
        return None
    names = dict.fromkeys((*one[1], *other[1]))
    powers = {name: one[1].get(name, 0) + other[1].get(name, 0) for name in names}
    return one[0] * other[0], {name: power for name, power in powers.items() if power}


def _power(one: Monomial | None, power: int) -> Monomial | None:
    if one is None or not one[0]:
        return None
    return one[0] ** power, {name: own * power for name, own in one[1].items()}


def _written(number: Fraction, powers: Mapping[str, int]) -> Node:
    """`2/3 h`, `γ h/2`, `h^2/(6 γ)`; the step size last."""
    if not number:
        return _number(number)
    if number < 0:
        return expr.Sum(((-1, _written(-number, powers)),))
    names = sorted(powers, key=lambda name: name == "h")
    above = [_raised(name, powers[name]) for name in names if powers[name] > 0]
    below = [_raised(name, -powers[name]) for name in names if powers[name] < 0]
    if not above:
        above, number = [_number(Fraction(number.numerator))], number / number.numerator
    if number.numerator != 1:
        above = [_number(number), *above]
    elif number != 1:
        below = [_number(1 / number), *below]
    return expr.Quotient(product_of(above), product_of(below)) if below else product_of(above)


def _number(value: Fraction) -> Node:
    return expr.Number(value, str(value))


def _raised(name: str, power: int) -> Node:
    constant = expr.Constant(name)
    return constant if power == 1 else expr.Power(constant, _number(Fraction(power)))


# --- the step size reversed ----------------------------------------------------------------------


def reversed_time(node: Node, odd: Collection[str] = ()) -> Node:
    """A formula with -h for h, and signs where a reader expects them.

    Args:
        node: the formula.
        odd: names of numbers that change their sign with h.
    """
    sign, found = signed(node, {*odd, "h"})
    return found if sign > 0 else negated(found)


def signed(node: Node, odd: Collection[str]) -> tuple[int, Node]:
    """A formula for -h, as a sign and a formula without it."""
    match node:
        case expr.Constant():
            return (-1 if node.name in odd else 1), node
        case expr.Product(left, right) | expr.Quotient(left, right):
            (a, left), (b, right) = signed(left, odd), signed(right, odd)
            return a * b, type(node)(left, right)
        case expr.Power(base, expr.Number(value)) if value.denominator == 1:
            sign, base = signed(base, odd)
            return sign ** (int(value) % 2), expr.Power(base, node.exponent)
        case expr.Sum(terms):
            parts = [(sign, *signed(term, odd)) for sign, term in terms]
            found = [(sign * own, term) for sign, own, term in parts]
            if all(sign < 0 for sign, _ in found):
                return -1, sum_of([(1, term) for _, term in found])
            return 1, sum_of(found)
        case _:
            return 1, rebuilt(node, partial(reversed_time, odd=odd))


def parity(node: Node, odd: Collection[str]) -> int | None:
    """-1 for a number that changes its sign with h, 1 for one that does not; None for others."""
    (sign, plain), (other, flipped) = signed(node, ()), signed(node, {*odd, "h"})
    return sign * other if plain == flipped else None


def negated(node: Node) -> Node:
    """Minus a formula."""
    return sum_of([(-sign, term) for sign, term in terms_of(node)])


def terms_of(node: Node) -> list[tuple[int, Node]]:
    """The terms of a sum; anything else is one term."""
    return list(node.terms) if isinstance(node, expr.Sum) else [(1, node)]
