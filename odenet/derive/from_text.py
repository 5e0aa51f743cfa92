"""From a scheme's text to its derivation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import sympy
from sympy.polys.fields import FracElement

from odenet.derive.coefficients import H, Scalars
from odenet.derive.derivation import Derivation, Number
from odenet.derive.exact_numbers import without_lets
from odenet.derive.inverse import derive_inverse, verified
from odenet.derive.linear_forms import Algebra, read_step
from odenet.derive.obstacle import Obstacle, find_obstacle
from odenet.derive.shears import find_shears
from odenet.derive.solve_backwards import NoInverse
from odenet.derive.text import notation
from odenet.model.typed.scheme import STEP_NUMBER, Scheme, Update


def derive(
    scheme: Scheme,
    values: Mapping[str, Number] | None = None,
    varying: Iterable[str] = (),
) -> Derivation:
    """Derive what a scheme's text implies.

    Args:
        scheme: as parsed.
        values: of its constants and of h where it is used, in place of the defaults.
        varying: those that differ from step to step; the number of the step is one of them.

    Raises:
        SpecError: a line is not a sum of values and right-hand sides, or divides by zero.
    """
    found = _derive(scheme, expand=False)
    if scheme.lets and (found.obstacle or any(_is_zero(scheme, c) for c in found.conditions)):
        # what prevents the inverse may vanish when the `let`s are put in
        found = _derive(scheme, expand=True)
    own = (STEP_NUMBER,) if scheme.uses_step_number else ()
    found = replace(found, varying=tuple(dict.fromkeys((*varying, *own))))
    return replace(found, values=dict(values)) if values else found


def inverse_lines(scheme: Scheme) -> Sequence[Update] | str:
    """The lines of the inverse step, or why there are none."""
    found = derive(scheme)
    return found.obstacle.message if found.obstacle else found.inverse or ()


def _derive(scheme: Scheme, expand: bool) -> Derivation:
    """The derivation with `let`s as symbols of their own, or with their definitions put in."""
    scalars = Scalars(scheme, expand)
    step = read_step(scheme, Algebra(scalars))
    try:
        shears, relabel, divisors = find_shears(step)
    except NoInverse as stuck:
        return Derivation(scheme=scheme, obstacle=find_obstacle(step, stuck, notation(scheme)))
    conditions = _conditions(scheme, scalars, divisors)
    undone, why = (), ""
    if expand and any(_is_zero(scheme, condition) for condition in conditions):
        why = "the inverse divides by 0"
    else:
        undone = derive_inverse(scheme, shears, relabel)
        if not verified(scheme, undone, scalars):
            why = "the inverse divides by an irrational number, and could not be verified"
    if why:
        return Derivation(scheme=scheme, obstacle=Obstacle(why, scheme.slots[0], scheme.span))
    return Derivation(
        scheme=scheme, shears=shears, relabel=relabel, conditions=conditions, _undone=undone
    )


def _conditions(
    scheme: Scheme, scalars: Scalars, divisors: Iterable[FracElement]
) -> tuple[sympy.Expr, ...]:
    """The irreducible factors of what is divided by, without those that are never zero."""
    found: dict[sympy.Expr, None] = {}
    for divisor in divisors:
        for factor, _ in divisor.numer.factor_list()[1]:
            shown = scalars.show(scalars.field(factor))
            never = shown == H or isinstance(shown, sympy.exp)
            if not never and _is_zero(scheme, shown) is not False:
                found[shown] = None
    return tuple(found)


def _is_zero(scheme: Scheme, expression: sympy.Expr) -> bool | None:
    """Whether an expression is 0; None if it depends on h or a constant of the scheme."""
    found = without_lets(expression, scheme)
    return None if found.free_symbols else bool(abs(found.evalf(30)) < 1e-20)
