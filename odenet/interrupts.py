"""Ctrl-C and SIGTERM as an exception, so that a command can clean up before it exits."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the process to end.

    It is not a KeyboardInterrupt, which some libraries catch.

    Args:
        number: the number of the signal.
    """

    def __init__(self, number: int):
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextmanager
def interruptible() -> Iterator[None]:
    """A context in which Ctrl-C and SIGTERM raise `Interrupted`; a second one kills the process."""
    previous_handlers = {number: signal.signal(number, _handle_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


def _handle_signal(number: int, frame: FrameType | None) -> None:
    for signal_number in SIGNALS:
        signal.signal(signal_number, signal.SIG_DFL)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # in distributed training, one process prints
        os.write(2, f"\nstopped by {signal.Signals(number).name}\n".encode())
    raise Interrupted(number)
