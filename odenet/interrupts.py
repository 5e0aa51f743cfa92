"""Ctrl-C and SIGTERM, wherever they come: a word, tidying up, and the exit code of the signal."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the process to end.

    No KeyboardInterrupt, which libraries on the way take for theirs.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, Ctrl-C and SIGTERM raise `Interrupted`; the next one ends the process at once."""
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of processes that train together, one speaks
        os.write(2, f"\nstopped by {signal.Signals(number).name}\n".encode())
    raise Interrupted(number)
