"""The driver: from a file to a `Program` that keeps every stage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odenet.diagnostics import Diagnostic, Report, Source, SpecError
from odenet.language import parse, tree
from odenet.language.foreign import recognise
from odenet.model.build import build
from odenet.model.program import Model

LANGUAGE_VERSION = 1


def load_model(path: str, settings: Mapping[str, Any] | None = None) -> tuple[tree.File, Model]:
    source = read(Path(path))
    return check(source, settings or {})


def read(path: Path) -> Source:
    """The text of a file.

    Raises:
        SpecError: it cannot be read, is empty, or is no text.
    """
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise _unreadable(path, "this is a folder, not a file", "name a file in it") from None
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file", _near(path)) from None
    except OSError as error:
        raise _unreadable(path, f"this file cannot be read: {error.strerror}", "") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _unreadable(path, "this is not a text file in UTF-8", "a spec is plain text") from None
    if not text.strip():
        raise _unreadable(path, "this file is empty", "a spec has a state, an equation and a discretisation")
    return Source(str(path), text)


def _unreadable(path: Path, message: str, help_: str) -> SpecError:
    return SpecError([Diagnostic(message, help=help_, file=str(path))])


def _near(path: Path) -> str:
    """Specs in the same folder, for a mistyped path."""
    others = sorted(p.name for p in path.parent.glob("*.ode")) if path.parent.is_dir() else []
    return f"{path.parent} has {', '.join(others[:8])}" if others else ""


def check(source: Source, settings: Mapping[str, Any]) -> tuple[tree.File, Model]:
    report = Report()
    program = recognise(source.text)
    if program:
        raise SpecError([Diagnostic(
            f"this looks like a file of {program}, which also uses the ending .ode",
            file=source.name, help="a spec of odenet begins with the line `odenet 1`",
        )])  # fmt: skip
    file = parse(source, report)

    def load(use: tree.Use) -> tree.File | None:
        path = Path(source.name).parent / use.path
        try:
            return parse(read(path), report)
        except SpecError as error:
            for found in error.diagnostics:
                report.error(f"{use.path}: {found.message}", use.span, help=found.help)
            return None

    return file, build(file, source, load, settings, report)
