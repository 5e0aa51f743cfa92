"""Methods that are asked the same over and over."""

from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

P = ParamSpec("P")
Answer = TypeVar("Answer")


def remembered(
    method: Callable[Concatenate[Any, P], Answer],
) -> cached_property[Callable[P, Answer]]:
    """A method whose answers are kept with its object, by the arguments, which are hashable."""
    return cached_property(lambda owner: cast("Callable[P, Answer]", cache(partial(method, owner))))
