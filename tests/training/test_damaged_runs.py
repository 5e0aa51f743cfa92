"""Run folders and checkpoints that are damaged, of another network, or of another program.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import json
import random
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

import odenet
from odenet.training.checksums import seal_archive, sealed_json
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.data_sets import load_data
from odenet.training.errors import TrainingError
from odenet.training.run_folder.checkpoints import read_checkpoint, write_checkpoint
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import evaluation, run
from odenet.training.runs.comparison import draw_comparison, read_results
from odenet.training.runs.restoring import damaged_weights_note, read_run_weights, weights_file

from . import stub_program
from .test_stability_guard import UNSTABLE_SPEC


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory):
    """A run of the stub over two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "stub.ode").write_text(stub_program.SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(odenet), "load", stub_program.load)
        patch.chdir(folder)
        run.train("stub.ode", {"epochs": 2}, out="run", console=Console(quiet=True))
    return folder / "run"


@pytest.fixture
def folder(trained_run, stub_spec):
    """A copy of the trained run, which the test damages."""
    shutil.copytree(trained_run, "run")
    return RunFolder(Path("run"))


def flip_bits(path, positions):
    """Flip a random bit of the byte at each position in turn, and restore the file at the end."""
    content = path.read_bytes()
    for position in positions:
        changed = bytearray(content)
        changed[position] ^= 1 << random.randrange(8)
        path.write_bytes(changed)
        yield position
    path.write_bytes(content)


def test_any_bit_that_is_changed_in_a_checkpoint_is_found(folder):
    path = folder.checkpoint("best")
    size = path.stat().st_size
    random.seed(0)
    # Some anywhere, and all of the end, where the archive's last record and the checksum are.
    positions = [*random.sample(range(size), 80), *range(size - 100, size)]
    for _ in flip_bits(path, positions):
        with pytest.raises(TrainingError, match=r"best\.ckpt cannot be used"):
            read_checkpoint(path)
    read_checkpoint(path)


def test_a_checkpoint_that_is_cut_short_or_empty_is_refused(folder):
    path = folder.checkpoint("best")
    content = path.read_bytes()
    # The last record of a zip archive takes 22 bytes, and 93 with the checksum in its comment.
    for size in (0, 1, 21, 22, 93, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(TrainingError, match="cannot be used"):
            read_checkpoint(path)


def test_any_bit_that_is_changed_in_the_record_or_the_result_is_found(folder):
    random.seed(0)
    # Every third byte, to save time.
    for _ in flip_bits(folder.record, range(0, folder.record.stat().st_size, 3)):
        with pytest.raises(TrainingError, match=r"run\.json"):
            folder.read_record()
    for _ in flip_bits(folder.result, range(0, folder.result.stat().st_size, 3)):
        with pytest.raises(TrainingError, match=r"result\.json"):
            read_results([folder.path])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "it is empty"),
        (lambda content: b"\0" * 4096, "it is empty"),
        (lambda content: content[: len(content) // 2], "it is cut short"),
        (lambda content: content[:1], "it is cut short"),
        (lambda content: b"{\n3}", "line 2 is not JSON"),
        (lambda content: b"\xff" + content, "it is not a text"),
    ],
)
def test_the_message_says_whether_a_file_is_empty_cut_short_or_not_json(folder, damage, message):
    for path, advice in (
        (folder.result, "remove it, and write it again: odenet train --resume run"),
        (folder.record, "take it from a copy of the run"),
    ):
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(TrainingError) as error:
            read_results([folder.path])  # raises if the result is damaged
            folder.read_record()
        assert f"{path} cannot be used: {message}" in error.value.message
        assert error.value.help.endswith(advice)


def test_damaged_weights_beside_a_whole_checkpoint_are_named(folder):
    weights_path = weights_file(folder, "best")
    assert weights_path.name == "best.ckpt" and damaged_weights_note(folder, weights_path) == ""
    next(flip_bits(folder.weights, [100]))
    note = damaged_weights_note(folder, weights_path)
    assert note == f"the weights are those of {weights_path}: {folder.weights} is damaged"
    read_run_weights(folder, "best")
    weights_path.unlink()
    assert damaged_weights_note(folder, weights_file(folder, "best")) == ""
    with pytest.raises(TrainingError, match=r"weights\.safetensors cannot be used"):
        read_run_weights(folder, "best")


