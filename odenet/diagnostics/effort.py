"""How much a stage may work out, counted: the same text has the same answer on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MOST_PRODUCTS = 200_000  # in seconds; what people write takes a fiftieth of it


class TooMuch(Exception):
    """A stage came to more products of terms than it may work out."""


_left: ContextVar[int | None] = ContextVar("left", default=None)


@contextmanager
def at_most(products: int) -> Iterator[None]:
    """Inside, `spend` raises TooMuch after that many products of terms."""
    token = _left.set(products)
    try:
        yield
    finally:
        _left.reset(token)


def spend(products: int) -> None:
    """Note work, before it is done.

    Raises:
        TooMuch: it is more than what is left.
    """
    left = _left.get()
    if left is None:
        return
    _left.set(left - products)
    if left < products:
        raise TooMuch
