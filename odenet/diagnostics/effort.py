"""A limit on symbolic computations, counted in products of terms.

Unlike a limit on time, it gives the same answer for a file on every machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MOST_PRODUCTS = 200_000  # take some seconds; typical files need a fiftieth of them


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
        EffortExceeded: if the limit leaves fewer of them.
    """
    remaining = _remaining.get()
    if remaining is None:
        return
    _remaining.set(remaining - products)
    if remaining < products:
        raise EffortExceeded
