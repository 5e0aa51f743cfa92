"""The one place that writes files: each appears whole or not at all, and replaces nothing else.

A new content is written beside its target, under a name of its own, made durable, and put in the
target's place; until then the target is what it was. Links are followed, the mode of a file is
kept, and what is not a plain file (a device, a pipe, the standard output) is written straight
through.
"""

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from odenet.diagnostics import Diagnostic

PARTIAL = ".odenet-*.partial"  # what a process that was killed while writing leaves behind

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENOENT: "there is no such folder",
    errno.ENOTDIR: "something on the way to it is not a folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "something else has this name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk reports an error",
}


class WriteError(OSError):
    """An OSError about a file or folder that could not be written; `filename` is the user's."""


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8. See `replacing`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write some bytes. See `replacing`."""
    with replacing(path) as stream:
        stream.write(data)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A stream to write a file through; what was there before stays until it is complete.

    Raises:
        WriteError: if it cannot be written; names the path as it was given.
    """
    with _named(path):
        there = _found(path)
        if there is None or (stat.S_ISREG(there.st_mode) and _output(there) is None):
            opened = _beside(os.path.realpath(path), there)
        else:
            opened = _through(path, there)
        with opened as stream:
            yield stream


def make_folder(path: str | Path) -> bool:
    """Make a folder, and those above it, where there is none; whether this call made it.

    Of several processes that ask for the same one, only one is told so.

    Raises:
        WriteError: if it cannot be made.
    """
    with _named(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(path).mkdir()
        except FileExistsError:
            if not Path(path).is_dir():
                raise
            return False
        return True


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left in a folder that nobody else writes to now."""
    for partial in folder.rglob(PARTIAL):
        partial.unlink(missing_ok=True)


def explain(error: OSError) -> Diagnostic:
    """An OSError as a sentence about its file; without one, about the output."""
    why = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    if isinstance(error, WriteError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        help_ = "make room, or write elsewhere" if full else ""
        return Diagnostic(
            "unwritable-file",
            f"this cannot be written: {why}",
            help=help_,
            file=str(error.filename),
        )
    if error.filename is not None:
        return Diagnostic(
            "unreadable-file", f"this cannot be opened: {why}", file=os.fsdecode(error.filename)
        )
    return Diagnostic("unwritable-file", f"the output cannot be written: {why}")


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Errors within name the path that the user gave, not the one beside it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _cause(error)
        if cause is None:
            raise
        raise WriteError(cause.errno, cause.strerror, os.fspath(path)) from error


def _cause(error: BaseException | None) -> OSError | None:
    """The OSError behind an error: torch's archives raise others while they deal with it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _found(path: str | Path) -> os.stat_result | None:
    """What lies there, links followed; None for nothing, or a link to nothing."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _output(there: os.stat_result) -> int | None:
    """The descriptor that this process prints to it by; to replace it would lose the prints."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(there, os.fstat(descriptor)):
                return descriptor
    return None


@contextmanager
def _through(path: str | Path, there: os.stat_result) -> Iterator[BinaryIO]:
    """Write to what is not a plain file, or to the output, after what was printed so far."""
    output = _output(there)
    if output is not None:
        sys.stdout.flush()
    descriptor = os.open(path, os.O_WRONLY) if output is None else os.dup(output)
    with open(descriptor, "wb") as stream:
        yield stream


@contextmanager
def _beside(target: str, there: os.stat_result | None) -> Iterator[BinaryIO]:
    """Write a new file, and put it in the place of the one that is there, or of none."""
    if there is not None and not os.access(target, os.W_OK):  # a folder's owner could replace it
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    folder = os.path.dirname(target)
    partial = os.path.join(folder, PARTIAL.replace("*", secrets.token_hex(8)))
    mode = 0o666 if there is None else 0o600
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "w+b") as stream:
            yield stream
            stream.flush()
            if there is not None:
                _keep_owner_and_mode(descriptor, there)
            _sync(descriptor)
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    _sync_folder(folder)


def _keep_owner_and_mode(descriptor: int, there: os.stat_result) -> None:
    with suppress(PermissionError):  # only root may give a file away
        os.chown(descriptor, there.st_uid, there.st_gid)
    os.chmod(descriptor, stat.S_IMODE(there.st_mode))


def _sync(descriptor: int) -> None:
    """Make durable; some file systems, such as those of pipes, have nothing to do for it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def _sync_folder(folder: str) -> None:
    """Make the new name durable, where folders can be opened."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)
