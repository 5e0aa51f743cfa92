"""Devices and a failing module `os`, for tests of how files are written."""

import os
import stat

import pytest

MEMORY_DRIVER = 1  # its major number in Linux


def make_device(path, minor):
    """Make a character device of the memory driver at a path; the test is skipped without root.

    A test makes its own device in a temporary folder, so that a writer that replaces it does no harm.

    Args:
        path: where the device is made; it is returned.
        minor: its minor number: 3 for one like /dev/null, 7 for one like /dev/full.
    """
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(MEMORY_DRIVER, minor))
        with path.open("wb") as stream:
            stream.write(b"")
    except OSError:
        pytest.skip("this process cannot make devices")
    return path


class FailingOs:
    """Takes the place of the module `os`; one call of one function raises OSError.

    Args:
        function_name: the function of `os` that fails.
        failing_call: which of its calls fails, counted from 1.
        error_number: the number of the error, as in `errno`.
    """

    def __init__(self, function_name, failing_call, error_number):
        self.function_name, self.calls_left = function_name, failing_call
        self.error_number = error_number
        self.failed = False

    def __getattr__(self, name):
        function = getattr(os, name)
        if name != self.function_name:
            return function

        def call(*arguments, **keywords):
            self.calls_left -= 1
            if self.calls_left == 0:
                self.failed = True
                raise OSError(self.error_number, os.strerror(self.error_number))
            return function(*arguments, **keywords)

        return call
