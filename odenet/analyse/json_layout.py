"""JSON for human readers: a list or object that fits on one line is printed on one line."""

import json
from typing import TypeAlias

LINE_WIDTH = 100

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"


def json_text(value: Json, indent: int = 0) -> str:
    """Plain values as JSON.

    Args:
        value: dicts, lists, strings, numbers and None.
        indent: number of spaces before its lines.
    """
    line = _single_line(value)
    if len(line) + indent <= LINE_WIDTH or not isinstance(value, dict | list):
        return line
    line_break = "\n" + " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{_single_line(k)}: {json_text(item, indent + 1)}" for k, item in value.items()]
        return f"{{{line_break}{f',{line_break}'.join(items)}{line_break[:-1]}}}"
    items = [json_text(item, indent + 1) for item in value]
    return f"[{line_break}{f',{line_break}'.join(items)}{line_break[:-1]}]"


def _single_line(value: Json) -> str:
    """JSON on one line; characters that are not printable are escaped."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
