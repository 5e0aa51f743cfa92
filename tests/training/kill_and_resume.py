"""Kills trainings at random, resumes them, and compares the results with uninterrupted runs.

    python -m tests.training.kill_and_resume --kills 50

Half of the kills come at a random time, half just before or after a random operation on a file.
A run may be killed several times before it ends. Its files then have to equal those of the
uninterrupted run bit for bit, except for times, speeds and the record of resumptions.
"""

import argparse
import csv
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
from rich.console import Console

from odenet import files
from odenet.training.run_folder.records import Options
from odenet.training.runs import run_lock
from odenet.training.runs.run import resume, train

ROOT = Path(__file__).parents[2]
OPERATIONS = ("open", "replace", "fsync", "chmod", "unlink", "mkdir", "ftruncate", "pwrite")
IGNORED_KEYS = (
    "seconds",
    "samples_per_second",
    "tokens_per_second",
    "saved",  # the share of time that levels save
    "folder",
    "sha256",  # the checksum of a record covers the keys above
    "before",  # earlier attempts of a resumed run
)
# Settings of specs/digits.ode that make its run last seconds; n is the number of steps of a flow.
SMALL_RUN = {"n": 2, "epochs": 3, "fraction": 0.05, "batch": 16}


@dataclass(frozen=True)
class Scenario:
    """A small training that has much state to save.

    Args:
        settings: those of its recipe, besides `SMALL_RUN`.
        processes: how many processes train together.
    """

    settings: dict = field(default_factory=dict)
    processes: int = 1

    @property
    def as_json(self):
        """Settings and processes, for the process that trains."""
        return json.dumps([SMALL_RUN | self.settings, self.processes])


SCENARIOS = {
    "levels, average, guard": Scenario(
        {"levels": "[1]", "ema": 0.9, "guard": "rescale", "augment": "[pad_crop(1)]"}
    ),
    "held out, patience": Scenario(
        {"holdout": 0.2, "patience": 1, "epochs": 6, "optimizer": "sgd(0.1)"}
    ),
    "two processes": Scenario({"levels": "[1]", "ema": 0.9, "guard": "rescale"}, processes=2),
}


def main() -> None:
    """Kill `--kills` times; exit with 1 if a resumed run differs from the uninterrupted one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(SCENARIOS), action="append")
    arguments = parser.parse_args()
    scenarios = arguments.only or list(SCENARIOS)
    counts, faults = kill_and_resume(arguments.kills, arguments.seed, scenarios)
    for event, count in sorted(counts.items()):
        print(f"{count:5} {event}")
    sys.exit(1 if faults else 0)


def kill_and_resume(kills: int, seed: int, names: list[str]) -> tuple[Counter, list[str]]:
    """Kill and resume runs of these scenarios in turn.

    Returns:
        Counts of events, and the faults: what differs from the uninterrupted runs.
    """
    rng = random.Random(seed)
    counts: Counter = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        references = {}
        while counts["kills"] < kills:
            name = names[counts["runs"] % len(names)]
            if name not in references:
                reference = Path(folder) / f"uninterrupted{len(references)}"
                references[name] = UninterruptedRun.train(SCENARIOS[name], reference)
            run = Path(folder) / f"run{counts['runs']}"
            counts["runs"] += 1
            history = _kill_and_finish(SCENARIOS[name], run, references[name], rng, counts)
            print(f"{name}: {history}", flush=True)
            for fault in references[name].differences(run):
                faults.append(f"{name}, {history}: {fault}")
                print(faults[-1], flush=True)
    counts["faults"] = len(faults)
    return counts, faults


def _kill_and_finish(scenario, run, reference, rng, counts) -> str:
    """Start a run, kill it up to three times, then let it end; says what happened."""
    history = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        kill_at = 0 if rng.random() < 0.5 else rng.randint(1, reference.kill_points)
        process = TrainingProcess(scenario, run, kill_at)
        if kill_at == 0:
            # A little more than the whole time, so that a kill may also come too late.
            time.sleep(rng.uniform(0, 1.1) * reference.seconds)
        if kill_at == 0 and process.poll() is None:
            process.kill()
        killed = process.wait() == -signal.SIGKILL
        moment = f"at kill point {kill_at}" if kill_at else "at a random moment"
        history.append(f"killed {moment}" if killed else f"ended before a kill {moment}")
        if killed:
            counts["kills"] += 1
            counts["kills at kill points" if kill_at else "kills at random moments"] += 1
    if TrainingProcess(scenario, run).wait() != 0:
        history.append(f"and then it failed: {_log(run).read_text()[-800:]}")
    return ", ".join(history)


class TrainingProcess:
    """Trains or resumes a run in a process group of its own, and kills itself where it is told to.

    `kill_at` is the number of one of its kill points, before or after each operation on a file,
    counted from 1; with 0 it does not kill itself. A training in one process is forked, since
    imports take long.
    """

    def __init__(self, scenario: Scenario, run: Path, kill_at: int = 0):
        self.exit_code = None
        log = os.open(_log(run), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        job = (scenario.as_json, str(run), kill_at)  # the arguments of `_train_or_resume`
        if scenario.processes > 1:
            command = [sys.executable, "-m", "tests.training.kill_and_resume"]
            variables = {
                "ODENET_KILL_JOB": json.dumps(job),
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            }
            process = subprocess.Popen(
                command, env=os.environ | variables, stdout=log, stderr=log, start_new_session=True
            )
            process.returncode = 0  # so that Popen does not wait for it: our `poll` does
            self.pid = process.pid
        else:
            self.pid = os.fork() or _run_forked_child(log, job)
        os.close(log)

    def poll(self, wait_options: int = os.WNOHANG) -> int | None:
        """The exit code as `subprocess` gives it, or None while the process runs."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, wait_options)
            self.exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self.exit_code

    def kill(self) -> None:
        """Kill the process and those that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Wait for the process, kill those that it started; gives its exit code."""
        exit_code = self.poll(wait_options=0)
        self.kill()
        return exit_code


