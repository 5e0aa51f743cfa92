"""The derivation of a scheme from its text: `derive`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import sympy
from sympy.polys.fields import FracElement

from odenet.derive.coefficients import CoefficientField, H
from odenet.derive.derivation import Derivation, Number
from odenet.derive.exact_numbers import expand_lets
from odenet.derive.inverse import derive_inverse, is_verified
from odenet.derive.linear_forms import Algebra, read_step
from odenet.derive.obstacle import Obstacle, find_obstacle
from odenet.derive.scheme_notation import scheme_notation
from odenet.derive.shears import find_shears
from odenet.derive.solve_backwards import NoInverse
from odenet.model.typed.scheme import STEP_NUMBER, Scheme, Update


def derive(
    scheme: Scheme, values: Mapping[str, Number] | None = None, varying: Iterable[str] = ()
) -> Derivation:
    """The derivation of a scheme.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants and of h, in place of the defaults.
        varying: the constants that differ from step to step. The number of the step is added to
            them if the scheme reads it.

    Raises:
        SpecError: a line is not a sum of values and right-hand sides, or divides by zero.
    """
    result = _derive(scheme, lets_expanded=False)
    if scheme.lets and (result.obstacle or any(_is_zero(scheme, c) for c in result.conditions)):
        # what prevents the inverse may vanish when the `let`s are put in
        result = _derive(scheme, lets_expanded=True)
    step_number = (STEP_NUMBER,) if scheme.uses_step_number else ()
    result = replace(result, varying=tuple(dict.fromkeys((*varying, *step_number))))
    return replace(result, values=dict(values)) if values else result


def inverse_lines(scheme: Scheme) -> Sequence[Update] | str:
    """The lines of the inverse step, or why there are none."""
    found = derive(scheme)
    return found.obstacle.message if found.obstacle else found.inverse or ()


def _derive(scheme: Scheme, lets_expanded: bool) -> Derivation:
    """The derivation with each `let` as a symbol, or with the `let`s expanded."""
    coeff_field = CoefficientField(scheme, lets_expanded)
    step = read_step(scheme, Algebra(coeff_field))
    try:
        shears, relabel, divisors = find_shears(step)
    except NoInverse as failure:
        obstacle = find_obstacle(step, failure, scheme_notation(scheme))
        return Derivation(scheme=scheme, obstacle=obstacle)
    conditions = _conditions(scheme, coeff_field, divisors)
    pairs, why = (), ""
    if lets_expanded and any(_is_zero(scheme, condition) for condition in conditions):
        why = "the inverse divides by 0"
    else:
        pairs = derive_inverse(scheme, shears, relabel)
        if not is_verified(scheme, pairs, coeff_field):
            why = "the inverse divides by an irrational number, and could not be verified"
    if why:
        return Derivation(scheme=scheme, obstacle=Obstacle(why, scheme.slots[0], scheme.span))
    return Derivation(
        scheme=scheme, shears=shears, relabel=relabel, conditions=conditions, _shear_pairs=pairs
    )


def _conditions(
    scheme: Scheme, coeff_field: CoefficientField, divisors: Iterable[FracElement]
) -> tuple[sympy.Expr, ...]:
    """The irreducible factors of the divisors, without those that are never zero."""
    conditions: dict[sympy.Expr, None] = {}
    for divisor in divisors:
        for factor, _ in divisor.numer.factor_list()[1]:
            expression = coeff_field.to_sympy(coeff_field.sympy_field(factor))
            never_zero = expression == H or isinstance(expression, sympy.exp)
            if not never_zero and _is_zero(scheme, expression) is not False:
                conditions[expression] = None
    return tuple(conditions)


def _is_zero(scheme: Scheme, expression: sympy.Expr) -> bool | None:
    """Whether an expression is 0; None if it depends on h or a constant of the scheme."""
    value = expand_lets(expression, scheme)
    return None if value.free_symbols else bool(abs(value.evalf(30)) < 1e-20)
