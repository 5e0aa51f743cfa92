"""Looks for leaks: whether a process that compiles, loads and trains one spec after another grows.

    python -m tests.cycles --cycles 10000

Each cycle compiles a different spec. Memory, open files, generated modules and objects are printed
every 100 cycles (`--every`); without a leak they stop growing after the first few hundred.
"""

import argparse
import gc
import linecache
import os
import resource
import sys
from pathlib import Path

import torch
from torch.nn import functional

from odenet.compiler import loads

SPEC = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise midpoint(h = 0.{number})
net = input(1, 8, 8) -> conv(3, 4) -> flow(2) -> mean -> dense(2)
"""


def run_cycle(number: int) -> None:
    """Compile the spec of this number, load its module and train the network for one step.

    Its step size h is 0.100000, 0.100001 and so on, so no two specs are the same.
    """
    network = loads(SPEC.format(number=100_000 + number)).network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = functional.cross_entropy(network(torch.randn(2, 1, 8, 8)), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()


def resources_held() -> dict[str, int]:
    """How much of each resource the process holds after a garbage collection."""
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "KiB": resident_pages * resource.getpagesize() // 1024,
        "files": len(os.listdir("/proc/self/fd")),
        "modules": sum(name.startswith("odenet.generated.") for name in sys.modules),
        "texts": sum(name.startswith("<odenet ") for name in linecache.cache),  # their source texts
        "objects": len(gc.get_objects()),
    }


def main() -> None:
    """Run the cycles, and print the resources held every `--every` cycles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=10_000, help="how many")
    parser.add_argument("--every", type=int, default=100, help="how often to print")
    arguments = parser.parse_args()
    for number in range(arguments.cycles):
        run_cycle(number)
        if (number + 1) % arguments.every == 0:
            print(number + 1, resources_held(), flush=True)


if __name__ == "__main__":
    main()
