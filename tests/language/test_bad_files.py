"""Every faulty specification in tests/bad is refused with its recorded message."""

from pathlib import Path

import pytest

from odenet.compiler import load
from odenet.diagnostics import SpecError

FOLDER = Path(__file__).parents[1] / "bad"
FILES = sorted(FOLDER.rglob("*.ode"))


def settings_in_comments(path):
    """The settings in the lines `# --set NAME=VALUE` of a file, as on the command line."""
    prefix, lines = b"# --set ", path.read_bytes().splitlines()  # not all files are UTF-8
    settings = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return dict(setting.decode().split("=", 1) for setting in settings)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_its_recorded_message(path, golden, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as caught:
        load(path.name, set=settings_in_comments(path))
    golden(path.with_suffix(".expected"), f"{caught.value}\n")


def test_every_recording_belongs_to_a_file():
    assert set(FOLDER.rglob("*.expected")) == {path.with_suffix(".expected") for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_message_shows_words_of_the_parser_or_of_python(path):
    text = path.with_suffix(".expected").read_text(encoding="utf-8")
    for word in (
        "Token",
        "LPAR",
        "RPAR",
        "_END",
        "NAME'",
        "Traceback",
        "None",
        "Fraction(",
        "<odenet",
    ):
        assert word not in text
