"""Specifications from strangers: devices, pipes, huge files, paths out of the folder, odd presets."""

import os
from pathlib import Path

import pytest

from odenet.compiler import load
from odenet.diagnostics import SpecError
from odenet.language.source_files import MOST_BYTES, read
from odenet.model.reading.presets import presets

SPEC = "state Y\nparam K : conv(3)\nY' = K Y\n"


def error_messages(folder: Path, text: str) -> list[str]:
    """The messages of a refused specification that is written into a folder."""
    (folder / "main.ode").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(folder / "main.ode")
    return [d.message for d in caught.value.diagnostics]


def refusal(path: Path) -> str:
    """The message with which a file is refused."""
    with pytest.raises(SpecError) as caught:
        read(path)
    return caught.value.diagnostics[0].message


def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ode")
    assert refusal(tmp_path / "pipe.ode") == "this is a device or a pipe, not a file"
    assert error_messages(tmp_path, f'use "pipe.ode"\n{SPEC}') == [
        "pipe.ode: this is a device or a pipe, not a file"
    ]


def test_a_device_is_refused():
    assert refusal(Path("/dev/zero")) == "this is a device or a pipe, not a file"


def test_a_pipe_that_the_shell_hands_over_is_read():
    reading, writing = os.pipe()
    os.write(writing, SPEC.encode())
    os.close(writing)
    try:
        assert read(Path(f"/dev/fd/{reading}")).text == SPEC
    finally:
        os.close(reading)


def test_a_file_of_more_than_a_megabyte_is_refused(tmp_path):
    (tmp_path / "long.ode").write_bytes(b"#" * MOST_BYTES)
    assert len(read(tmp_path / "long.ode").text) == MOST_BYTES
    (tmp_path / "long.ode").write_bytes(b"#" * (MOST_BYTES + 1))
    assert refusal(tmp_path / "long.ode") == "this file is larger than a megabyte"


@pytest.mark.parametrize("path", ["../secret.ode", "/etc/passwd", "inside/../../secret.ode"])
def test_no_file_outside_of_the_folder_of_the_spec_is_used_or_shown(tmp_path, path):
    (tmp_path / "secret.ode").write_text("let password = = 1\n", encoding="utf-8")
    (tmp_path / "spec" / "inside").mkdir(parents=True)
    actual = error_messages(tmp_path / "spec", f'use "{path}"\n{SPEC}')
    assert actual == [f"{path}: this file is not in the folder of the spec"]


def test_a_link_does_not_lead_out_of_the_folder_of_the_spec(tmp_path):
    (tmp_path / "secret.ode").write_text("let password = = 1\n", encoding="utf-8")
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "link.ode").symlink_to(tmp_path / "secret.ode")
    actual = error_messages(tmp_path / "spec", f'use "link.ode"\n{SPEC}')
    assert actual == ["link.ode: this file is not in the folder of the spec"]


def test_a_circle_of_used_files_is_found_even_if_one_file_has_two_names(tmp_path):
    (tmp_path / "other.ode").write_text('use "third.ode"\n', encoding="utf-8")
    (tmp_path / "third.ode").hardlink_to(tmp_path / "other.ode")
    (message,) = error_messages(tmp_path, f'use "other.ode"\n{SPEC}')
    assert message == "these files use each other: other.ode > third.ode"


def test_a_chain_of_very_many_files_is_refused(tmp_path):
    for i in range(60):
        (tmp_path / f"n{i}.ode").write_text(f'use "n{i + 1}.ode"\nlet a{i} = 1\n', encoding="utf-8")
    assert "n50.ode: a spec uses at most 50 files" in error_messages(
        tmp_path, f'use "n0.ode"\n{SPEC}'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net = 3", "`net` is not a table of presets"),
        ("net = [1, 2]", "`net` is not a table of presets"),
        ("[net]\na = [1, 2]", "`a` is not a preset"),
        ("[net]\na = { n = { m = 1 } }", "`n` of the preset `a` is not a value that `--set` takes"),
        ("[net]\na = { n = true }", "`n` of the preset `a` is not a value that `--set` takes"),
        (
            "[net]\na = { n = 1979-05-27 }",
            "`n` of the preset `a` is not a value that `--set` takes",
        ),
        ("net = " + "[" * 5000 + "]" * 5000, "presets cannot be read: nested too deeply"),
        ("a = 1" + "0" * 5000, "presets cannot be read: Exceeds the limit"),
    ],
)
def test_faulty_presets_are_refused_with_a_message(tmp_path, text, message):
    (tmp_path / "presets.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        presets(tmp_path / "net.ode")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message.startswith(message)
    assert diagnostic.file == str(tmp_path / "presets.toml")
