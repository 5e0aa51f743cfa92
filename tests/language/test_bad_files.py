"""Every mistake of tests/bad, with the message that a user sees."""

from pathlib import Path

import pytest

from odenet.compiler import load
from odenet.diagnostics import SpecError

BAD = Path(__file__).parents[1] / "bad"
FILES = sorted(BAD.rglob("*.ode"))


def settings_of(path):
    """What the lines `# --set NAME=VALUE` at the top of a file set from outside."""
    lines = path.read_bytes().splitlines()
    found = [line[8:].decode().split("=", 1) for line in lines if line.startswith(b"# --set ")]
    return dict(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_in_the_words_of_the_language(path, golden, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as caught:
        load(path.name, set=settings_of(path))
    golden(path.with_suffix(".expected"), f"{caught.value}\n")


def test_every_recording_belongs_to_a_file():
    assert set(BAD.rglob("*.expected")) == {path.with_suffix(".expected") for path in FILES}


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
