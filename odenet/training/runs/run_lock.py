"""A lock on the folder of a run, so that only one process at a time makes it or trains in it.

The operating system releases the lock when its process ends, however that happens. `run.json` is
written last of the files that a run starts from: a folder that has a lock file but no `run.json`
is from an interrupted start, and may be used for a new run.
"""

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from rich.console import Console

from odenet.diagnostics import shell_quoted
from odenet.files import PARTIAL_PATTERN, WriteError, make_folder, remove_partial_files
from odenet.training.callbacks.run_callback import warn
from odenet.training.errors import BadRunFolder
from odenet.training.run_folder.records import RunFolder

LOCK = ".lock"  # the name of the file that is locked
_LOCK_HELD = (errno.EACCES, errno.EAGAIN)  # by another process
_LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def new_run_folder(name: str, out: str | None, console: Console) -> Iterator[RunFolder]:
    """A context with a locked folder for a new run, which is removed if it stays empty.

    Args:
        name: the name of the spec.
        out: the path of the folder; None for the next free of `runs/NAME-1`, `runs/NAME-2`, …
        console: where a warning is printed if the file system has no locks.

    Raises:
        TrainingError: the folder is not empty, or another process has locked it.
        WriteError: the folder cannot be made.
    """
    folder = _make_numbered_folder(name) if out is None else RunFolder(Path(out))
    is_created = out is None or make_folder(folder.path)
    _require_free(folder)  # before the lock file is written there
    with hold_lock(folder, console):
        _require_free(folder)  # since another process may have come first
        for leftover in folder.inputs:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        try:
            yield folder
        except BaseException:
            if not _contents(folder):
                (folder.path / LOCK).unlink()
                if is_created:
                    folder.path.rmdir()
            raise


@contextmanager
def hold_lock(folder: RunFolder, console: Console) -> Iterator[None]:
    """A context in which no other process can train in the folder of a run.

    Args:
        folder: the run's folder.
        console: where a warning is printed if the file system has no locks.

    Raises:
        TrainingError: another process trains there.
        WriteError: the folder cannot be written to.
    """
    descriptor = _acquire_lock(folder, console)
    try:
        remove_partial_files(folder.path)
        _write_owner(descriptor, folder.path / LOCK)
        yield
    finally:
        os.close(descriptor)


def _write_owner(descriptor: int, path: Path) -> None:
    """Write into the lock file which process has locked it."""
    owner = f"process {os.getpid()} on {socket.gethostname()}\n"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(), 0)
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(path)) from error


def _acquire_lock(folder: RunFolder, console: Console) -> int:
    """Lock the lock file, and return its descriptor; closing that releases the lock."""
    path = folder.path / LOCK
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise WriteError(error.errno, error.strerror, str(path)) from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except OSError as error:
            if error.errno in _LOCKS_UNSUPPORTED:
                file_system = f"the file system of {folder.path}"
                warn(console, f"{file_system} keeps no locks: let only one process train there")
                return descriptor
            owner = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in _LOCK_HELD:
                raise WriteError(error.errno, error.strerror, str(path)) from error
            message = f"{folder.path} is in use: {owner or 'another process'} trains there"
            raise BadRunFolder(message, "wait until it ends, or choose another folder") from None
        os.close(descriptor)  # the file was removed by its owner in the meantime: try again


def _make_numbered_folder(name: str) -> RunFolder:
    """Make the next free folder under `runs/`."""
    for number in count(1):
        path = Path("runs") / f"{name}-{number}"
        if not os.path.lexists(path) and make_folder(path):
            return RunFolder(path)
    raise AssertionError("numbers do not end")


def _contents(folder: RunFolder) -> list[Path]:
    """The files of a folder except the lock file and partially written ones."""
    partial = set(folder.path.glob(PARTIAL_PATTERN))
    return [path for path in folder.path.iterdir() if path.name != LOCK and path not in partial]


def _require_free(folder: RunFolder) -> None:
    """Refuse a folder that is not empty, unless its files are from an interrupted start."""
    contents = _contents(folder)
    is_interrupted = (folder.path / LOCK).exists() and set(contents) <= set(folder.inputs)
    if contents and not is_interrupted:
        help_ = f"choose another --out, or go on with it: --resume {shell_quoted(folder.path)}"
        raise BadRunFolder(f"{folder.path} is not empty", help_)
