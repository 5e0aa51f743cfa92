"""A long run by hand, not part of the suite: `python -m tests.runtime.soak --steps 100000`.

Goes forward and back over many steps in exact arithmetic and compares bit for bit, then trains a
tiny network over many epochs and watches the memory and the open files of the process.
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
TINY = """odenet 1
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


def resident() -> float:
    """MiB of the process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def handles() -> int:
    """Open files of the process."""
    return len(os.listdir("/proc/self/fd"))


def exactly(steps: int) -> None:
    """So many steps, there and back, by a flow of fewer that is used again and again."""
    torch.manual_seed(0)
    depth = min(steps, 1000)
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "hamiltonian.ode"
        tiny.write_text(TINY.replace("h = 0.1", "h = 0.01"))
        specs = [odenet.load(tiny), odenet.load(ROOT / "specs" / "rings.ode")]
    for spec in specs:  # the second with remainders
        flow = spec.flow(4, depth, space=0)
        state = start = flow.encode(torch.randn(2, 4))
        began = time.perf_counter()
        for _ in range(steps // depth):
            state = flow.evolve_exactly(state)
        moved = not state.equal(start)
        for _ in range(steps // depth):
            state = flow.inverse_exactly(state)
        same = state.equal(start)
        seconds = time.perf_counter() - began
        print(
            f"{spec.name}: {steps} steps and back in {seconds:.0f} s, bit for bit: {same}",
            flush=True,
        )
        assert same and moved


def training(epochs: int) -> None:
    """Many epochs at a tiny size; prints memory and open files as they are on the way."""
    with tempfile.TemporaryDirectory() as folder:
        spec, out = Path(folder) / "tiny.ode", Path(folder) / "run"
        spec.write_text(TINY)
        for until in range(epochs // 5, epochs + 1, epochs // 5):
            settings = {"epochs": until}
            with contextlib.redirect_stdout(io.StringIO()):
                if out.exists():
                    run.resume(out, settings, console=Console(quiet=True))
                else:
                    run.train(spec, settings, out=str(out), console=Console(quiet=True))
            gc.collect()
            print(f"{until} epochs: {resident():.0f} MiB, {handles()} open files", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=500)
    given = parser.parse_args()
    exactly(given.steps)
    training(given.epochs)
