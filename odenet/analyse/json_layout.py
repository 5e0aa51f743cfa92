"""JSON that a person can read: what fits on a line gets one."""

import json
from typing import TypeAlias

WIDTH = 100

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"


def laid_out(value: Json, depth: int = 0) -> str:
    """Plain values as JSON.

    Args:
        value: made of dicts, lists, texts, numbers and None.
        depth: how far its lines are indented.
    """
    line = _shown(value)
    if len(line) + depth <= WIDTH or not isinstance(value, dict | list):
        return line
    pad = "\n" + " " * (depth + 1)
    if isinstance(value, dict):
        items = [f"{_shown(key)}: {laid_out(item, depth + 1)}" for key, item in value.items()]
        return f"{{{pad}{f',{pad}'.join(items)}{pad[:-1]}}}"
    items = [laid_out(item, depth + 1) for item in value]
    return f"[{pad}{f',{pad}'.join(items)}{pad[:-1]}]"


def _shown(value: Json) -> str:
    """JSON on one line, with escapes for what a terminal or an editor would act on."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
