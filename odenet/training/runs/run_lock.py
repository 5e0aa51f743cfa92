"""Whose a run's folder is: made by one process, and trained in by one at a time.

A folder is claimed by a lock that the operating system takes back when its holder ends, however it
ends. `run.json` is written last of the inputs: a claimed folder without it holds a start that was
interrupted, and may be taken again.
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

from odenet.diagnostics import typed
from odenet.files import PARTIAL_PATTERN, WriteError, make_folder, remove_partial_files
from odenet.training.callbacks.run_callback import warn
from odenet.training.errors import BadRunFolder
from odenet.training.run_folder.records import RunFolder

LOCK = ".lock"
_LOCK_HELD = (errno.EACCES, errno.EAGAIN)
_LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def new_run_folder(name: str, out: str | None, console: Console) -> Iterator[RunFolder]:
    """A folder for a new run, held; taken away again where nothing was written into it.

    Args:
        name: of the spec.
        out: the folder wanted; None makes the next free `runs/NAME-1`, `runs/NAME-2`, …
        console: where to say what cannot be had.

    Raises:
        TrainingError: if it holds something already, or another process holds it.
        WriteError: if it cannot be made.
    """
    folder = _make_numbered_folder(name) if out is None else RunFolder(Path(out))
    made = out is None or make_folder(folder.path)
    _require_free(folder)  # before a lock is put there
    with hold_lock(folder, console):
        _require_free(folder)
        for left in folder.inputs:
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        try:
            yield folder
        except BaseException:
            if not _contents(folder):
                (folder.path / LOCK).unlink()
                if made:
                    folder.path.rmdir()
            raise


@contextmanager
def hold_lock(folder: RunFolder, console: Console) -> Iterator[None]:
    """Hold a run, so that no other process trains in it.

    Raises:
        TrainingError: if another process does.
        WriteError: if the folder cannot be written to.
    """
    descriptor = _acquire_lock(folder, console)
    try:
        remove_partial_files(folder.path)
        _write_owner(descriptor, folder.path / LOCK)
        yield
    finally:
        os.close(descriptor)


def _write_owner(descriptor: int, path: Path) -> None:
    """Say in a lock who holds it."""
    owner = f"process {os.getpid()} on {socket.gethostname()}\n"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(), 0)
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(path)) from error


def _acquire_lock(folder: RunFolder, console: Console) -> int:
    """A descriptor of the lock, which holds it until it is closed."""
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
                where = f"the file system of {folder.path}"
                warn(console, f"{where} keeps no locks: let only one process train there")
                return descriptor
            owner = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in _LOCK_HELD:
                raise WriteError(error.errno, error.strerror, str(path)) from error
            raise BadRunFolder(
                f"{folder.path} is in use: {owner or 'another process'} trains there",
                "wait until it ends, or choose another folder",
            ) from None
        os.close(descriptor)  # of a lock that its holder has taken away


def _make_numbered_folder(name: str) -> RunFolder:
    """The next free folder under `runs/`, made."""
    for number in count(1):
        path = Path("runs") / f"{name}-{number}"
        if not os.path.lexists(path) and make_folder(path):
            return RunFolder(path)
    raise AssertionError("numbers do not end")


def _contents(folder: RunFolder) -> list[Path]:
    """What a folder holds beside its lock and what was left half-written."""
    partial = set(folder.path.glob(PARTIAL_PATTERN))
    return [path for path in folder.path.iterdir() if path.name != LOCK and path not in partial]


def _require_free(folder: RunFolder) -> None:
    """Refuse a folder that holds anything but a start that was interrupted."""
    content = _contents(folder)
    interrupted = (folder.path / LOCK).exists() and set(content) <= set(folder.inputs)
    if content and not interrupted:
        raise BadRunFolder(
            f"{folder.path} is not empty",
            f"choose another --out, or go on with it: --resume {typed(folder.path)}",
        )