def test_a_spec_that_is_changed_in_its_run_is_named(folder):
    folder.spec.write_text(folder.spec.read_text().replace("h = 0.5", "h = 0.7"))
    with pytest.raises(TrainingError, match=r"spec\.ode was changed since the run began"):
        evaluation.evaluate("run")
    folder.spec.unlink()
    with pytest.raises(TrainingError, match=r"spec\.ode is missing"):
        evaluation.evaluate("run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": None}, "`mean` is null, not a list"),
        ({"mean": ["a"]}, r"`mean\[0\]` is 'a', not a number"),
        ({"settings": []}, r"`settings` is \[\], not a mapping"),
        ({"classes": []}, "`classes` names none"),
        ({"deviation": [0.0]}, "`deviation`"),
        ({"options": {"exact": "yes"}}, r"`options\.exact` is 'yes', not true or false"),
        ({"options": {"speed": 3}}, r"`options\.speed`, which this version does not know"),
        ({"verdicts": 3}, "`verdicts` is 3"),
        ({"name": True}, "`name` is true, not a text"),
        ({"later": 1}, "`later`, which this version does not know"),
    ],
)
def test_a_record_that_does_not_hold_what_it_should_is_named(folder, changes, message):
    record = json.loads(folder.record.read_text())
    del record["sha256"]
    folder.record.write_text(sealed_json(record | changes))
    with pytest.raises(TrainingError, match=rf"run\.json cannot be used: .*{message}"):
        evaluation.evaluate("run")


def test_a_record_without_its_checksum_is_refused(folder):
    record = json.loads(folder.record.read_text())
    del record["sha256"]
    folder.record.write_text(json.dumps(record))
    with pytest.raises(TrainingError, match="not what its checksum was taken of"):
        folder.read_record()


def remove_weights(content):
    del content["state_dict"]


def change_width(content):
    content["state_dict"]["network.flow1.K"] = torch.zeros(2, 5, 5, 3, 3)


def change_optimizer_width(content):
    content["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(7)


# What is done to the content c of a checkpoint, the message, and whether evaluation refuses it as
# well as resuming.
DAMAGES = [
    (remove_weights, "`state_dict` is missing", True),
    (change_width, "flow1.K is 2 x 5 x 5 x 3 x 3 in it and 2 x 4 x 4 x 3 x 3", True),
    (lambda c: c["state_dict"].update({"network.head.bias": None}), "head.bias` is null", True),
    (lambda c: c["state_dict"].update({"network.more": torch.zeros(1)}), "more is not in", True),
    (lambda c: c.pop("odenet"), "`odenet` is missing", True),
    (lambda c: c.update(odenet=3), "`odenet` is 3, not a mapping", True),
    (lambda c: c["odenet"].update(level=40), "refined 40 times, and levels says 0", True),
    (lambda c: c["odenet"].update(level=-1), "refined -1 times", True),
    (lambda c: c["odenet"].update(level="a"), "`odenet.level` is 'a', not a whole number", True),
    (lambda c: c.update(epoch=None), "`epoch` is null", True),
    (lambda c: c.update(optimizer_states=3), "`optimizer_states` is 3", True),
    (lambda c: c.update(optimizer_states=[]), "`optimizer_states` has 0 entries", False),
    (lambda c: c.update(optimizer_states=[{}]), "is not that of an optimizer", False),
    (change_optimizer_width, "exp_avg of parameter 0 is 7 in it", False),
    (lambda c: c.update(lr_schedulers=[]), "`lr_schedulers` has 0 entries", False),
    (lambda c: c["callbacks"].pop("Metrics"), "`callbacks` has no entry `Metrics`", False),
    (lambda c: c.update(loops={}), "`loops` is not a mapping", False),
    (lambda c: c["loops"]["fit_loop"].pop("epoch_progress"), "no entry `epoch_progress`", False),
    (lambda c: c.update({"pytorch-lightning_version": None}), "lightning_version` is None", False),
]


@pytest.mark.parametrize(("damage", "message", "concerns_evaluation"), DAMAGES)
def test_a_checkpoint_with_wrong_content_is_refused_with_the_name_of_the_entry(
    folder, damage, message, concerns_evaluation
):
    content = read_checkpoint(folder.checkpoint("last"))
    damage(content)
    write_checkpoint(content, folder.checkpoints / "last.ckpt")
    resume = partial(run.resume, "run", {"epochs": 3}, console=Console(quiet=True))
    evaluate = partial(evaluation.evaluate, "run", weights="last")
    for operation in (resume, evaluate) if concerns_evaluation else (resume,):
        with pytest.raises(TrainingError) as error:
            operation()
        assert message in error.value.message
        assert "run/" in error.value.message and "weights_only" not in str(error.value)


def save_sealed(content, path):
    """Save any content with the checksum that a checkpoint has."""
    with path.open("w+b") as file:
        torch.save(content, file)
        seal_archive(file)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), "text", Path("x")])
