"""`--logger`: what each logger writes while offline, and errors where its library is missing.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

from pathlib import Path

import pytest
from rich.console import Console

from odenet.extras import MissingLibraries
from odenet.training.errors import TrainingError
from odenet.training.run_folder.records import LOGGERS, Options
from odenet.training.runs import run
from odenet.training.schema import Mismatch

from .train_and_compare import metric_rows


def train(spec, logger, out="run"):
    """Train a spec for two epochs with a logger."""
    run.train(spec, {"epochs": 2}, Options(logger=logger), out, Console(quiet=True))


@pytest.mark.parametrize("name", LOGGERS)
def test_a_missing_library_is_named_before_anything_is_written(stub_spec, monkeypatch, name):
    monkeypatch.setattr("odenet.extras.find_spec", lambda module: None)
    message = rf"--logger {name} needs .*, which is not installed.*\[{name}\]"
    with pytest.raises(MissingLibraries, match=message):
        train(stub_spec, name)
    assert not Path("run").exists()


def test_tensorboard_has_the_numbers_of_each_epoch(stub_spec):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(stub_spec, "tensorboard")
    events = EventAccumulator("run/tensorboard")
    events.Reload()
    logged = [event.value for event in events.Scalars("test_accuracy")]
    assert logged == pytest.approx([row["test_accuracy"] for row in metric_rows("run")])


@pytest.mark.filterwarnings("ignore")  # warnings of the library
def test_wandb_is_written_offline_one_run_after_the_other(stub_spec, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for out in ("first", "second"):
        train(stub_spec, "wandb", out)
        assert wandb.run is None
        (log,) = Path(out, "wandb").glob("offline-run-*/*.wandb")
        assert b"test_accuracy" in log.read_bytes()


@pytest.mark.filterwarnings("ignore")  # warnings of the library
def test_mlflow_is_written_to_files(stub_spec, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train(stub_spec, "mlflow")
    (metric,) = Path("run/mlruns").glob("*/*/metrics/test_accuracy")
    logged = [float(line.split()[1]) for line in metric.read_text().splitlines()]
    assert logged == pytest.approx([row["test_accuracy"] for row in metric_rows("run")])
    (epochs,) = Path("run/mlruns").glob("*/*/params/epochs")
    assert epochs.read_text() == "2"


@pytest.mark.filterwarnings("ignore")  # warnings of the library
def test_a_logger_that_cannot_begin_is_reported(stub_spec, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-place://x")
    with pytest.raises(TrainingError, match="--logger cannot begin: "):
        train(stub_spec, "mlflow")


def test_an_unknown_logger_is_refused(stub_spec):
    with pytest.raises(TrainingError, match="`logger` is 'printer', not one of tensorboard, wandb"):
        run.train(stub_spec, console=Console(quiet=True), logger="printer")
    with pytest.raises(Mismatch, match="not one of tensorboard"):
        Options(logger="printer")
