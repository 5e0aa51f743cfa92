"""Reading source files: the text at a path, or an error that says why it cannot be read."""

import os
from pathlib import Path
from stat import S_ISREG

from odenet.diagnostics import Source, SpecError, nearest_name

MOST_BYTES = 1 << 20

# Paths that a shell passes in place of a file: standard input and process substitution `<(…)`.
_SHELL_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_NONBLOCKING = getattr(os, "O_NONBLOCK", 0)  # opening a pipe without a writer would block


def read(path: Path) -> Source:
    r"""The text of a file, with `\n` for every line end.

    Raises:
        SpecError: it cannot be read, is empty, larger than a megabyte, or is not a text.
    """
    text = read_text(path)
    if not text.strip():
        help_ = "a spec has a state, an equation and a discretisation"
        raise _unreadable(path, "this file is empty", help_)
    return Source(str(path), text.replace("\r\n", "\n").replace("\r", "\n"))


def read_text(path: Path) -> str:
    """The text of a file of at most a megabyte, in UTF-8.

    Devices and named pipes are refused, since reading them may never end. The streams of a shell
    are allowed.

    Raises:
        SpecError: it cannot be read, is too large, or is not a text.
    """
    try:
        data = _read_bytes(path)
    except IsADirectoryError:
        raise _unreadable(path, "this is a folder, not a file", _list_specs(path)) from None
    except FileNotFoundError:
        if path.is_symlink():
            raise _unreadable(path, "this is a link to a file that is not there") from None
        raise _unreadable(path, "there is no such file", _suggestion(path)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _unreadable(path, f"this file cannot be read: {why.lower()}") from None
    if len(data) > MOST_BYTES:
        raise _unreadable(path, "this file is larger than a megabyte", "is it a spec?")
    return _decode(path, data)


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, equal for all paths to it; None if there is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _read_bytes(path: Path) -> bytes:
    """At most MOST_BYTES + 1 bytes of a file: one more than allowed shows that it is too large."""
    from_shell = str(path).startswith(_SHELL_STREAMS)
    extra_flags = 0 if from_shell else _NONBLOCKING
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra_flags)) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode) and not from_shell:
            raise _unreadable(path, "this is a device or a pipe, not a file")
        return file.read(MOST_BYTES + 1)


def _decode(path: Path, data: bytes) -> str:
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


def _unreadable(path: Path, message: str, help_: str = "") -> SpecError:
    return SpecError.of("unreadable-file", message, help=help_, file=str(path))


def _suggestion(path: Path) -> str:
    """Help for a missing file: a file with a similar name, or the specs in the same folder."""
    try:
        names = {p.stem: p.name for p in path.parent.iterdir() if p.suffix == ".ode"}
    except OSError:
        return f"there is no folder {path.parent}"
    similar = nearest_name(path.stem, names)
    return f"did you mean `{names[similar]}`?" if similar else _list_specs(path.parent)


def _list_specs(folder: Path) -> str:
    names = sorted(p.name for p in folder.glob("*.ode"))
    more = ", …" if len(names) > 8 else ""
    return f"{folder} has {', '.join(names[:8])}{more}" if names else ""
