"""Rewrites formulas of a scheme: substitution, simplified numbers, and -h in place of h."""

from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from functools import partial

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind, Node
from odenet.model.expressions.fold import map_children, product_of, sum_of

H = expr.Constant("h")  # the step size
Monomial = tuple[Fraction, dict[str, int]]  # (factor, name of a constant -> its exponent)


def substitute(
    node: Node, replacements: Mapping[str, Node], replace_field: Callable[[Node], Node | None]
) -> Node:
    """A formula with constants and fields replaced.

    Args:
        node: the formula.
        replacements: constant -> the formula that replaces it.
        replace_field: gives the replacement of a node that is not a number, after its children
            were replaced; None to keep the node.
    """
    if node.kind is Kind.SCALAR:
        names = {n.name for n in node.walk() if isinstance(n, expr.Constant)} & {*replacements}
        changed = any(replacements[name] != expr.Constant(name) for name in names)
        return simplify(_with_constants_replaced(node, replacements)) if changed else node
    new_node = map_children(node, lambda child: substitute(child, replacements, replace_field))
    return replace_field(new_node) or new_node


def _with_constants_replaced(node: Node, replacements: Mapping[str, Node]) -> Node:
    """A scalar formula with constants replaced, not simplified."""
    if isinstance(node, expr.Constant):
        return replacements.get(node.name, node)
    return map_children(node, partial(_with_constants_replaced, replacements=replacements))


# --- numbers -------------------------------------------------------------------------------------


def simplify(node: Node) -> Node:
    """A scalar formula with its monomials written as one fraction: `h/4` for `(h/2)/2`."""
    monomial = _monomial(node)
    return _monomial_formula(*monomial) if monomial else map_children(node, simplify)


def _monomial(node: Node) -> Monomial | None:
    """A formula as a monomial; None for another form, decimal numbers, and exponents above 8."""
    match node:
        case expr.Number() if "." not in node.text:
            return node.value, {}
        case expr.Constant():
            return Fraction(1), {node.name: 1}
        case expr.Sum(((sign, term),)):
            inner = _monomial(term)
            return None if inner is None else (sign * inner[0], inner[1])
        case expr.Product(left, right):
            return _multiply(_monomial(left), _monomial(right))
        case expr.Quotient(left, right):
            return _multiply(_monomial(left), _raise_to(_monomial(right), -1))
        case expr.Power(base, expr.Number(value)) if value.denominator == 1 and abs(value) < 9:
            return _raise_to(_monomial(base), int(value))
        case _:
            return None


def _multiply(left: Monomial | None, right: Monomial | None) -> Monomial | None:
    """The product of two monomials; None if one of them is None."""
    if not left or not right:
        return None
    (factor, powers), (other_factor, other_powers) = left, right
    names = dict.fromkeys((*powers, *other_powers))
    sums = {name: powers.get(name, 0) + other_powers.get(name, 0) for name in names}
    return factor * other_factor, {name: power for name, power in sums.items() if power}


def _raise_to(monomial: Monomial | None, power: int) -> Monomial | None:
    """An integer power of a monomial; None for None, and for powers of zero."""
    factor, powers = monomial or (Fraction(0), {})
    if not factor:
        return None
    return factor**power, {name: exponent * power for name, exponent in powers.items()}


def _monomial_formula(factor: Fraction, powers: Mapping[str, int]) -> Node:
    """The formula of a monomial, such as `2/3 h`, `γ h/2`, `h^2/(6 γ)`; the step size is last."""
    if not factor:
        return _number_node(factor)
    if factor < 0:
        return expr.Sum(((-1, _monomial_formula(-factor, powers)),))
    names = sorted(powers, key=lambda name: name == "h")
    above = [_constant_power(name, powers[name]) for name in names if powers[name] > 0]
    below = [_constant_power(name, -powers[name]) for name in names if powers[name] < 0]
    if not above:
        above, factor = [_number_node(Fraction(factor.numerator))], factor / factor.numerator
    if factor.numerator != 1:
        above = [_number_node(factor), *above]
    elif factor != 1:
        below = [_number_node(1 / factor), *below]
    return expr.Quotient(product_of(above), product_of(below)) if below else product_of(above)


def _number_node(value: Fraction) -> Node:
    return expr.Number(value, str(value))


def _constant_power(name: str, power: int) -> Node:
    constant = expr.Constant(name)
    return constant if power == 1 else expr.Power(constant, _number_node(Fraction(power)))


# --- the step size reversed ----------------------------------------------------------------------


def negate_step(node: Node, odd_names: Collection[str] = ()) -> Node:
    """A formula with -h for h; the signs are moved out of products and quotients.

    Args:
        node: the formula.
        odd_names: the constants that change sign with h.
    """
    sign, unsigned = split_sign(node, {*odd_names, "h"})
    return unsigned if sign > 0 else negate(unsigned)


def split_sign(node: Node, odd_names: Collection[str]) -> tuple[int, Node]:
    """The sign and the rest of a formula in which each constant c of `odd_names` becomes -c.

    With `h` among them, `h/2` gives -1 and `h/2`, and `h^2` gives 1 and `h^2`.
    """
    match node:
        case expr.Constant():
            return (-1 if node.name in odd_names else 1), node
        case expr.Product(left, right) | expr.Quotient(left, right):
            (a, left), (b, right) = split_sign(left, odd_names), split_sign(right, odd_names)
            return a * b, type(node)(left, right)
        case expr.Power(base, expr.Number(value)) if value.denominator == 1:
            sign, base = split_sign(base, odd_names)
            return sign ** (int(value) % 2), expr.Power(base, node.exponent)
        case expr.Sum(terms):
            split_terms = [(sign, *split_sign(term, odd_names)) for sign, term in terms]
            signed_terms = [(sign * term_sign, term) for sign, term_sign, term in split_terms]
            if all(sign < 0 for sign, _ in signed_terms):
                return -1, sum_of([(1, term) for _, term in signed_terms])
            return 1, sum_of(signed_terms)
        case _:
            return 1, map_children(node, partial(negate_step, odd_names=odd_names))


def parity(node: Node, odd_names: Collection[str]) -> int | None:
    """-1 for a scalar formula that is odd in h, 1 for an even one, None for one that is neither.

    Args:
        node: the formula.
        odd_names: the constants that change sign with h.
    """
    plain, flipped = split_sign(node, ()), split_sign(node, {*odd_names, "h"})
    return plain[0] * flipped[0] if plain[1] == flipped[1] else None  # the product of the signs


def negate(node: Node) -> Node:
    """The formula with the opposite sign."""
    return sum_of([(-sign, term) for sign, term in terms_of(node)])


def terms_of(node: Node) -> list[tuple[int, Node]]:
    """The terms of a sum, each with its sign; any other formula is one term with sign +1."""
    return list(node.terms) if isinstance(node, expr.Sum) else [(1, node)]
