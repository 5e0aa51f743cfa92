"""Stacks of one network in every precision, eager and compiled: `python -m bench.stacks …`.

A process per network, so that one that takes the device down takes no other along. Each result is
a line of JSON in a file as soon as it is known.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.contender import Unable
from bench.contenders import BASELINE, CONTENDERS
from bench.instruments import Setting, Step
from bench.networks import NETWORKS, Size

EAGER = (BASELINE, "torch.utils.checkpoint", "by hand", "revlib", "odenet")
COMPILED = ("plain autograd, compiled", "activation_memory_budget, compiled", "odenet, compiled")
PRECISIONS = {"cuda": ("bf16", "tf32", "float32"), "cpu": ("float32", "bf16")}


NO_TIME = "not reached in the time given"


@dataclass(frozen=True)
class Stack:
    """What one contender's training step takes.

    Attributes:
        network: its name.
        precision: as in `Setting`.
        name: of the contender.
        seconds: the median of its steps.
        peak: bytes of activations and working memory.
        samples: of a step; tokens of a sequence, else pictures.
        error: of the gradients, relative to those of plain autograd in the same precision.
        missing: why there is nothing of this.
    """

    network: str
    precision: str
    name: str
    seconds: float = 0.0
    peak: int = 0
    samples: int = 0
    error: float | None = None
    missing: str = ""


def measure(network: str, size: Size, device: str, repeats: int, end: float) -> Iterator[Stack]:
    """All contenders in all precisions, the eager ones first.

    Args:
        network: a key of NETWORKS.
        size: of the input.
        device: "cpu" or "cuda".
        repeats: steps of which the median counts.
        end: when to begin no more, on the clock of `time.time`.
    """
    plain: dict[str, Tensor] = {}
    for names in (EAGER, COMPILED):
        for precision in PRECISIONS[device]:
            for name in names:
                stack = Stack(network, precision, name)
                if time.time() > end:
                    yield _without(stack, NO_TIME)
                    continue
                try:
                    yield _measured(stack, size, Setting(device, precision), repeats, plain)
                except Unable as error:
                    yield _without(stack, str(error))
                except ImportError as error:
                    yield _without(stack, f"not installed ({error.name})")
                except Exception as error:
                    reason = (str(error).strip().splitlines() or [""])[0]
                    yield _without(stack, f"failed: {type(error).__name__}: {reason[:120]}")
                gc.collect()
                if device == "cuda":
                    torch.cuda.empty_cache()


def _measured(
    stack: Stack, size: Size, setting: Setting, repeats: int, plain: dict[str, Tensor]
) -> Stack:
    network = NETWORKS[stack.network]
    setting.multiply()
    steps = network.build(size).to(setting.device)
    step = Step(CONTENDERS[stack.name](network, steps, size), setting, network, size)
    for _ in range(2):  # compilers, caches and the choice of algorithms
        step()
    seconds = statistics.median(step.seconds() for _ in range(repeats))
    peak, gradients = step.peak(), step.gradients()
    if stack.name == BASELINE:
        plain[stack.precision] = gradients
    true = plain.get(stack.precision)
    error = None if true is None else float((gradients - true).norm() / true.norm())
    samples = size.batch * (size.side if network.sequence else 1)
    return Stack(stack.network, stack.precision, stack.name, seconds, peak, samples, error)


def _without(stack: Stack, missing: str) -> Stack:
    return Stack(stack.network, stack.precision, stack.name, missing=missing)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures one network, and writes a line for each result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", type=int, nargs=4, metavar=("BATCH", "CHANNELS", "SIDE", "STEPS"))
    parser.add_argument("--device", choices=PRECISIONS, default="cuda")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args(arguments)
    end = time.time() + given.seconds
    found = measure(given.network, Size(*given.size), given.device, given.repeats, end)
    with given.file.open("a", encoding="utf-8") as lines:
        for stack in found:
            lines.write(json.dumps(asdict(stack)) + "\n")
            lines.flush()
            print(f"{stack.precision} {stack.name}: {stack.missing or stack.seconds}", flush=True)


if __name__ == "__main__":
    main()
