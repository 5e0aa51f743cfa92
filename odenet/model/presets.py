"""Settings with a name: the papers' networks, in a small file beside the specs."""

import tomllib
from pathlib import Path
from typing import Any

from odenet.diagnostics import Diagnostic, SpecError, suggest

FILE = "presets.toml"


def presets(spec: Path) -> dict[str, dict[str, Any]]:
    """The presets of a spec, from the `presets.toml` in its folder: settings by name.

    Raises:
        SpecError: if that file cannot be read.
    """
    file = spec.parent / FILE
    if not file.is_file():
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get(spec.stem, {})
    except (OSError, ValueError) as error:
        raise _error(f"presets cannot be read: {error}", file) from error
    wrong = [name for name, values in found.items() if not isinstance(values, dict)]
    if wrong:
        raise _error(f"`{wrong[0]}` is no preset", file, f"write {wrong[0]} = {{ n = 18 }}")
    return found


def preset(spec: Path, name: str) -> dict[str, Any]:
    """The settings that a name stands for.

    Raises:
        SpecError: if the spec has no preset of that name; lists those it has.
    """
    known = presets(spec)
    if name not in known:
        names = ", ".join(f"@{other}" for other in known)
        have = f"known: {names}" if known else f"{spec.stem} has none in {spec.parent / FILE}"
        help_ = "; ".join(filter(None, (suggest(name, known), have)))
        raise _error(f"there is no preset @{name} of {spec.name}", None, help_)
    return known[name]


def _error(message: str, file: Path | None, help_: str = "") -> SpecError:
    return SpecError([Diagnostic(message, file=str(file) if file else "", help=help_)])
