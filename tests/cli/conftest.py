"""The command `odenet`, as a function for tests."""

import sys

import pytest

from odenet import cli


@pytest.fixture
def odenet(monkeypatch, tmp_path, capsys):
    """A function that runs a command in an empty folder: gives its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["odenet", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as system_exit:
            code = system_exit.code or 0
        return code, *capsys.readouterr()

    return run
