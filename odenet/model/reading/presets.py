"""Presets: named sets of settings in a file `presets.toml` next to a spec, such as `stl10`."""

import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import TypeAlias

from odenet.diagnostics import SpecError, suggest
from odenet.language.source_files import read_text

PRESETS_FILE = "presets.toml"

Toml: TypeAlias = "dict[str, Toml] | list[Toml] | str | float | datetime | date | time"


def presets(spec: Path) -> dict[str, dict[str, Toml]]:
    """The presets of a spec: name -> settings, from the `presets.toml` in its folder.

    Raises:
        SpecError: if that file cannot be read, or holds something other than presets.
    """
    file = spec.parent / PRESETS_FILE
    if not file.exists():
        return {}
    table = _read_toml(file).get(spec.stem, {})
    if not isinstance(table, dict):
        raise _error(f"`{spec.stem}` is not a table of presets", file, f"write [{spec.stem}]")
    checked: dict[str, dict[str, Toml]] = {}
    for name, values in table.items():
        if not isinstance(values, dict):
            raise _error(f"`{name}` is not a preset", file, f"write {name} = {{ n = 18 }}")
        for key, value in values.items():
            if not _is_setting(value):
                message = f"`{key}` of the preset `{name}` is not a value that `--set` takes"
                raise _error(message, file, "write a number, a text, or a list of them")
        checked[name] = values
    return checked


def _read_toml(file: Path) -> dict[str, Toml]:
    try:
        return tomllib.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _error(f"presets cannot be read: {reason}", file) from None


def _is_setting(value: Toml) -> bool:
    """Whether a value is a number, a text or a list of them, which a setting can have."""
    items = value if isinstance(value, list) else [value]
    return all(type(item) in (int, float, str) for item in items)


def preset(spec: Path, name: str) -> dict[str, Toml]:
    """The settings of the preset that has this name.

    Raises:
        SpecError: if the spec has no preset of that name; the message lists those that it has.
    """
    known = presets(spec)
    if name not in known:
        names = ", ".join(f"@{other}" for other in known)
        none = f"{spec.stem} has none in {spec.parent / PRESETS_FILE}"
        hints = (suggest(name, known), f"known: {names}" if known else none)
        help_ = "; ".join(filter(None, hints))
        raise _error(f"there is no preset @{name} of {spec.name}", None, help_)
    return known[name]


def _error(message: str, file: Path | None, help_: str = "") -> SpecError:
    return SpecError.of("preset", message, file=str(file) if file else "", help=help_)
