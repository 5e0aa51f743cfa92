"""Kills trainings at random, resumes them, and compares what comes out with runs left alone.

    python -m tests.training.kill_and_resume --kills 50

Half of the kills come at a random moment, half at a random operation on a file, before or after it.
A run may be killed several times before it ends. What a run leaves has to be, bit for bit, what
the same run leaves that nobody killed; only times, speeds and the record of resumptions differ.
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
TIMED = (
    "seconds",
    "samples_per_second",
    "tokens_per_second",
    "saved",
    "folder",
    "sha256",  # the seal is of them, too
    "before",  # that it was resumed, and where
)
SMALL = {"n": 2, "epochs": 3, "fraction": 0.05, "batch": 16}


@dataclass(frozen=True)
class Scenario:
    """A training that is small and has much that can be lost."""

    settings: dict = field(default_factory=dict)
    processes: int = 1

    @property
    def job(self):
        return json.dumps([SMALL | self.settings, self.processes])


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
    """Kill as often as asked; exit with 1 if a run did not come out as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(SCENARIOS), action="append")
    given = parser.parse_args()
    counts, wrong = crash(given.kills, given.seed, given.only or list(SCENARIOS))
    for name, number in sorted(counts.items()):
        print(f"{number:5} {name}")
    sys.exit(1 if wrong else 0)


def crash(kills: int, seed: int, names: list[str]) -> tuple[Counter, list[str]]:
    """Kill and resume; gives how often what happened, and what was wrong."""
    rng = random.Random(seed)
    counts: Counter = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        whole = {}
        while counts["kills"] < kills:
            name = names[counts["runs"] % len(names)]
            if name not in whole:
                whole[name] = Whole.of(SCENARIOS[name], Path(folder) / f"whole{len(whole)}")
            run = Path(folder) / f"run{counts['runs']}"
            counts["runs"] += 1
            story = _killed_run(SCENARIOS[name], run, whole[name], rng, counts)
            print(f"{name}: {story}", flush=True)
            for fault in whole[name].differences(run):
                wrong.append(f"{name}, {story}: {fault}")
                print(wrong[-1], flush=True)
    counts["wrong"] = len(wrong)
    return counts, wrong


def _killed_run(scenario, run, whole, rng, counts) -> str:
    """Kill a run up to three times, then let it end; what was done to it."""
    story = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = 0 if rng.random() < 0.5 else rng.randint(1, whole.operations)
        process = Process(scenario, run, at)
        if at == 0:
            time.sleep(rng.uniform(0, 1.1) * whole.seconds)
        if at == 0 and process.poll() is None:
            process.kill()
        killed = process.wait() == -signal.SIGKILL
        what = f"at operation {at}" if at else "at a moment"
        story.append(what if killed else f"not {what}")
        if killed:
            counts["kills"] += 1
            counts[f"kills {what.rstrip('0123456789 ')}"] += 1
    if Process(scenario, run, 0).wait() != 0:
        story.append(f"and then it failed: {_log(run).read_text()[-800:]}")
    return ", ".join(story)


