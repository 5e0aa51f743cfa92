"""`odenet new`: for each template and kind of data, a spec that is formatted, proved and trains.

Also how `odenet` answers errors: by `explain`, and by what was meant by a wrong name or option. The fixture `odenet` of conftest.py runs a command: it gives exit code, output and errors.
"""

import csv
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from odenet import load
from odenet.cli.new_spec import Template
from odenet.diagnostics import SpecError
from odenet.language.format import format_source

RNG = np.random.default_rng(0)
# How many lines `require` each template has.
CLAIM_COUNTS = {"hamiltonian": 2, "damped": 2, "momentum": 1, "language_model": 1}


def write_pictures(folder):
    for name in ("cats", "dogs", "eels"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            pixels = RNG.integers(0, 256, (40, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def write_arrays(file):
    np.savez(file, x=RNG.normal(size=(30, 2, 24)), y=RNG.integers(0, 4, 30))
    return file


def write_table(file):
    with open(file, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["a", "b", "c", "rate"])
        rows.writerows(RNG.normal(size=(30, 4)).tolist())
    return file


def write_text(file):
    file.write_text("The quick brown fox jumps over the lazy dog. " * 200)
    return file


def proved_program(path):
    """The program of a spec that is formatted, warns of nothing and proves what it claims."""
    program = load(path)
    assert format_source(program.tree.span.source) == path.read_text(encoding="utf-8")
    assert not program.warnings and all(claim.holds for claim in program.claims)
    return program


@pytest.mark.parametrize("like", get_args(Template))
def test_a_template_is_written_and_the_next_commands_are_printed(odenet, tmp_path, like):
    code, output, errors = odenet("new", "mine", "--like", like)
    assert code == 0 and not errors
    assert len(proved_program(tmp_path / "mine.ode").claims) == CLAIM_COUNTS[like]
    assert odenet("fmt", "--check", "mine.ode")[0] == 0
    commands = [line.split()[1:3] for line in output.splitlines() if line.startswith("  odenet")]
    assert commands == [["compile", "mine.ode"], ["train", "mine.ode"], ["train", "mine.ode"]]


def test_an_existing_file_is_never_replaced(odenet, tmp_path):
    (tmp_path / "mine.ode").write_text("mine")
    code, _, errors = odenet("new", "mine")
    assert code == 1 and "error[unwritable-file]" in errors
    assert (tmp_path / "mine.ode").read_text() == "mine"
    assert odenet("new", "no name")[0] == 2


@pytest.mark.parametrize("like", get_args(Template)[:-1])  # the last one needs a text
def test_a_template_trains_for_a_step(odenet, tmp_path, like):
    odenet("new", "mine", "--like", like)
    code, _, errors = odenet("train", "mine.ode", "--set", "steps=1", "--fraction", "0.1")
    assert code == 0, errors


@pytest.mark.parametrize(
    ("write_data", "name", "net"),
    [
        (write_pictures, "pets",
         "net = input(3, 40, 70) -> conv(3, 32, stride = 2) -> bn -> relu -> conv(3, 32, stride = 2) "
         "-> bn -> relu -> conv(3, 32) -> flow(n) -> bn -> relu -> mean -> dense(3)"),
        (write_arrays, "waves.npz",
         "net = input(2, 24) -> conv(3, 32) -> flow(n) -> bn -> relu -> mean -> dense(4)"),
        (write_table, "rates.csv", "net = input(3) -> dense(32) -> flow(n) -> dense(1)"),
        (write_text, "book.txt", "net = tokens(128, vocabulary = 256) -> embed(w) -> flow(n) -> "
         "rmsnorm -> head(tied = yes)"),
    ],
)  # fmt: skip
def test_the_net_has_the_sizes_and_classes_of_the_data(odenet, tmp_path, write_data, name, net):
    write_data(tmp_path / name)
    code, _, errors = odenet("new", "mine", "--data", name)
    assert code == 0, errors
    assert net in (tmp_path / "mine.ode").read_text(encoding="utf-8")
    proved_program(tmp_path / "mine.ode")
    quick = ["--set", "batch=2", "--set", "steps=1", "--set", "accumulate=1"]
    code, _, errors = odenet("train", "mine.ode", *quick)
    assert code == 0, errors


def test_data_that_do_not_exist_or_do_not_fit_the_template_are_refused(odenet, tmp_path):
    assert "error[unreadable-data]" in odenet("new", "mine", "--data", "nowhere")[2]
    write_text(tmp_path / "book.txt")
    code, _, errors = odenet("new", "mine", "--data", "book.txt", "--like", "damped")
    assert code == 1 and "error[data-misfit]" in errors
    assert not (tmp_path / "mine.ode").exists()
    with pytest.raises(SpecError):
        load(tmp_path / "mine.ode")


def test_the_next_commands_quote_a_folder_with_a_space(odenet, tmp_path):
    (tmp_path / "my specs").mkdir()
    code, out, _ = odenet("new", "my specs/first")
    assert code == 0 and "odenet compile 'my specs/first.ode'" in out


@pytest.mark.parametrize("code", ["error[unknown-name]:", "[unknown-name]", "UNKNOWN_NAME"])
def test_explain_takes_the_kind_of_an_error_as_it_was_printed(odenet, code):
    assert odenet("explain", code)[1].startswith("unknown-name\n")


def test_only_specs_are_suggested_in_place_of_a_missing_file(odenet, tmp_path):
    (tmp_path / "osc.py").touch()
    assert "osc.py" not in odenet("compile", "osd.ode")[2]


@pytest.mark.parametrize(
    ("template", "hint"), [("foo", ""), ("hamiltonain", "; did you mean `hamiltonian`?")]
)
def test_an_unknown_template_is_refused_with_a_list_of_the_known_ones(odenet, template, hint):
    code, _, errors = odenet("new", "mine", "--like", template)
    known = ", ".join(get_args(Template))
    assert code == 2 and errors.endswith(f"'--like': `{template}` is not one of {known}{hint}\n")


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--steps", "--set steps=VALUE"),
        ("--momentum", "--set optimizer.momentum=VALUE"),
        ("--epoch", "--epochs"),
    ],
)
def test_an_unknown_option_is_refused_with_the_option_for_its_purpose(odenet, option, hint):
    code, _, errors = odenet("train", "mine.ode", option, "100")
    assert code == 2 and f"No such option: {option}" in errors and hint in errors
