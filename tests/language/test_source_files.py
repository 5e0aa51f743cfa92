"""Files that cannot be read are refused with a reason; line ends and byte order marks do not matter."""

import os
from pathlib import Path

import pytest

from odenet.diagnostics import SpecError
from odenet.language.source_files import read


def message_and_help(path):
    """The message and the help with which a file is refused."""
    with pytest.raises(SpecError) as caught:
        read(Path(path))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.file == str(path)
    return diagnostic.message, diagnostic.help


def test_a_folder_is_refused_with_the_files_that_it_has(tmp_path):
    (tmp_path / "b.ode").touch()
    (tmp_path / "a.ode").touch()
    message, help_ = message_and_help(tmp_path)
    assert message == "this is a folder, not a file"
    assert help_.endswith("has a.ode, b.ode")


def test_for_a_missing_file_the_name_that_was_meant_is_suggested(tmp_path):
    (tmp_path / "hamiltonian.ode").touch()
    (tmp_path / "notes.txt").touch()
    message = "there is no such file"
    assert message_and_help(tmp_path / "hamiltonain.ode") == (
        message,
        "did you mean `hamiltonian.ode`?",
    )
    assert message_and_help(tmp_path / "hamiltonian") == (
        message,
        "did you mean `hamiltonian.ode`?",
    )
    assert message_and_help(tmp_path / "x.ode") == (message, f"{tmp_path} has hamiltonian.ode")
    folder = tmp_path / "no"
    assert message_and_help(folder / "x.ode") == (message, f"there is no folder {folder}")


def test_a_link_to_a_missing_file_is_refused_as_such_and_not_suggested_itself(tmp_path):
    (tmp_path / "a.ode").symlink_to("gone.ode")
    assert message_and_help(tmp_path / "a.ode") == (
        "this is a link to a file that is not there",
        "",
    )


def test_a_path_through_a_file_cannot_be_read(tmp_path):
    (tmp_path / "a.ode").touch()
    message, _ = message_and_help(tmp_path / "a.ode" / "b.ode")
    assert message == "this file cannot be read: not a directory"


def test_a_file_without_permission_cannot_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    message, _ = message_and_help(tmp_path / "a.ode")
    assert message == "this file cannot be read: permission denied"


def test_a_path_that_no_file_can_have_cannot_be_read():
    assert "cannot be read" in message_and_help("a\0.ode")[0]
    assert "cannot be read" in message_and_help("a" * 5000)[0]


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", b"\xef\xbb\xbfa\nb\n"])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path, data):
    (tmp_path / "a.ode").write_bytes(data)
    assert read(tmp_path / "a.ode").text == "a\nb\n"
