"""Training the points of a sweep: one after the other, or several at a time in worker processes.

A worker process runs `python -m odenet.training.sweeps.sweep_workers FOLDER NUMBER PLUGIN…`, which
trains one point.
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
from odenet.training.sweeps import sweeps

POLL_INTERVAL = 0.2  # seconds between two checks whether a worker has ended


def train_sweep(folder: Path, console: Console, workers: int | None = None) -> list[sweeps.Point]:
    """Train the points of a sweep that are not finished, and return all points.

    Args:
        folder: the sweep's folder.
        console: where progress is shown.
        workers: how many points are trained at a time (`--devices`); by default one on each GPU, or
            one at a time without GPUs.

    Raises:
        TrainingError: a point cannot be trained; the runs of other points stay.
        Stopped: after SIGTERM or Ctrl-C; the sweep can be resumed.
    """
    sweeps.require_same_spec(sweeps.read_sweep(folder))
    devices = _visible_devices(workers)
    try:
        if len(devices) == 1:
            _train_sequentially(folder, console)
        else:
            _train_in_processes(folder, console, devices)
    except Interrupted as interrupted:
        raise Stopped(folder, interrupted.number) from None
    finally:
        sweeps.write_results(folder)
    return sweeps.read_points(folder)


def _visible_devices(workers: int | None) -> list[str]:
    """One entry for each worker: its CUDA_VISIBLE_DEVICES, an empty string without GPUs."""
    gpus = torch.cuda.device_count()
    if not gpus:
        return [""] * (workers or 1)
    if workers is not None and workers > gpus:
        raise BadOption(f"--devices {workers}: this machine has {gpus} GPUs", "give fewer")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else list(map(str, range(gpus)))
    return names[: workers or gpus]


def _train_sequentially(folder: Path, console: Console) -> None:
    for index, point in list(sweeps.unfinished_points(folder)):
        _print_point(folder, index, point, console)
        sweeps.train_point(folder, index, console)


def _train_in_processes(folder: Path, console: Console, devices: Sequence[str]) -> None:
    """Train each point in a process that uses one of the devices and prints into a log file."""
    waiting = list(sweeps.unfinished_points(folder))
    free_devices = list(devices)
    running: list[tuple[subprocess.Popen[bytes], str, Path]] = []
    try:
        while waiting or running:
            while waiting and free_devices:
                index, point = waiting.pop(0)
                _print_point(folder, index, point, console)
                log = folder / f"{point.folder.name}.log"
                device = free_devices.pop(0)
                running.append((_start_process(folder, index, device, log), device, log))
            for worker in [worker for worker in running if worker[0].poll() is not None]:
                running.remove(worker)
                process, device, log = worker
                free_devices.append(device)
                _require_success(process.returncode, log, folder)
            time.sleep(POLL_INTERVAL)
    finally:
        for process, _, _ in running:  # each writes a checkpoint to resume from
            process.send_signal(signal.SIGTERM)
        for process, _, _ in running:
            process.wait()


def _start_process(folder: Path, index: int, device: str, log: Path) -> subprocess.Popen[bytes]:
    plugins = [str(plugin.path) for plugin in loaded_plugins()]
    command = [sys.executable, "-m", __name__, str(folder), str(index), *plugins]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def _require_success(code: int, log: Path, folder: Path) -> None:
    """Raise an error if the exit code of a worker is not 0.

    Raises:
        Stopped: the worker was stopped by a signal.
        TrainingError: its point cannot be trained; shows the last lines of the log.
    """
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Stopped(folder, code - 128)
    if code:
        last_lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-2:]
        raise NotPossible(f"a point of the sweep failed: {' '.join(last_lines)}", f"see {log}")


def _print_point(folder: Path, index: int, point: sweeps.Point, console: Console) -> None:
    settings = ", ".join(f"{name} = {value}" for name, value in point.settings.items())
    title = f"point {index + 1} of {len(sweeps.read_sweep(folder).point_settings)}"
    console.print(Text(f"{title}: {printable(settings)}", "bold"), soft_wrap=True)


def main(arguments: Sequence[str]) -> int:
    """The entry point of a worker process: trains one point, and returns the exit code.

    Args:
        arguments: the sweep's folder, the point's index from 0, and the paths of plugins to load.
    """
    folder, index, *plugins = arguments
    for plugin in plugins:
        load_plugin(plugin)
    try:
        with interruptible():
            sweeps.train_point(Path(folder), int(index), Console())
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
