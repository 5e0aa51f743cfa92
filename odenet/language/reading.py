"""From a path to a text, or to a message that says why there is none."""

import os
from pathlib import Path
from stat import S_ISREG

from odenet.diagnostics import Source, SpecError, nearest

MOST_BYTES = 1 << 20

# What a shell hands over in place of a file: the standard input, and `<(…)`.
_HANDED_OVER = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would be waited for


def read(path: Path) -> Source:
    r"""The text of a file, its line ends made `\n`.

    Raises:
        SpecError: it cannot be read, is empty, larger than a megabyte, or is not a text.
    """
    text = read_text(path)
    if not text.strip():
        help_ = "a spec has a state, an equation and a discretisation"
        raise _unreadable(path, "this file is empty", help_)
    return Source(str(path), text.replace("\r\n", "\n").replace("\r", "\n"))


def read_text(path: Path) -> str:
    """What a file of at most a megabyte says, in UTF-8.

    Only a file can be read, and what a shell hands over: a device or a pipe never ends, or is
    waited for.

    Raises:
        SpecError: it cannot be read, is too large, or is not a text.
    """
    try:
        data = _bytes(path)
    except IsADirectoryError:
        raise _unreadable(path, "this is a folder, not a file", _specs_in(path)) from None
    except FileNotFoundError:
        if path.is_symlink():
            raise _unreadable(path, "this is a link to a file that is not there", "") from None
        raise _unreadable(path, "there is no such file", _near(path)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _unreadable(path, f"this file cannot be read: {why.lower()}", "") from None
    if len(data) > MOST_BYTES:
        raise _unreadable(path, "this file is larger than a megabyte", "is it a spec?")
    return _decoded(path, data)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others whatever its path; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _bytes(path: Path) -> bytes:
    """The first bytes of a file, one more than there may be."""
    handed = str(path).startswith(_HANDED_OVER)
    waiting = 0 if handed else _NO_WAITING
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | waiting)) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode) and not handed:
            raise _unreadable(path, "this is a device or a pipe, not a file", "")
        return file.read(MOST_BYTES + 1)


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
    return SpecError.of("unreadable-file", message, help=help_, file=str(path))


def _near(path: Path) -> str:
    """The name that was meant, or the specs in the same folder."""
    try:
        names = {p.stem: p.name for p in path.parent.iterdir() if p.suffix == ".ode"}
    except OSError:
        return f"there is no folder {path.parent}"
    near = nearest(path.stem, names)
    return f"did you mean `{names[near]}`?" if near else _specs_in(path.parent)


def _specs_in(folder: Path) -> str:
    names = sorted(p.name for p in folder.glob("*.ode"))
    more = ", …" if len(names) > 8 else ""
    return f"{folder} has {', '.join(names[:8])}{more}" if names else ""
