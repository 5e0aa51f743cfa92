"""A decorator for methods whose results are cached with their object."""

from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

P = ParamSpec("P")
Result = TypeVar("Result")


def cached_method(
    method: Callable[Concatenate[Any, P], Result],
) -> cached_property[Callable[P, Result]]:
    """The method with a cache, one for each object; its arguments have to be hashable."""
    return cached_property(lambda owner: cast("Callable[P, Result]", cache(partial(method, owner))))