def _run_forked_child(log: int, job: tuple) -> NoReturn:
    exit_code = 1
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        _train_or_resume(*job)
        exit_code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(exit_code)


def _log(run: Path) -> Path:
    return run.with_suffix(".log")


@dataclass(frozen=True)
class UninterruptedRun:
    """A finished run, how long it took, and at how many points a process can kill itself in it."""

    folder: Path
    seconds: float
    kill_points: int

    @classmethod
    def train(cls, scenario: Scenario, folder: Path) -> "UninterruptedRun":
        start = time.perf_counter()
        if TrainingProcess(scenario, folder).wait() != 0:
            raise RuntimeError(_log(folder).read_text())
        seconds = time.perf_counter() - start
        kill_points = int(folder.with_suffix(".kill_points").read_text())
        return cls(folder, seconds, kill_points)

    def differences(self, run: Path) -> list[str]:
        """What differs between the files of another run and of this one, one text for each file."""
        paths, expected_paths = (
            {p.relative_to(f) for p in f.rglob("*")} for f in (run, self.folder)
        )
        if paths != expected_paths:
            return [f"files {sorted(map(str, paths ^ expected_paths))}"]
        differences = []
        for path in sorted(paths):
            read = READERS.get(path.suffix, Path.exists)
            content, expected = read(run / path), read(self.folder / path)
            if content != expected:
                differences.append(f"{path} differs: {_difference(content, expected)}")
        return differences


def _difference(first, second) -> str:
    """Two contents in a few words; of mappings only the keys whose values differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = [key for key in first | second if first.get(key) != second.get(key)]
        first, second = ({key: side.get(key) for key in keys} for side in (first, second))
    return f"{str(first)[:300]} and {str(second)[:300]}"


def _read_json(path: Path):
    record = json.loads(path.read_text())
    return {key: value for key, value in record.items() if key not in IGNORED_KEYS}


def _read_csv(path: Path):
    with path.open() as file:
        return [
            {k: v for k, v in row.items() if k not in IGNORED_KEYS} for row in csv.DictReader(file)
        ]


def _read_checkpoint(path: Path):
    content = torch.load(path, weights_only=True)
    states = content["state_dict"], content["optimizer_states"], content["lr_schedulers"]
    return [content["epoch"], content["global_step"], *_flatten(states)]


def _flatten(value):
    """Keys and values of nested mappings and lists in one list, tensors as bytes."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in (key, *_flatten(value[key]))]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _flatten(item)]
    return [value.numpy().tobytes() if hasattr(value, "numpy") else value]


# Extension of a file to the function that reads what has to be equal in it; files of other
# extensions only have to exist.
READERS = {
    ".json": _read_json,
    ".csv": _read_csv,
    ".ckpt": _read_checkpoint,
    ".ode": Path.read_text,
    ".py": Path.read_text,
    ".txt": Path.read_text,
}


def _train_or_resume(scenario_json: str, run: str, kill_at: int) -> None:
    """Train, or resume where there is a run already; kill this process at `kill_at`."""
    torch.set_num_threads(1)
    kill_points = _count_kill_points(kill_at)
    settings, processes = json.loads(scenario_json)
    strategy = "ddp" if processes > 1 else "auto"
    options = Options(devices=processes, strategy=strategy)
    console = Console(quiet=True)
    if (Path(run) / "run.json").exists():
        resume(run, console=console)
    else:
        train(ROOT / "specs" / "digits.ode", settings, options, run, console)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        Path(run).with_suffix(".kill_points").write_text(str(kill_points.total()))


def _count_kill_points(kill_at: int) -> Counter:
    """Count before and after each later operation on a file; kill this process at `kill_at`."""
    kill_points: Counter = Counter()

    def counted(operation):
        @functools.wraps(operation)
        def call(*arguments, **keywords):
            for moment in ("before", "after"):
                kill_points[moment] += 1
                if kill_points.total() == kill_at and os.environ.get("LOCAL_RANK", "0") == "0":
                    os.kill(os.getpid(), signal.SIGKILL)
                if moment == "before":
                    result = operation(*arguments, **keywords)
            return result

        return call

    class CountedOs:
        """The module `os` with its operations on files counted."""

        def __getattr__(self, name):
            return counted(getattr(os, name)) if name in OPERATIONS else getattr(os, name)

    files.os = run_lock.os = CountedOs()
    return kill_points


if __name__ == "__main__":
    if "ODENET_KILL_JOB" in os.environ:
        _train_or_resume(*json.loads(os.environ["ODENET_KILL_JOB"]))
    else:
        main()
