"""The order of accuracy of a scheme whose constants, or step size, differ from step to step."""

import random
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction

from odenet.derive.order import Order, derive_order
from odenet.derive.scheme_notation import scheme_notation
from odenet.model.typed.scheme import Scheme


def varying_order(
    scheme: Scheme, values: Mapping[str, Fraction | float], varying: Collection[str]
) -> Order:
    """The order in terms of the longest step, for almost all values of the varying constants.

    For one-step schemes, which read only the current values of the unknowns, the local error
    depends on the step's own constants, and the order on a non-uniform grid is the same as on a
    uniform one (Hairer, Nørsett & Wanner 1993, Theorem II.3.4). For multistep schemes order
    conditions for equal steps say nothing about unequal ones (ibid., section III.5), and no order
    is derived.

    Args:
        scheme: the scheme.
        values: the values of its constants.
        varying: the names of the constants that differ from step to step; `h` may be among them.
    """
    if not scheme.uses_step_size or scheme.uses_step_number:
        return derive_order(scheme, values)  # it has no order, for the reason given there
    if len(scheme.slots) > len(scheme.patterns):  # a multistep scheme
        names = list(map(scheme_notation(scheme).name, varying))
        differ = f"{' and '.join(names)} {'differs' if len(names) == 1 else 'differ'}"
        reason = f"{differ} from step to step, and steps read more than {_current_values(scheme)}"
        other = "; on an uneven grid they may solve other equations" * ("h" in varying)
        return Order(None, reason + other, not_derived=True)
    return derive_order(scheme, generic_values(scheme, values, varying))


def generic_values(
    scheme: Scheme, values: Mapping[str, Fraction | float], varying: Iterable[str]
) -> dict[str, Fraction | float]:
    """The values, with random ones for the varying constants.

    An identity in these constants that holds at random values almost certainly holds at all.
    """
    rng = random.Random(11)  # any seed, so that the order is always the same
    random_values = {name: Fraction(rng.randint(50, 99), 103) for name in varying if name != "h"}
    return {**values, **random_values}


def _current_values(scheme: Scheme) -> str:
    """The current values of the unknowns, in words: `Y[n] and Z[n]`."""
    notation = scheme_notation(scheme)
    return " and ".join(f"{notation.name(pattern.unknown)}[n]" for pattern in scheme.patterns)
