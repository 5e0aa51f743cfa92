"""A training from its spec to its folder: files, evaluation, averages, early stopping, errors.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import json
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

import odenet
from odenet.diagnostics import SpecError
from odenet.model.tables.recipe import Recipe
from odenet.training.callbacks.averaging import MovingAverage
from odenet.training.data.samples import LabelInfo
from odenet.training.errors import TrainingError
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import read_checkpoint, write_checkpoint
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs import evaluation, run
from odenet.training.runs.results import show_result, time_saved

from . import stub_program
from .train_and_compare import assert_same_run, metric_rows, train, weights

ROOT = Path(__file__).parents[2]


def test_a_run_leaves_everything_that_reproduces_it(stub_spec):
    result = train(stub_spec, epochs=2)
    folder = RunFolder(Path("run"))
    assert folder.spec.read_text() == stub_program.SPEC
    assert folder.module.read_text() == "# the generated module\n"
    assert folder.certificate.read_text() == "spectrum open: it was not looked at\n"
    assert (folder.path / "certificate.json").read_text() == "{}\n"
    assert folder.curves.read_bytes()[:4] == b"\x89PNG"
    assert {p.name for p in folder.checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert folder.read_record().settings == {"epochs": 2}
    assert [row["epoch"] for row in folder.rows()] == [0, 1]
    assert json.loads(folder.result.read_text())["accuracy"] == result.accuracy
    assert result.accuracy == folder.rows()[-1]["test_accuracy"]


def test_the_network_learns_the_digits(stub_spec):
    result = train(stub_spec, epochs=6, fraction=1, optimizer="adamw(0.01)")
    assert result.accuracy > 0.9


def test_the_same_seed_gives_the_same_run_and_another_a_different_one(stub_spec):
    train(stub_spec, "first", epochs=1)
    train(stub_spec, "again", epochs=1)
    train(stub_spec, "other", epochs=1, seed=1)
    assert_same_run("again", "first")
    assert metric_rows("other") != metric_rows("first")


def test_evaluation_gives_the_accuracy_of_training(stub_spec):
    result = train(stub_spec)
    scores = evaluation.evaluate("run")
    assert (scores["data"], scores["accuracy"]) == ("digits", result.best_accuracy)
    assert evaluation.evaluate("run", weights="last")["accuracy"] == result.accuracy


def test_the_moving_average_of_the_weights_is_what_is_measured_and_kept(stub_spec, monkeypatch):
    averages = []
    original = MovingAverage.on_train_batch_end

    def on_train_batch_end(self, trainer, task, *rest):
        before = [p.clone() for p in self.average.parameters()]
        original(self, trainer, task, *rest)
        decay = 0.9 if averages else 0.0  # the first step sets the average
        for old, new, current in zip(
            before, self.average.parameters(), task.parameters(), strict=True
        ):
            torch.testing.assert_close(new, decay * old + (1 - decay) * current)
        averages.append(self.average)

    monkeypatch.setattr(MovingAverage, "on_train_batch_end", on_train_batch_end)
    result = train(stub_spec, ema=0.9, epochs=2)
    saved = weights("run")
    for name, parameter in averages[-1].named_parameters():
        assert torch.equal(saved[name], parameter)
    assert evaluation.evaluate("run", weights="last")["accuracy"] == result.accuracy


def test_the_best_epoch_is_chosen_on_held_out_samples_and_measured_on_the_test_split(stub_spec):
    result = train(stub_spec, holdout=0.2)
    assert result.watched == "val"
    assert "val_accuracy" in metric_rows("run")[0] and "test_accuracy" not in metric_rows("run")[0]
    assert result.test_accuracy == evaluation.evaluate("run")["accuracy"]


def test_training_stops_at_its_target(stub_spec):
    assert train(stub_spec, target=0.01).epochs == 1


def test_training_stops_without_progress(stub_spec):
    frozen = "sgd(1e-30, momentum = 0)"
    assert train(stub_spec, epochs=20, patience=1, optimizer=frozen).epochs < 20


def test_batch_norms_synchronised_among_processes_keep_names_and_outputs():
    network = odenet.load(ROOT / "specs" / "momentum.ode", set={"n": 2, "w": 4}).network().eval()
    synchronised = torch.nn.SyncBatchNorm.convert_sync_batchnorm(deepcopy(network))
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in synchronised.modules())
    assert synchronised.state_dict().keys() == network.state_dict().keys()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(synchronised(images), network(images))


def test_a_loss_that_is_not_finite_ends_the_run_with_advice(stub_spec):
    with pytest.raises(TrainingError, match="loss is not finite in epoch 1, step 2") as error:
        train(stub_spec, optimizer="sgd(1e30)")
    assert "lr" in error.value.help


def test_gradients_are_clipped(stub_spec):
    torch.manual_seed(0)
    initial_weights = {k: v.clone() for k, v in stub_program.Network(10).state_dict().items()}
    train(
        stub_spec, epochs=1, clip=1e-6, optimizer="sgd(1, momentum = 0)", schedule="constant",
    )  # fmt: skip
    change = weights("run")["network.head.weight"] - initial_weights["head.weight"]
    assert 0 < change.norm() < 6e-6  # after five steps of at most 1e-6


def test_the_smoothness_penalty_is_that_of_the_paper(stub_spec):
    network = stub_program.Network(10)
    task = Task(network, Recipe(smooth=0.5), LabelInfo(10))
    flow = network.flow1
    # Chang et al. 2018 (AAAI), Eq. 22
    expected = 0.5 * flow.h * ((flow.K[1] - flow.K[0]) / flow.h).square().sum()
    torch.testing.assert_close(task.penalty(), expected)


def test_precision_float64_trains_in_double_precision(stub_spec):
    train(stub_spec, epochs=1, precision="float64")
    assert weights("run")["network.head.weight"].dtype == torch.float64


def test_evaluation_takes_the_users_pictures_by_class_name(stub_spec, tmp_path):
    train(stub_spec, epochs=1)
    for name in ("7", "3"):
        (tmp_path / "mine" / "train" / name).mkdir(parents=True)
        (tmp_path / "mine" / "test" / name).mkdir(parents=True)
        for split in ("train", "test"):
            Image.new("RGB", (20, 20)).save(tmp_path / "mine" / split / name / "a.png")
    checkpoint = read_checkpoint(RunFolder(Path("run")).checkpoint("best"))
    checkpoint["state_dict"]["network.head.weight"].zero_()
    checkpoint["state_dict"]["network.head.bias"] = torch.eye(10)[7]  # class 7 for any picture
    write_checkpoint(checkpoint, RunFolder(Path("run")).checkpoint("best"))
    settings = {"data": 'folder("mine")'}
    assert evaluation.evaluate("run", settings)["accuracy"] == 0.5
    (tmp_path / "mine" / "test" / "x").mkdir()
    (tmp_path / "mine" / "train" / "x").mkdir()
    for split in ("train", "test"):
        Image.new("RGB", (20, 20)).save(tmp_path / "mine" / split / "x" / "a.png")
    with pytest.raises(TrainingError, match="does not know the class x"):
        evaluation.evaluate("run", settings)


def test_damaged_pictures_are_named_at_the_end(stub_spec, tmp_path, capsys):
    for name in ("ants", "bees"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (9, 9)).save(tmp_path / "mine" / name / f"{number}.png")
    (tmp_path / "mine" / "bees" / "4.png").write_bytes(b"broken")
    result = train(stub_spec, data='folder("mine")', epochs=1, batch=4, fraction=1)
    assert len(result.damaged) == 1 and "4.png" in result.damaged[0]
    show_result(result, Console(width=200))
    assert "left out 1 damaged picture" in capsys.readouterr().out


def test_a_folder_that_is_not_empty_is_not_overwritten(stub_spec, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("")
    with pytest.raises(TrainingError, match="run is not empty"):
        train(stub_spec)


def test_runs_are_numbered(stub_spec, tmp_path):
    (tmp_path / "runs" / "stub-1").mkdir(parents=True)
    assert Path(train(stub_spec, None, epochs=1).folder).name == "stub-2"


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_that_is_not_a_run_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(TrainingError, match=r"not the folder of a run|cannot be used"):
        evaluation.evaluate(tmp_path)


def test_a_damaged_checkpoint_is_named(stub_spec):
    train(stub_spec, epochs=1)
    Path("run/checkpoints/best.ckpt").write_bytes(b"broken")
    with pytest.raises(TrainingError, match=r"best\.ckpt cannot be used"):
        evaluation.evaluate("run")


def test_unknown_strategies_and_devices_are_refused(stub_spec):
    with pytest.raises(TrainingError, match="no strategy dpp") as error:
        run.train(stub_spec, {}, Options(strategy="dpp"), "run", Console(quiet=True))
    assert error.value.help == "did you mean `ddp`?"
    with pytest.raises(TrainingError, match="devices"):
        run.train(stub_spec, {}, Options(devices="many"), "run", Console(quiet=True))
    assert not Path("run").exists()


def test_an_epoch_too_long_to_hold_its_order_in_memory_is_refused(stub_spec):
    with pytest.raises(TrainingError, match="repeat = 1000000000 makes an epoch of"):
        run.train(stub_spec, {"repeat": 10**9}, out="run", console=Console(quiet=True))
    assert not Path("run").exists()


def test_a_memory_mode_that_the_flow_cannot_have_is_refused(stub_spec):
    with pytest.raises(TrainingError, match="the stub has no inverse"):
        run.train(stub_spec, {}, Options(memory="reversible"), "run", Console(quiet=True))
    assert not Path("run").exists()


def test_a_spec_without_data_says_how_to_give_some(stub_spec):
    stub_spec.write_text(stub_program.SPEC.partition("train {")[0])
    with pytest.raises(TrainingError) as error:
        train(stub_spec)
    assert "--data" in error.value.help


def test_the_time_that_levels_save_is_measured_by_the_last_level():
    recipe = Recipe(epochs=4, levels=(2,))
    # Seconds since the start: the first two epochs take 1 each, those of the last level 2.
    epochs = [{"seconds": s} for s in (1.0, 2.0, 4.0, 6.0)]
    assert time_saved(epochs, recipe) == pytest.approx(0.25)  # 6 seconds in place of 4 * 2
    assert time_saved(epochs[:2], recipe) is None
    assert time_saved(epochs, Recipe(epochs=4)) is None
    assert math.isfinite(time_saved(epochs, recipe))


def test_a_network_of_another_width_than_the_classes_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "seven.ode"
    spec.write_text(stub_program.SPEC.replace("dense(10)", "dense(7) -> relu"))
    with pytest.raises(SpecError, match=r"takes \(10\) of a sample.* gives \(7\)"):
        train(spec)