class Process:
    """A training in a process group of its own, forked where it is one process: imports are slow."""

    def __init__(self, scenario: Scenario, run: Path, at: int):
        self.code = None
        log = os.open(_log(run), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        job = (scenario.job, str(run), at)
        if scenario.processes > 1:
            command = [sys.executable, "-m", "tests.training.kill_and_resume"]
            more = {
                "ODENET_CRASH": json.dumps(job),
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            }
            process = subprocess.Popen(
                command, env=os.environ | more, stdout=log, stderr=log, start_new_session=True
            )
            process.returncode = 0  # it is waited for here
            self.pid = process.pid
        else:
            self.pid = os.fork() or _forked(log, job)
        os.close(log)

    def poll(self, block: int = os.WNOHANG) -> int | None:
        """The exit code, as `subprocess` gives it; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, block)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def kill(self) -> None:
        """End it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Let it end; what it started ends with it."""
        code = self.poll(0)
        self.kill()
        return code


def _forked(log: int, job: tuple) -> NoReturn:
    code = 1
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        _child(*job)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _log(run: Path) -> Path:
    return run.with_suffix(".log")


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed."""

    folder: Path
    seconds: float
    operations: int

    @classmethod
    def of(cls, scenario: Scenario, folder: Path) -> "Whole":
        began = time.perf_counter()
        if Process(scenario, folder, 0).wait() != 0:
            raise RuntimeError(_log(folder).read_text())
        seconds = time.perf_counter() - began
        count = int(folder.with_suffix(".operations").read_text())
        return cls(folder, seconds, count)

    def differences(self, run: Path) -> list[str]:
        """What a run left that is not what it should have left."""
        ours, theirs = ({p.relative_to(f) for p in f.rglob("*")} for f in (run, self.folder))
        if ours != theirs:
            return [f"files {sorted(map(str, ours ^ theirs))}"]
        found = []
        for path in sorted(ours):
            read = READERS.get(path.suffix, Path.exists)
            ours_, theirs_ = read(run / path), read(self.folder / path)
            if ours_ != theirs_:
                found.append(f"{path} differs: {_shown(ours_, theirs_)}")
        return found


def _shown(ours, theirs) -> str:
    """What two values that differ differ in, shortened."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        ours, theirs = ({key: side.get(key) for key in keys} for side in (ours, theirs))
    return f"{str(ours)[:300]} and {str(theirs)[:300]}"


def _json(path: Path):
    found = json.loads(path.read_text())
    return {key: value for key, value in found.items() if key not in TIMED}


def _rows(path: Path):
    with path.open() as file:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(file)]


def _weights(path: Path):
    found = torch.load(path, weights_only=True)
    parts = found["state_dict"], found["optimizer_states"], found["lr_schedulers"]
    return [found["epoch"], found["global_step"], *_flat(parts)]


def _flat(value):
    """The numbers of nested values, tensors as bytes."""
    if isinstance(value, dict):
        return [flat for key in value for flat in (key, *_flat(value[key]))]
    if isinstance(value, list | tuple):
        return [flat for item in value for flat in _flat(item)]
    return [value.numpy().tobytes() if hasattr(value, "numpy") else value]


READERS = {
    ".json": _json,
    ".csv": _rows,
    ".ckpt": _weights,
    ".ode": Path.read_text,
    ".py": Path.read_text,
    ".txt": Path.read_text,
}


def _child(job: str, run: str, at: int) -> None:
    """Train, or go on; kill yourself at the operation asked for."""
    torch.set_num_threads(1)
    operations = _counted(at)
    settings, processes = json.loads(job)
    strategy = "ddp" if processes > 1 else "auto"
    options = Options(devices=processes, strategy=strategy)
    console = Console(quiet=True)
    if (Path(run) / "run.json").exists():
        resume(run, console=console)
    else:
        train(ROOT / "specs" / "digits.ode", settings, options, run, console)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        Path(run).with_suffix(".operations").write_text(str(operations["done"]))


def _counted(at: int) -> Counter:
    """Count the operations on files of this package, and end at one of them."""
    done: Counter = Counter()

    def watched(operation):
        @functools.wraps(operation)
        def call(*arguments, **named):
            for _ in ("before", "after"):
                done["done"] += 1
                if done["done"] == at and os.environ.get("LOCAL_RANK", "0") == "0":
                    os.kill(os.getpid(), signal.SIGKILL)
                if _ == "before":
                    found = operation(*arguments, **named)
            return found

        return call

    class Watched:
        """`os`, counted."""

        def __getattr__(self, name):
            return watched(getattr(os, name)) if name in OPERATIONS else getattr(os, name)

    files.os = run_lock.os = Watched()
    return done


if __name__ == "__main__":
    if "ODENET_CRASH" in os.environ:
        _child(*json.loads(os.environ["ODENET_CRASH"]))
    else:
        main()
