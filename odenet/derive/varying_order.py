"""The order of accuracy of a scheme whose constants differ from step to step."""

import random
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction

from odenet.derive.order import Order, derive_order
from odenet.derive.text import notation
from odenet.model.typed.scheme import Scheme


def varying_order(
    scheme: Scheme, values: Mapping[str, Fraction | float], varying: Collection[str]
) -> Order:
    """The order, for the longest step, at almost all values of what differs from step to step.

    A step that begins from nothing but the unknowns at its own time has an error of its own
    constants, and the order on an uneven grid is that on an even one (Hairer, Norsett & Wanner
    1993, Theorem II.3.4). Where a step reads what earlier ones left behind, conditions that hold
    for equal steps say nothing of unequal ones (ibid., section III.5).

    Args:
        scheme: as parsed.
        values: of its constants.
        varying: those that differ, h among them.
    """
    if not scheme.uses_step_size or scheme.uses_step_number:
        return derive_order(scheme, values)
    if len(scheme.slots) > len(scheme.patterns):
        names = list(map(notation(scheme).name, varying))
        differ = f"{' and '.join(names)} {'differs' if len(names) == 1 else 'differ'}"
        reason = f"{differ} from step to step, and steps read more than {_now(scheme)}"
        other = "; on an uneven grid they may solve other equations" * ("h" in varying)
        return Order(None, reason + other, underived=True)
    return derive_order(scheme, generic(scheme, values, varying))


def generic(
    scheme: Scheme, values: Mapping[str, Fraction | float], varying: Iterable[str]
) -> dict[str, Fraction | float]:
    """Values at which what holds does so for all values of what differs, almost certainly."""
    draws = random.Random(11)
    drawn = {name: Fraction(draws.randint(50, 99), 103) for name in varying if name != "h"}
    return {**values, **drawn}


def _now(scheme: Scheme) -> str:
    shown = notation(scheme)
    return " and ".join(f"{shown.name(pattern.variable)}[n]" for pattern in scheme.patterns)
