"""The page of a run: its samples, confusion matrix, curves, weights and training command.

The fixtures `run` and `page` of conftest.py are the folder of a run, and the page of its spec.
"""

import re
import shlex
import shutil
from dataclasses import replace

import pytest
import torch

import odenet
from odenet.model.reading.settings import data_setting
from odenet.report.page import page_html, run_report
from odenet.report.runs import commands_of, run_section
from odenet.training.errors import TrainingError, UnreadableData
from odenet.training.run_folder.records import Options, RunFolder

from .html_checks import check_page


@pytest.fixture(scope="module")
def section_and_measurements(run):
    """The section about the run on its page, and what was measured of its network."""
    return run_section(run, options=None)


@pytest.fixture(scope="module")
def section(section_and_measurements):
    return section_and_measurements[0]


def run_page_html(run):
    """The page of a run, made without messages about the progress."""
    return run_report(run, options=None, show_status=lambda _: None)


def test_the_page_of_a_run_is_well_formed_and_has_its_pictures(
    run, section, section_and_measurements, monkeypatch
):
    monkeypatch.setattr("odenet.report.page.run_section", lambda *_: section_and_measurements)
    html = run_page_html(run)
    page = check_page(html)
    assert "<h1>small-1</h1>" in html and "Run of small" in html
    assert sum(tag == "img" for tag, _ in page.elements) == len(section.samples) == 12
    assert sum(tag == "svg" for tag, _ in page.elements) >= 7


def test_the_confusion_matrix_counts_every_test_sample(run, section):
    matrix = torch.tensor(section.confusion.counts)
    scores = odenet.evaluate(run)
    assert matrix.diagonal().sum() / matrix.sum() == pytest.approx(scores["accuracy"])
    assert matrix.sum(1).min() > 10  # 360 test samples of ten classes


def test_samples_are_marked_correct_where_the_prediction_is_the_label(run, section):
    for sample in section.samples:
        assert sample.is_correct == sample.prediction.startswith(f"{sample.label} ")
    correctness = [sample.is_correct for sample in section.samples]
    assert correctness == sorted(correctness, reverse=True)


def test_the_command_is_the_one_that_trains_it(run):
    record = RunFolder(run).read_record()
    assert commands_of(record, run) == ["odenet train small.ode"]


def test_the_command_has_every_setting_and_option_quoted_for_a_shell(run):
    record = RunFolder(run).read_record()
    settings = {"data": {"folder": ["my $pictures"]}, "augment": ["flip", "pad_crop(1)"], "lr": "1"}
    options = Options(download=True, deterministic=True, weights="w.pt", clip_by="last", devices=2)
    (command,) = commands_of(replace(record, settings=settings, options=options), run)
    assert shlex.split(command) == [
        "odenet", "train", "small.ode", "--data", "folder:my $pictures",
        "--set", "augment=[flip, pad_crop(1)]", "--set", "lr=1", "--download", "--devices", "2",
        "--deterministic", "--clip-by", "last", "--weights", "w.pt",
    ]  # fmt: skip
    assert data_setting("folder:my $pictures") == settings["data"]


def test_the_commands_of_a_resumed_run_are_those_that_were_given(run, tmp_path):
    folder = RunFolder(shutil.copytree(run, tmp_path / "small-1"))
    first = folder.read_record()
    later = replace(first.options, memory="2GB")
    for settings, options in (({"epochs": "4"}, first.options), ({"epochs": "4"}, later)):
        folder.write_record(replace(first, settings=settings, options=options), epochs_done=2)
    record = folder.read_record()
    assert commands_of(record, folder.path) == [
        "odenet train small.ode",
        f"odenet train --resume {folder.path} --set epochs=4 # after 2 epochs",
        f"odenet train --resume {folder.path} --memory 2GB # after 2 epochs",
    ]


def test_a_run_without_its_data_has_a_page_without_samples(run, section, monkeypatch):
    def raise_unreadable(*_, **__):
        raise UnreadableData("there are no samples")

    monkeypatch.setattr("odenet.report.runs.restore", raise_unreadable)
    html = run_page_html(run)
    check_page(html)
    assert "could be looked at: there are no samples." in html
    assert "<img" not in html and "best epoch" in html


def test_a_folder_that_is_not_a_run_is_refused(run, tmp_path):
    with pytest.raises(TrainingError, match=rf"one of the runs in it, as in \S+{run.name}$"):
        run_page_html(run.parent)
    with pytest.raises(TrainingError, match="is not the folder of a run"):
        run_page_html(tmp_path)


def test_the_page_says_which_weights_were_measured(run, section):
    assert dict(section.facts)["weights"] == f"those of {run / 'checkpoints' / 'best.ckpt'}"


def test_curves_mark_the_best_epoch(run, section):
    best = re.search(r"best epoch, (\d)", section.curves.caption)[1]
    assert best in ("1", "2") and len(section.curves.panels) == 4


def test_html_in_names_of_classes_and_folders_is_escaped(section, page):
    hostile = "<img src=x onerror=alert(1)>"
    confusion = replace(section.confusion, classes=[hostile] * 10)
    samples = [replace(section.samples[0], label=hostile, prediction=hostile)]
    html = page_html(
        replace(
            page,
            title=hostile,
            origin=hostile,
            run=replace(section, confusion=confusion, samples=samples, commands=[hostile]),
        )
    )
    assert "<img src=x" not in html and html.count("&lt;img src=x") > 10
