"""A soak test, not part of the suite: `python -m tests.runtime.soak --steps 100000`.

It takes many steps forward and back in exact arithmetic and compares bit for bit. Then it trains a
tiny network over many epochs and prints the memory and the number of open files of the process.
"""

import argparse
import contextlib
import gc
import io
import os
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

import odenet
from odenet.training.runs import run

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
TINY_SPEC = """odenet 1
state Y, Z
param K1, K2 : dense
param b1, b2 : bias
Y' =  K1^T tanh(K1 Z + b1)
Z' = -K2^T tanh(K2 Y + b2)
discretise verlet(h = 0.1)
net = input(2) -> dense(8) -> flow(3) -> dense(2)
train {
    data     = moons(60)
    batch    = 16
    schedule = constant
}
"""


def resident_mebibytes() -> float:
    """The resident memory of the process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def open_file_count() -> int:
    """How many files the process has open."""
    return len(os.listdir("/proc/self/fd"))


def check_exact_inverse(steps: int) -> None:
    """Takes `steps` steps forward and back, by repeated calls of a flow of at most 1000 steps."""
    torch.manual_seed(0)
    depth = min(steps, 1000)
    with tempfile.TemporaryDirectory() as folder:
        tiny_spec = Path(folder) / "hamiltonian.ode"
        tiny_spec.write_text(TINY_SPEC.replace("h = 0.1", "h = 0.01"))
        programs = [odenet.load(tiny_spec), odenet.load(ROOT / "specs" / "rings.ode")]
    for program in programs:  # the second multiplies by γ, which leaves remainders
        flow = program.flow(4, depth, space=0)
        state = start = flow.encode(torch.randn(2, 4))
        start_time = time.perf_counter()
        for _ in range(steps // depth):
            state = flow.evolve_exactly(state)
        has_moved = not state.equal(start)
        for _ in range(steps // depth):
            state = flow.inverse_exactly(state)
        is_restored = state.equal(start)
        seconds = time.perf_counter() - start_time
        print(
            f"{program.name}: {steps} steps and back in {seconds:.0f} s, "
            f"bit for bit: {is_restored}",
            flush=True,
        )
        assert is_restored and has_moved


def watch_training(epochs: int) -> None:
    """Trains a tiny network in five runs; prints memory and open files after each."""
    with tempfile.TemporaryDirectory() as folder:
        spec, run_folder = Path(folder) / "tiny.ode", Path(folder) / "run"
        spec.write_text(TINY_SPEC)
        for total_epochs in range(epochs // 5, epochs + 1, epochs // 5):
            settings = {"epochs": total_epochs}
            with contextlib.redirect_stdout(io.StringIO()):
                if run_folder.exists():
                    run.resume(run_folder, settings, console=Console(quiet=True))
                else:
                    run.train(spec, settings, out=str(run_folder), console=Console(quiet=True))
            gc.collect()
            print(
                f"{total_epochs} epochs: {resident_mebibytes():.0f} MiB, {open_file_count()} open files",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=500)
    arguments = parser.parse_args()
    check_exact_inverse(arguments.steps)
    watch_training(arguments.epochs)
