"""The folder of a run holds all that evaluating and resuming need, and survives a full disk.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import errno
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from odenet import files
from odenet.training.callbacks.stopping import Stopped
from odenet.training.errors import TrainingError
from odenet.training.run_folder.checkpoints import KeptCheckpoint
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import evaluation, run
from tests.file_faults import FailingOs

from . import stub_program
from .test_resume import stop_at_step
from .train_and_compare import assert_same_run, metric_rows, train

QUIET = Console(quiet=True)


def spec_using(*paths):
    """The stub's spec, with `use` lines for these files, and `a` in its equation from one of them."""
    lines = "".join(f'use "{path}"\n' for path in paths)
    return stub_program.SPEC.replace("state x", f"{lines}state x").replace(
        "tanh(K x)", "a tanh(K x)"
    )


# Two of the names are also names of files in a run folder, and one has to be quoted.
@pytest.mark.parametrize("name", ["lib/mine.ode", "spec.ode", "run.json", "lib/ü 'x'.ode"])
def test_a_run_keeps_the_files_that_its_spec_uses(stub_spec, tmp_path, name):
    (tmp_path / "lib" / "more").mkdir(parents=True)
    # Paths in a file are relative to the folder of that file.
    (tmp_path / name).write_text(f'use "{"" if "/" in name else "lib/"}more/b.ode"\nlet a = b\n')
    (tmp_path / "lib" / "more" / "b.ode").write_text("let b = 3\nlet unused = 1\n")
    stub_spec.write_text(spec_using(name, "lib/more/b.ode"))
    train(stub_spec, epochs=1)
    with pytest.raises(TrainingError, match="is not what the run began with"):
        (tmp_path / "lib" / "more" / "b.ode").write_text("let b = 4\n")
        run.resume("run", spec=stub_spec, console=QUIET)
    shutil.rmtree(tmp_path / "lib")
    (tmp_path / name).unlink(missing_ok=True)
    stub_spec.unlink()
    Path("run").rename("moved")
    assert evaluation.evaluate("moved")["data"] == "digits"
    assert run.resume("moved", {"epochs": 2}, console=QUIET).epochs == 2


def test_module_and_certificate_of_a_run_are_those_of_the_spec_that_it_keeps(stub_spec, tmp_path):
    (tmp_path / "a.ode").write_text("let a = 1\n")
    stub_spec.write_text(spec_using("a.ode"))
    train(stub_spec, epochs=1)
    digest = sha256(Path("run/spec.ode").read_bytes()).hexdigest()
    assert digest in Path("run/certificate.json").read_text()
    assert digest[:12] in Path("run/network.py").read_text()
    assert Path("run/used/1.ode").read_text() == "let a = 1\n"


def test_a_disk_that_is_full_at_any_moment_loses_no_checkpoint(stub_spec, monkeypatch):
    settings = {"epochs": 2, "ema": 0.9, "levels": "[1]"}
    train(stub_spec, "uninterrupted", **settings)
    # The calls of `replace` that write an input, the first checkpoint and a later one.
    for call in (3, 7, 10):
        failing = FailingOs("replace", call, errno.ENOSPC)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", failing)
            with pytest.raises(files.WriteError):
                train(stub_spec, f"run{call}", **settings)
        for checkpoint in Path(f"run{call}").glob("checkpoints/*"):
            assert run.read_checkpoint(checkpoint)["state_dict"]
        if call == 3:
            train(stub_spec, f"run{call}", **settings)
        else:
            run.resume(f"run{call}", console=QUIET)
        assert_same_run(f"run{call}", "uninterrupted")


def test_the_metrics_of_a_resumed_run_have_each_epoch_once(stub_spec, monkeypatch):
    train(stub_spec, "uninterrupted")
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)  # in the second epoch
        with pytest.raises(Stopped):
            train(stub_spec)
    metrics_file = RunFolder(Path("run")).metrics
    metrics_file.write_text(metrics_file.read_text() + "1,12,0.5")  # a row that was cut short
    run.resume("run", console=QUIET)
    assert_same_run("run", "uninterrupted")
    metrics_file.unlink()  # killed between the last checkpoint and its row
    run.resume("run", console=QUIET)
    assert metric_rows("run") == metric_rows("uninterrupted")


def test_a_run_that_stopped_early_stays_stopped(stub_spec):
    result = train(stub_spec, target=0.01)
    assert run.resume("run", console=QUIET).epochs == result.epochs == 1
    without_progress = {"epochs": 20, "patience": 1, "optimizer": "sgd(1e-30, momentum = 0)"}
    result = train(stub_spec, "waited", **without_progress)
    assert run.resume("waited", console=QUIET).epochs == result.epochs < 20


def test_a_run_that_was_moved_remembers_its_best_epoch(stub_spec, tmp_path):
    train(stub_spec, epochs=1)
    callbacks = run.read_checkpoint(RunFolder(Path("run")).last)["callbacks"]
    # Lightning's name of a ModelCheckpoint contains its `monitor` and `mode`.
    (state,) = (s for name, s in callbacks.items() if "test_accuracy" in name and "mode" in name)
    callback = KeptCheckpoint(dirpath=tmp_path / "moved", monitor="test_accuracy", mode="max")
    callback.load_state_dict(state)
    assert callback.best_model_score == callback.kth_value == state["best_model_score"]
    assert callback.best_model_path == str(tmp_path / "moved" / "best.ckpt")
    assert list(callback.best_k_models) == [callback.best_model_path]
