"""`--find-lr`, the search for a learning rate, and the messages of runs that stop early.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import odenet
from odenet.cli import app
from odenet.training import find_rate
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.results import show_result
from odenet.training.runs.run import resume

from . import specs
from .train_and_compare import train


@pytest.fixture
def spec_and_data(tmp_path, monkeypatch):
    """A spec and its data (x, y), where y is the sum of the numbers in x, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    x = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    return specs.write(tmp_path, specs.VECTOR_NET.format(1), "loss = mse"), (x, x.sum(1, True))


def test_the_rate_rises_until_the_loss_does(spec_and_data):
    spec, (x, y) = spec_and_data
    data, files_before = ((x, y), (x, y)), set(Path().iterdir())  # training and test split
    random_state = torch.get_rng_state()
    search = find_rate(odenet.load(spec, set={"batch": 120}), Options(), data=data)
    assert set(Path().iterdir()) == files_before
    assert search.rates[0] == pytest.approx(1e-6) and 1 < search.rates[-1] / search.rates[-2] < 1.2
    # The first loss is that of the initial weights, which so small a rate does not change. In the
    # search it is that of standardised labels.
    folder = specs.train(spec, data=data, epochs=1, batch=120, lr=1e-12).folder
    (row,) = RunFolder(Path(folder)).rows()
    assert search.losses[0] == pytest.approx(row["train_loss"] / y.var().item(), rel=0.02)
    assert max(search.losses) > search.losses[0] > min(search.losses)
    # Lightning does not suggest the first ten rates.
    assert search.rates[10] <= search.suggestion <= search.rates[-1]
    assert search.now == 0.01  # of specs.TEMPLATE
    torch.set_rng_state(random_state)
    assert find_rate(odenet.load(spec, set={"batch": 120}), Options(), data=data) == search


def test_the_command_writes_a_figure_and_nothing_else(spec_and_data):
    spec, _ = spec_and_data
    spec.write_text(spec.read_text().replace("loss = mse", "data = moons(n = 80)")
                    .replace("input(4)", "input(2)").replace("dense(1)", "dense(2)"))  # fmt: skip
    result = CliRunner().invoke(app, ["train", str(spec), "--find-lr"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "--lr " in result.output and result.output.endswith("wrote spec-lr.png\n")
    assert {path.name for path in Path().iterdir()} == {"spec.ode", "spec-lr.png"}
    result = CliRunner().invoke(app, ["train", str(spec), "--find-lr", "--dry-run"])
    assert result.exit_code == 2


def printed_result(result):
    """The lines that a finished training prints of its result."""
    console = Console(record=True, width=80)
    show_result(result, console)
    return console.export_text()


def test_a_run_says_that_it_stopped_without_progress(stub_spec):
    result = train(stub_spec, epochs=9, patience=2, optimizer="adam(0.5)")
    assert result.epochs == result.best_epoch + 2 < 9
    message = f"after epoch {result.epochs} of 9: accuracy was no better for 2"
    assert result.stopped_early == message and f"stopped early  {message}" in printed_result(result)


def test_a_run_says_that_it_stopped_at_its_target(stub_spec):
    result = train(stub_spec, epochs=5, target=0.05)
    assert result.stopped_early == f"after epoch 1 of 5: accuracy is {result.last:.2%}, the target"
    longer = resume("run", {"target": 0.0, "epochs": 2}, console=Console(quiet=True))
    assert longer.stopped_early == "" and "stopped early" not in printed_result(longer)
