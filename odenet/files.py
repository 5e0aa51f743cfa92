"""Atomic writing of files: a file is replaced as a whole or not at all. All of odenet uses this.

New contents are written to a temporary file in the same folder, synced to the disk, and renamed to
the target; until then the target is unchanged. Symbolic links are followed and the mode of a file
is kept. What is not a regular file (a device, a pipe, the standard output) is written directly.
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

PARTIAL_PATTERN = ".odenet-*.partial"  # temporary files, which a killed process leaves behind

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
    """A file or folder could not be written; `filename` is the path as the user gave it."""


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, by `atomic_writer`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write bytes, by `atomic_writer`."""
    with atomic_writer(path) as stream:
        stream.write(data)


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[BinaryIO]:
    """A context with a stream to write; on exit its contents replace the file at the path.

    Raises:
        WriteError: if it cannot be written; names the path as it was given.
    """
    with _write_errors_naming(path):
        existing = _stat_if_exists(path)
        if existing is None or (stat.S_ISREG(existing.st_mode) and _output_fd(existing) is None):
            writer = _write_and_replace(os.path.realpath(path), existing)
        else:
            writer = _write_in_place(path, existing)
        with writer as stream:
            yield stream


def make_folder(path: str | Path) -> bool:
    """Make a folder and its parents where there are none; returns whether this call made it.

    Of several processes that ask for the same folder, only one gets True.

    Raises:
        WriteError: if it cannot be made.
    """
    with _write_errors_naming(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(path).mkdir()
        except FileExistsError:
            if not Path(path).is_dir():
                raise
            return False
        return True


def remove_partial_files(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder that nobody writes to now."""
    for partial in folder.rglob(PARTIAL_PATTERN):
        partial.unlink(missing_ok=True)


def describe_error(error: OSError) -> Diagnostic:
    """An OSError as a diagnostic about its file, or about the output where it names no file."""
    reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    if isinstance(error, WriteError):
        disk_is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        help_ = "make room, or write elsewhere" if disk_is_full else ""
        return Diagnostic(
            "unwritable-file",
            f"this cannot be written: {reason}",
            help=help_,
            file=str(error.filename),
        )
    if error.filename is not None:
        return Diagnostic(
            "unreadable-file", f"this cannot be opened: {reason}", file=os.fsdecode(error.filename)
        )
    return Diagnostic("unwritable-file", f"the output cannot be written: {reason}")


@contextmanager
def _write_errors_naming(path: str | Path) -> Iterator[None]:
    """A context that raises OSErrors as WriteErrors about this path, not the temporary file's."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _underlying_os_error(error)
        if cause is None:
            raise
        raise WriteError(cause.errno, cause.strerror, os.fspath(path)) from error


def _underlying_os_error(error: BaseException | None) -> OSError | None:
    """The OSError behind another error; torch.save raises a RuntimeError while it handles one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _stat_if_exists(path: str | Path) -> os.stat_result | None:
    """The status of a file after following links; None if it does not exist."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _output_fd(status: os.stat_result) -> int | None:
    """The descriptor, 1 or 2, by which this process prints to the file; None if it does not."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


@contextmanager
def _write_in_place(path: str | Path, existing: os.stat_result) -> Iterator[BinaryIO]:
    """A stream to a file that is not regular, or to the output, after the text printed so far."""
    output = _output_fd(existing)
    if output is not None:
        sys.stdout.flush()
    descriptor = os.open(path, os.O_WRONLY) if output is None else os.dup(output)
    with open(descriptor, "wb") as stream:
        yield stream


@contextmanager
def _write_and_replace(target: str, existing: os.stat_result | None) -> Iterator[BinaryIO]:
    """A stream to a temporary file, which is renamed to the target on exit."""
    if existing is not None and not os.access(target, os.W_OK):  # os.replace would succeed
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    folder = os.path.dirname(target)
    partial = os.path.join(folder, PARTIAL_PATTERN.replace("*", secrets.token_hex(8)))
    mode = 0o666 if existing is None else 0o600  # private until the old mode is set, below
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "w+b") as stream:
            yield stream
            stream.flush()
            if existing is not None:
                _keep_owner_and_mode(descriptor, existing)
            _sync(descriptor)
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    _sync_folder(folder)


def _keep_owner_and_mode(descriptor: int, existing: os.stat_result) -> None:
    with suppress(PermissionError):  # only root may give a file away
        os.chown(descriptor, existing.st_uid, existing.st_gid)
    os.chmod(descriptor, stat.S_IMODE(existing.st_mode))


def _sync(descriptor: int) -> None:
    """Call fsync, where the file system supports it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def _sync_folder(folder: str) -> None:
    """Sync the entry of a renamed file, where folders can be opened."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)
