"""JSON without NaN and Infinity, which Python writes by default and the standard excludes."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def to_json(
    value: Any, indent: int | None = None, unknown: Callable[[Any], Any] | None = None
) -> str:
    """A value as JSON text; a number that is not finite becomes null.

    Args:
        value: texts, numbers, truth values, None, and lists and mappings of these.
        indent: spaces per level; None for a single line.
        unknown: converts a value of another type to one of these; without it, TypeError is raised.
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False, default=unknown)


def from_json(text: str) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: if it is not JSON; NaN and Infinity are not.
    """
    return json.loads(text, parse_constant=_refuse)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: _finite(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_finite(entry) for entry in value]
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
