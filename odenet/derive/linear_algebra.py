"""Linear algebra on forms over the field of coefficients, exact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sympy.polys.fields import FracElement

from odenet.derive.linear_forms import Form, Key, add, scale

Name = TypeVar("Name")
Direction = frozenset[tuple[Key, FracElement]]


@dataclass(frozen=True)
class _Pivot(Generic[Name]):
    """A form reduced by those before it, and the combination of given forms that it is."""

    key: Key
    form: Form
    combination: dict[Name, FracElement]


def express(form: Form, rows: Mapping[Name, Form]) -> dict[Name, FracElement] | None:
    """The coefficients that write a form as a combination of others, None if it is not one.

    Where several combinations do, later rows get 0.
    """
    if not form.keys() <= set[Key]().union(*rows.values()):
        return None
    pivots: list[_Pivot[Name]] = []
    for name, row in rows.items():
        rest, used = _reduce(row, pivots)
        if rest:
            key = min(rest, key=_order)
            factor = rest[key] ** -1
            combination = add(scale(used, -factor), {name: factor})
            pivots.append(_Pivot(key, scale(rest, factor), combination))
    rest, used = _reduce(form, pivots)
    return None if rest else used


def _reduce(form: Form, pivots: list[_Pivot[Name]]) -> tuple[Form, dict[Name, FracElement]]:
    """What is left of a form, and the combination that was taken off."""
    used: dict[Name, FracElement] = {}
    for pivot in pivots:
        if pivot.key in form:
            factor = form[pivot.key]
            form = add(form, pivot.form, -factor)
            used = add(used, pivot.combination, factor)
    return form, used


def direction(form: Form) -> tuple[Direction, FracElement]:
    """A key that is the same for all multiples of a form, and the factor of this one."""
    factor = form[min(form, key=_order)]
    return frozenset(scale(form, factor**-1).items()), factor


def _order(key: Key) -> tuple[int, int] | tuple[int, str, int]:
    """Stored values by name and age, then atoms in the order of the text."""
    return (1, key) if isinstance(key, int) else (0, key.name, key.offset)
