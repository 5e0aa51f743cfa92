"""A limit on symbolic computations, which multiply out sums: it counts the products of terms.

Unlike a limit on time, it gives the same answer for a file on every machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MAX_PRODUCTS = 200_000  # a few seconds of work; typical files need a fiftieth


class EffortExceeded(Exception):
    """Raised where a computation needs more products of terms than its limit."""


_remaining: ContextVar[int | None] = ContextVar("remaining", default=None)


@contextmanager
def effort_limit(products: int) -> Iterator[None]:
    """A context in which `spend` raises EffortExceeded after that many products of terms."""
    token = _remaining.set(products)
    try:
        yield
    finally:
        _remaining.reset(token)


def spend(products: int) -> None:
    """Count products of terms, before they are computed; without a limit nothing is counted.

    Raises:
        EffortExceeded: if this exceeds the limit, together with the products counted before.
    """
    remaining = _remaining.get()
    if remaining is None:
        return
    _remaining.set(remaining - products)
    if remaining < products:
        raise EffortExceeded
