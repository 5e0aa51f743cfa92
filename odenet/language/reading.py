"""From a path to a text, or to a message that says why there is none."""

from pathlib import Path

from odenet.diagnostics import Diagnostic, Source, SpecError, nearest


def read(path: Path) -> Source:
    r"""The text of a file, its line ends made `\n`.

    Raises:
        SpecError: it cannot be read, is empty, or is no text.
    """
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise _unreadable(path, "this is a folder, not a file", _specs_in(path)) from None
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file", _near(path)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _unreadable(path, f"this file cannot be read: {why.lower()}", "") from None
    text = _decoded(path, data)
    if not text.strip():
        help_ = "a spec has a state, an equation and a discretisation"
        raise _unreadable(path, "this file is empty", help_)
    return Source(str(path), text.replace("\r\n", "\n").replace("\r", "\n"))


def _decoded(path: Path, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _unreadable(path, "this text is in UTF-16", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        help_ = "save it as UTF-8, if it is a spec"
        raise _unreadable(path, f"this is not a text in UTF-8 (line {line})", help_) from None
    if "\0" in text:
        raise _unreadable(path, "this is not a text file", "a spec is plain text in UTF-8")
    return text


def _unreadable(path: Path, message: str, help_: str) -> SpecError:
    return SpecError([Diagnostic(message, help=help_, file=str(path))])


def _near(path: Path) -> str:
    """The name that was meant, or the specs in the same folder."""
    try:
        names = {p.stem: p.name for p in path.parent.iterdir()}
    except OSError:
        return f"there is no folder {path.parent}"
    near = nearest(path.stem, names)
    return f"did you mean `{names[near]}`?" if near else _specs_in(path.parent)


def _specs_in(folder: Path) -> str:
    names = sorted(p.name for p in folder.glob("*.ode"))
    more = ", …" if len(names) > 8 else ""
    return f"{folder} has {', '.join(names[:8])}{more}" if names else ""
