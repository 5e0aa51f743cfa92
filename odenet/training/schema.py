"""Checking of values read from a file (JSON, checkpoints) against the fields of a dataclass."""

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
MAX_SHOWN = 40  # characters; of a longer value, messages name only the type


class Mismatch(ValueError):
    """A value that is not what it should be; the message names the entry."""


def read_as(kind: type[T], value: object, name: str = "") -> T:
    """An instance of a dataclass, made from a mapping with the values of its fields.

    Args:
        kind: the dataclass. Its fields are of type str, int, float, bool or None, sequences or
            mappings of these, unions, or dataclasses.
        value: what the file holds.
        name: the name of the entry with this value, for messages.

    Raises:
        Mismatch: an entry is missing, unknown, or of another type.
    """
    if not isinstance(value, Mapping):
        entry = f"`{name}`" if name else "its content"
        raise Mismatch(f"{entry} is {_show_value(value)}, not a mapping")
    prefix = f"{name}." if name else ""
    hints = get_type_hints(kind)
    known_fields = {field.name: field for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    for key in value:
        if key not in known_fields:
            raise Mismatch(f"it has an entry `{prefix}{key}`, which this version does not know")
    for key, field in known_fields.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if required and key not in value:
            raise Mismatch(f"`{prefix}{key}` is missing")
    return kind(**{key: _checked_value(hints[key], value[key], f"{prefix}{key}") for key in value})


def _checked_value(kind: Any, value: Any, name: str) -> Any:
    """A value after checking it and its entries against a type; lists become tuples."""
    if is_dataclass(kind):
        return read_as(kind, value, name)  # pyright: ignore[reportArgumentType]
    if not _matches(kind, value):
        raise Mismatch(f"`{name}` is {_show_value(value)}, not {_type_name(kind)}")
    arguments = [kind for kind in get_args(kind) if kind is not Ellipsis]
    match get_origin(kind):
        case origin if origin in (Sequence, tuple):
            entry_type, items = arguments[0], enumerate(value)
            return tuple(_checked_value(entry_type, item, f"{name}[{i}]") for i, item in items)
        case origin if origin is Mapping:
            return {key: _checked_value(arguments[1], value[key], f"{name}.{key}") for key in value}
    return value


def _matches(kind: Any, value: Any) -> bool:
    """Whether a value has a type, without looking at the entries of a list or mapping."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_matches(option, value) for option in get_args(kind))
    if origin in (Sequence, tuple):
        return isinstance(value, list | tuple)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _type_name(kind: Any) -> str:
    """A type in words, for messages."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_type_name(option) for option in arguments)
    if origin in (Sequence, tuple):
        return f"a list, each entry {_type_name(arguments[0])}"
    if origin is Mapping:
        return "a mapping"
    return TYPE_NAMES[kind] if kind in TYPE_NAMES else str(kind.__name__)


def _show_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"a {type(value).__name__}"