def test_a_file_of_another_kind_is_refused_without_advice_to_load_it_unsafely(folder, content):
    save_sealed(content, folder.checkpoints / "last.ckpt")
    with pytest.raises(TrainingError, match=r"last\.ckpt cannot be used") as error:
        run.resume("run", console=Console(quiet=True))
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_neither_written_nor_used(folder, value):
    path = folder.checkpoint("last")
    content, before = read_checkpoint(path), path.read_bytes()
    content["state_dict"]["network.flow1.K"][0, 0, 0, 0, 0] = value
    with pytest.raises(TrainingError, match=r"flow1\.K is not finite"):
        write_checkpoint(content, path)
    assert path.read_bytes() == before
    assert {p.name for p in folder.checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}
    save_sealed(content, path)
    with pytest.raises(TrainingError, match=r"flow1\.K holds inf or nan"):
        evaluation.evaluate("run", weights="last")


def test_a_run_is_not_resumed_with_another_optimizer(folder):
    with pytest.raises(TrainingError, match="its optimizer is not SGD"):
        run.resume("run", {"optimizer": "sgd(0.1)"}, console=Console(quiet=True))


def test_a_changed_setting_that_the_weights_do_not_fit_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = UNSTABLE_SPEC.replace("flow(2)", "flow(n)").replace("net =", "let n = 1\nnet =")
    Path("small.ode").write_text(text.replace("fraction = 0.2", "fraction = 0.02"))
    run.train("small.ode", {"epochs": 1}, out="run", console=Console(quiet=True))
    with pytest.raises(TrainingError, match="run was trained with n = 1, not with n = 3"):
        run.resume("run", {"n": 3}, console=Console(quiet=True))
    with pytest.raises(TrainingError, match="run was trained with n = 1, not with n = 3"):
        evaluation.evaluate("run", {"n": 3})


def test_a_run_without_checkpoints_is_measured_by_its_weights(folder):
    scores = evaluation.evaluate("run")
    shutil.rmtree(folder.checkpoints)
    assert evaluation.evaluate("run") == scores
    # Some bytes; the first 8 are the length of the header.
    for _ in flip_bits(folder.weights, range(8, folder.weights.stat().st_size, 900)):
        with pytest.raises(TrainingError, match="not what its checksum was taken of"):
            evaluation.evaluate("run")


@pytest.mark.parametrize(
    "text", ["", "epoch,step\n", "epoch,step,lr\n0,1,x\n", "a,b\n1,2\n", "\0", "epoch\n1,2,3\n"]
)
def test_metrics_that_cannot_be_read_are_named(folder, text):
    folder.metrics.write_text(text)
    with pytest.raises(TrainingError, match=r"metrics\.csv"):
        draw_comparison([folder.path], Path("both.png"))


def test_a_result_that_is_empty_is_named(folder):
    folder.result.write_text("")
    with pytest.raises(TrainingError, match=r"result\.json cannot be used"):
        read_results([folder.path])


def test_a_holdout_that_leaves_no_training_samples_is_refused(stub_spec):
    program = stub_program.load(stub_spec, {"holdout": 0.9999})
    data = load_data(program.recipe.data, (1, 8, 8))
    with pytest.raises(TrainingError, match=r"holdout = 0\.9999 leaves no sample of digits"):
        SplitLoaders(data, program.recipe, (1, 8, 8))
