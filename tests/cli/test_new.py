"""`odenet new`: each template, and each kind of data, gives a spec that is formatted, proved and trains."""

import csv
import sys
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from odenet import cli, load
from odenet.cli.new_spec import Template
from odenet.diagnostics import SpecError
from odenet.language.format import format_source

RANDOM = np.random.default_rng(0)
CLAIMS = {"hamiltonian": 2, "damped": 2, "momentum": 1, "language_model": 1}


@pytest.fixture
def odenet(monkeypatch, tmp_path, capsys):
    """Runs a command in an empty folder: its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["odenet", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


def pictures(folder):
    for name, count in (("cats", 6), ("dogs", 6), ("eels", 6)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = RANDOM.integers(0, 256, (40, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def arrays(file):
    np.savez(file, x=RANDOM.normal(size=(30, 2, 24)), y=RANDOM.integers(0, 4, 30))
    return file


def numbers(file):
    with open(file, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["a", "b", "c", "rate"])
        rows.writerows(RANDOM.normal(size=(30, 4)).tolist())
    return file


def writing(file):
    file.write_text("The quick brown fox jumps over the lazy dog. " * 200)
    return file


def judged(path):
    """The program of a spec that is formatted, warns of nothing and proves what it claims."""
    program = load(path)
    assert format_source(program.tree.span.source) == path.read_text(encoding="utf-8")
    assert not program.warnings and all(claim.holds for claim in program.claims)
    return program


@pytest.mark.parametrize("like", get_args(Template))
def test_a_template_is_written_and_names_what_to_do_next(odenet, tmp_path, like):
    code, output, errors = odenet("new", "mine", "--like", like)
    assert code == 0 and not errors
    assert len(judged(tmp_path / "mine.ode").claims) == CLAIMS[like]
    assert odenet("fmt", "--check", "mine.ode")[0] == 0
    commands = [line.split()[1:3] for line in output.splitlines() if line.startswith("  odenet")]
    assert commands == [["compile", "mine.ode"], ["train", "mine.ode"], ["train", "mine.ode"]]


def test_what_is_there_is_never_replaced(odenet, tmp_path):
    (tmp_path / "mine.ode").write_text("mine")
    code, _, errors = odenet("new", "mine")
    assert code == 1 and "error[unwritable-file]" in errors
    assert (tmp_path / "mine.ode").read_text() == "mine"
    assert odenet("new", "no name")[0] == 2


@pytest.mark.parametrize("like", get_args(Template)[:-1])
def test_a_template_takes_a_step(odenet, tmp_path, like):
    odenet("new", "mine", "--like", like)
    code, _, errors = odenet("train", "mine.ode", "--set", "steps=1", "--fraction", "0.1")
    assert code == 0, errors


@pytest.mark.parametrize(
    ("make", "name", "net"),
    [
        (pictures, "pets", "net = input(3, 40, 70) -> conv(3, 32, stride = 2) -> bn -> relu -> conv(3, 32, "
         "stride = 2) -> bn -> relu -> conv(3, 32) -> flow(n) -> bn -> relu -> mean -> dense(3)"),
        (arrays, "waves.npz", "net = input(2, 24) -> conv(3, 32) -> flow(n) -> bn -> relu -> mean "
         "-> dense(4)"),
        (numbers, "rates.csv", "net = input(3) -> dense(32) -> flow(n) -> dense(1)"),
        (writing, "book.txt", "net = tokens(128, vocabulary = 256) -> embed(w) -> flow(n) -> "
         "rmsnorm -> head(tied = yes)"),
    ],
)  # fmt: skip
def test_sizes_and_classes_are_those_of_the_data(odenet, tmp_path, make, name, net):
    make(tmp_path / name)
    code, _, errors = odenet("new", "mine", "--data", name)
    assert code == 0, errors
    assert net in (tmp_path / "mine.ode").read_text(encoding="utf-8")
    judged(tmp_path / "mine.ode")
    small = ["--set", "batch=2", "--set", "steps=1", "--set", "accumulate=1"]
    code, _, errors = odenet("train", "mine.ode", *small)
    assert code == 0, errors


def test_data_that_are_not_there_and_data_that_do_not_fit_are_refused(odenet, tmp_path):
    assert "error[unreadable-data]" in odenet("new", "mine", "--data", "nowhere")[2]
    writing(tmp_path / "book.txt")
    code, _, errors = odenet("new", "mine", "--data", "book.txt", "--like", "damped")
    assert code == 1 and "error[data-misfit]" in errors
    assert not (tmp_path / "mine.ode").exists()
    with pytest.raises(SpecError):
        load(tmp_path / "mine.ode")


def test_the_next_lines_can_be_typed_where_a_folder_has_a_space(odenet, tmp_path):
    (tmp_path / "my specs").mkdir()
    code, out, _ = odenet("new", "my specs/first")
    assert code == 0 and "odenet compile 'my specs/first.ode'" in out


@pytest.mark.parametrize("code", ["error[unknown-name]:", "[unknown-name]", "UNKNOWN_NAME"])
def test_a_kind_of_error_is_explained_as_it_is_pasted(odenet, code):
    assert odenet("explain", code)[1].startswith("unknown-name\n")


def test_a_missing_file_is_taken_for_a_spec_and_nothing_else(odenet, tmp_path):
    (tmp_path / "osc.py").touch()
    assert "osc.py" not in odenet("compile", "osd.ode")[2]


@pytest.mark.parametrize(
    ("given", "near"), [("foo", ""), ("hamiltonain", "; did you mean `hamiltonian`?")]
)
def test_a_template_that_there_is_not_is_answered_by_those_that_are(odenet, given, near):
    code, _, errors = odenet("new", "mine", "--like", given)
    known = ", ".join(get_args(Template))
    assert code == 2 and errors.endswith(f"'--like': `{given}` is not one of {known}{near}\n")


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--steps", "--set steps=VALUE"),
        ("--momentum", "--set optimizer.momentum=VALUE"),
        ("--epoch", "--epochs"),
    ],
)
def test_an_option_that_there_is_not_is_answered_by_what_does_it(odenet, option, answer):
    code, _, errors = odenet("train", "mine.ode", option, "100")
    assert code == 2 and f"No such option: {option}" in errors and answer in errors
