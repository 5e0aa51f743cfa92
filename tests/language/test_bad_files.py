"""Every faulty specification in tests/bad is refused with its recorded message."""

from pathlib import Path

import pytest

from odenet.compiler import load
from odenet.diagnostics import SpecError

FOLDER = Path(__file__).parents[1] / "bad"
FILES = sorted(FOLDER.rglob("*.ode"))


def settings_in_comments(path):
    """The settings in the lines `# --set NAME=VALUE` of a file, as on the command line."""
    lines = path.read_bytes().splitlines()
    settings = [line[8:].decode().split("=", 1) for line in lines if line.startswith(b"# --set ")]
    return dict(settings)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_in_the_words_of_the_language(path, golden, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as caught:
        load(path.name, set=settings_in_comments(path))
    golden(path.with_suffix(".expected"), f"{caught.value}\n")


def test_every_recording_belongs_to_a_file():
    assert set(FOLDER.rglob("*.expected")) == {path.with_suffix(".expected") for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_message_speaks_of_the_parser_or_of_python(path):
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
