"""The points of a sweep, one after the other here, or several at a time in processes of their own.

`python -m odenet.training.sweeps.sweep_workers FOLDER NUMBER PLUGIN…` trains one.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from odenet.diagnostics import SpecError, printable
from odenet.interrupts import Interrupted, interruptible
from odenet.plugins import load_plugin, loaded_plugins
from odenet.training.callbacks.stopping import Stopped
from odenet.training.errors import BadOption, NotPossible
from odenet.training.sweeps.sweeps import (
    Outcome,
    read_outcomes,
    read_sweep,
    require_same_spec,
    train_point,
    unfinished_points,
    write_outcomes,
)

POLL_INTERVAL = 0.2  # seconds between two looks at processes


def train_sweep(folder: Path, console: Console, at_once: int | None = None) -> list[Outcome]:
    """Train the points of a sweep that are not finished.

    Args:
        folder: of the sweep.
        console: where progress is shown.
        at_once: how many points are trained at a time; by default one on each GPU, or one.

    Raises:
        TrainingError: a point cannot be trained; those that are finished stay.
        Stopped: after SIGTERM or Ctrl-C; the sweep can be resumed.
    """
    require_same_spec(read_sweep(folder))
    devices = _devices(at_once)
    try:
        if len(devices) == 1:
            _train_sequentially(folder, console)
        else:
            _train_in_processes(folder, console, devices)
    except Interrupted as interrupted:
        raise Stopped(folder, interrupted.number) from None
    finally:
        write_outcomes(folder)
    return read_outcomes(folder)


def _devices(at_once: int | None) -> list[str]:
    """What CUDA_VISIBLE_DEVICES is for each of the processes that train at a time."""
    gpus = torch.cuda.device_count()
    if not gpus:
        return [""] * (at_once or 1)
    if at_once is not None and at_once > gpus:
        raise BadOption(f"--devices {at_once}: this machine has {gpus} GPUs", "give fewer")
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = shown.split(",") if shown else list(map(str, range(gpus)))
    return names[: at_once or gpus]


def _train_sequentially(folder: Path, console: Console) -> None:
    for number, outcome in list(unfinished_points(folder)):
        _announce(folder, number, outcome, console)
        train_point(folder, number, console)


def _train_in_processes(folder: Path, console: Console, devices: Sequence[str]) -> None:
    """Each point in a process that sees one device; what it prints goes into a file."""
    left = list(unfinished_points(folder))
    free = list(devices)
    running: list[tuple[subprocess.Popen[bytes], str, Path]] = []
    try:
        while left or running:
            while left and free:
                number, outcome = left.pop(0)
                _announce(folder, number, outcome, console)
                log = folder / f"{outcome.folder.name}.log"
                device = free.pop(0)
                running.append((_start_process(folder, number, device, log), device, log))
            for entry in [entry for entry in running if entry[0].poll() is not None]:
                running.remove(entry)
                free.append(entry[1])
                _require_success(entry[0].returncode, entry[2], folder)
            time.sleep(POLL_INTERVAL)
    finally:
        for process, _, _ in running:  # each saves, and goes on from there when it is resumed
            process.send_signal(signal.SIGTERM)
        for process, _, _ in running:
            process.wait()


def _start_process(folder: Path, number: int, device: str, log: Path) -> subprocess.Popen[bytes]:
    plugins = [str(plugin.path) for plugin in loaded_plugins()]
    command = [sys.executable, "-m", __name__, str(folder), str(number), *plugins]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def _require_success(code: int, log: Path, folder: Path) -> None:
    """Refuse to go on where a point could not be trained."""
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):  # asked to stop, as this process is
        raise Stopped(folder, code - 128)
    if code:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-2:]
        raise NotPossible(f"a point of the sweep failed: {' '.join(last)}", f"see {log}")


def _announce(folder: Path, number: int, outcome: Outcome, console: Console) -> None:
    settings = ", ".join(f"{name} = {value}" for name, value in outcome.settings.items())
    count = len(read_sweep(folder).points)
    console.print(
        Text(f"point {number + 1} of {count}: {printable(settings)}", "bold"), soft_wrap=True
    )


def main(arguments: Sequence[str]) -> int:
    """Train one point in this process; gives the exit code."""
    folder, number, *plugins = arguments
    for plugin in plugins:
        load_plugin(plugin)
    try:
        with interruptible():
            train_point(Path(folder), int(number), Console())
    except Stopped as stopped:
        return 128 + (stopped.number or signal.SIGTERM)
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
