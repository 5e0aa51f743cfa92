"""Plain values, as files hold them, checked against a dataclass before anything uses them."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
TYPE_NAMES: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "null",
    Any: "a value",
}
MAX_SHOWN = 40  # characters of a value in a message


class Mismatch(ValueError):
    """What a file holds is not what it should hold; says which entry, and what it is."""


def read_as(kind: type[T], found: object, name: str = "") -> T:
    """A dataclass from a mapping of its fields.

    Args:
        kind: a dataclass whose fields are texts, numbers, truth values, sequences or mappings of
            these, unions, or dataclasses.
        found: what a file holds.
        name: of the entry that holds it, in messages.

    Raises:
        Mismatch: an entry is missing, unknown, or of another kind.
    """
    if not isinstance(found, Mapping):
        what = f"`{name}`" if name else "its content"
        raise Mismatch(f"{what} is {_show_value(found)}, not a mapping")
    prefix = f"{name}." if name else ""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    for key in found:
        if key not in known:
            raise Mismatch(f"it has an entry `{prefix}{key}`, which this version does not know")
    for key, field in known.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if required and key not in found:
            raise Mismatch(f"`{prefix}{key}` is missing")
    return kind(**{key: _checked_value(hints[key], found[key], f"{prefix}{key}") for key in found})


def _checked_value(kind: Any, found: Any, name: str) -> Any:
    """A value of a kind; a sequence becomes a tuple."""
    if is_dataclass(kind):
        return read_as(kind, found, name)  # pyright: ignore[reportArgumentType]
    if not _matches(kind, found):
        raise Mismatch(f"`{name}` is {_show_value(found)}, not {_type_name(kind)}")
    arguments = [kind for kind in get_args(kind) if kind is not Ellipsis]
    match get_origin(kind):
        case origin if origin in (Sequence, tuple):
            return tuple(
                _checked_value(arguments[0], entry, f"{name}[{i}]") for i, entry in enumerate(found)
            )
        case origin if origin is Mapping:
            return {key: _checked_value(arguments[1], found[key], f"{name}.{key}") for key in found}
    return found


def _matches(kind: Any, found: Any) -> bool:
    """Whether a value is of a kind, its entries apart."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_matches(one, found) for one in get_args(kind))
    if origin in (Sequence, tuple):
        return isinstance(found, list | tuple)
    if origin is Mapping:
        return isinstance(found, Mapping) and all(isinstance(key, str) for key in found)
    if isinstance(found, bool):
        return kind is bool
    return isinstance(found, int | float) if kind is float else isinstance(found, kind)


def _type_name(kind: Any) -> str:
    """A kind as a message names it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_type_name(one) for one in arguments)
    if origin in (Sequence, tuple):
        return f"a list, each entry {_type_name(arguments[0])}"
    if origin is Mapping:
        return "a mapping"
    return TYPE_NAMES[kind] if kind in TYPE_NAMES else str(kind.__name__)


def _show_value(found: object) -> str:
    if found is None or isinstance(found, bool):
        return "null" if found is None else str(found).lower()
    text = repr(found)
    return text if len(text) <= MAX_SHOWN else f"a {type(found).__name__}"
