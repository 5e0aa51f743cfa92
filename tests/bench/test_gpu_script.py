"""`python bench/gpu.py` at a tiny size on the CPU, with its child processes run in this one."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("bench", reason="bench/ lies beside the package in a checkout only")

from bench import gpu, paper_networks, stacks
from odenet.cli import app
from odenet.training.run_folder.metrics import as_csv
from odenet.training.run_folder.records import REQUIRED_COLUMNS, RunFolder
from odenet.training.runs.results import Result

pytestmark = pytest.mark.slow

QUICK = ["--device", "cpu", "--quick", "--networks", "resnet-32"]
FEW_IMPLEMENTATIONS = ("plain autograd", "revlib", "odenet")


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Runs bench/gpu.py with a function in place of `gpu.run_module`; gives exit code and table."""
    monkeypatch.setattr(stacks, "EAGER", FEW_IMPLEMENTATIONS)
    monkeypatch.setattr(stacks, "COMPILED", ())
    monkeypatch.setitem(stacks.PRECISIONS, "cpu", ("float32",))
    monkeypatch.setattr(gpu, "MIN_TRAINING_SECONDS", 0)
    monkeypatch.chdir(tmp_path)
    previous = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(run_module):
        monkeypatch.setattr(gpu, "run_module", run_module)
        code = gpu.main([*QUICK, "--minutes", "0.05", "--output", str(tmp_path)])
        return code, (tmp_path / "RESULTS-gpu.md").read_text("utf-8")

    yield run
    torch.set_num_threads(previous)


def run_in_process(command, seconds, stacks_seconds="60"):
    """`gpu.run_module` in this process; `stacks_seconds` is the time limit of bench.stacks."""
    module, *arguments = command
    if module == "bench.stacks":
        stacks.main([*arguments[:-1], stacks_seconds])  # the last argument is that of --seconds
    elif module == "odenet":
        app(arguments, standalone_mode=False)
    return 0, "5 passed in 1.0s"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # other libraries warn
def test_all_parts_are_in_the_file_and_in_the_summary(script, capsys):
    code, text = script(run_in_process)
    assert code == 0
    for line in ("## Tests", "5 passed", "### Transformer block", "tokens/s", "| resnet-32 |"):
        assert line in text
    summary = capsys.readouterr().out.splitlines()[-7:]  # after an empty line
    starts = ["tests: 5 passed", "hamiltonian, of plain autograd: odenet float32", "momentum,"]
    starts += ["transformer,", "resnet-32:", "wrote "]
    assert all(any(line.startswith(start) for line in summary) for start in starts)


def test_a_part_that_fails_says_so_and_the_others_run(script, capsys):
    def broken(command, seconds):
        if command[0] == "odenet":
            return 1, "no such data set"
        if command[0] == "bench.stacks" and command[1] == "momentum":
            return -6, "CUDA error: an illegal memory access was encountered"  # -6: aborted
        return run_in_process(command, seconds)

    code, text = script(broken)
    assert code == 1
    assert "Failed: CUDA error: an illegal memory access" in text
    assert "Failed: RuntimeError: no such data set" in text
    assert "### Transformer block" in text
    assert (
        "Training of resnet-32: FAILED, RuntimeError: no such data set" in capsys.readouterr().out
    )


def test_the_report_names_what_there_was_no_time_for(script, monkeypatch):
    monkeypatch.setattr(gpu, "MIN_TRAINING_SECONDS", 10)  # more than `script` has

    def no_time_for_stacks(command, seconds):
        if command[0] == "bench.stacks":
            return run_in_process(command, seconds, stacks_seconds="-1")
        return 0, "ok"

    _, text = script(no_time_for_stacks)
    late = "Not reached in the time given: plain autograd float32, revlib float32, odenet float32."
    assert text.count(late) == len(gpu.SIZES)
    assert "No time was left to train resnet-32" in text


def test_without_a_gpu_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    assert capsys.readouterr().out.count("\n") == 1


def test_a_child_that_takes_too_long_is_stopped():
    code, text = gpu.run_module(["timeit", "-s", "import time", "time.sleep(60)"], seconds=0.5)
    assert code == 124 and "stopped after" in text


@pytest.mark.parametrize("epochs", [0, 2])
def test_the_completed_epochs_of_a_stopped_training_count(tmp_path, epochs):
    def train(arguments, seconds):
        folder = RunFolder(Path(arguments[arguments.index("--out") + 1]))
        if folder.path.name.endswith("probe"):
            accuracies = {"accuracy": 0.1, "best_accuracy": 0.1, "test_accuracy": 0.1}
            speed = {"seconds": 1.0, "samples_per_second": 100.0}
            counts = {"best_epoch": 1, "epochs": 4, "parameters": 1234}
            result = Result(folder="", watched="test", **accuracies, **counts, **speed)
            folder.write(folder.result, result.to_json())
            return
        row = dict.fromkeys(REQUIRED_COLUMNS, 1.0) | {"samples_per_second": 200.0}
        rows = [row | {"epoch": n, "test_accuracy": (0.05, 0.15)[n]} for n in range(epochs)]
        folder.write(folder.metrics, as_csv(rows))
        raise RuntimeError("stopped after 30 s")

    arguments = ("resnet-32", "digits", [], tmp_path, 30.0, train)
    if not epochs:
        with pytest.raises(RuntimeError, match="stopped after"):
            paper_networks.train_within(*arguments)
        return
    run = paper_networks.train_within(*arguments)
    assert (run.epochs, run.result.accuracy, run.result.parameters) == (2, 0.15, 1234)
    assert run.result.samples_per_second == 200
