"""All implementations of one network in every precision: `python -m bench.stacks NETWORK FILE`.

`bench/gpu.py` starts a process per network, so that a crash of the device affects one network only.
Each result is appended to FILE, as a line of JSON, as soon as it is known.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from bench.adapters import ADAPTERS, BASELINE
from bench.implementation import NotExpressible
from bench.measured_step import ExecutionMode, MeasuredStep
from bench.networks import NETWORKS, Size

# Keys of ADAPTERS: the implementations that are measured, without and with torch.compile.
EAGER = (BASELINE, "torch.utils.checkpoint", "by hand", "revlib", "odenet")
COMPILED = ("plain autograd, compiled", "activation_memory_budget, compiled", "odenet, compiled")
PRECISIONS = {"cuda": ("bf16", "tf32", "float32"), "cpu": ("float32", "bf16")}
NO_TIME = "not reached in the time given"


@dataclass(frozen=True)
class StackResult:
    """A training step of one implementation of a network (a stack of blocks) in one precision.

    Attributes:
        network: a key of NETWORKS.
        precision: as in `ExecutionMode`.
        name: the implementation, a key of ADAPTERS.
        seconds: the median time of a step.
        peak: the most bytes of activations and working memory held at once.
        samples: number of pictures in a batch, or of tokens for a sequence model.
        error: relative difference of the gradients from those of plain autograd in this precision.
        missing: why nothing could be measured; else empty.
    """

    network: str
    precision: str
    name: str
    seconds: float = 0.0
    peak: int = 0
    samples: int = 0
    error: float | None = None
    missing: str = ""


def measure(
    network: str, size: Size, device: str, repeats: int, deadline: float
) -> Iterator[StackResult]:
    """Measure all implementations in all precisions, the eager ones first.

    Args:
        network: a key of NETWORKS.
        size: the size of the input and the number of steps.
        device: "cpu" or "cuda".
        repeats: number of steps that are timed for the median.
        deadline: the time, by `time.time`, after which no measurement is begun.
    """
    plain_gradients: dict[str, Tensor] = {}
    for names in (EAGER, COMPILED):
        for precision in PRECISIONS[device]:
            for name in names:
                result = StackResult(network, precision, name)
                if time.time() > deadline:
                    yield replace(result, missing=NO_TIME)
                    continue
                try:
                    mode = ExecutionMode(device, precision)
                    yield _measure_one(result, size, mode, repeats, plain_gradients)
                except NotExpressible as error:
                    yield replace(result, missing=str(error))
                except ImportError as error:
                    yield replace(result, missing=f"not installed ({error.name})")
                except Exception as error:
                    reason = (str(error).strip().splitlines() or [""])[0]
                    yield replace(result, missing=f"failed: {type(error).__name__}: {reason[:120]}")
                gc.collect()
                if device == "cuda":
                    torch.cuda.empty_cache()


def _measure_one(
    result: StackResult,
    size: Size,
    mode: ExecutionMode,
    repeats: int,
    plain_gradients: dict[str, Tensor],
) -> StackResult:
    """A result with its numbers; keeps gradients of plain autograd in `plain_gradients`."""
    network = NETWORKS[result.network]
    mode.set_matmul_precision()
    steps = network.build(size).to(mode.device)
    step = MeasuredStep(ADAPTERS[result.name](network, steps, size), mode, network, size)
    for _ in range(2):  # warm up: compilers, caches and the choice of algorithms
        step()
    seconds = statistics.median(step.seconds() for _ in range(repeats))
    peak, gradients = step.peak(), step.gradients()
    if result.name == BASELINE:
        plain_gradients[result.precision] = gradients
    plain = plain_gradients.get(result.precision)
    error = None if plain is None else float((gradients - plain).norm() / plain.norm())
    samples = size.batch * (size.side if network.is_sequence_model else 1)
    return replace(result, seconds=seconds, peak=peak, samples=samples, error=error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures a network, and writes a line for each result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", type=int, nargs=4, metavar=("BATCH", "CHANNELS", "SIDE", "STEPS"))
    parser.add_argument("--device", choices=PRECISIONS, default="cuda")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120)
    args = parser.parse_args(arguments)
    deadline = time.time() + args.seconds
    results = measure(args.network, Size(*args.size), args.device, args.repeats, deadline)
    with args.file.open("a", encoding="utf-8") as file:
        for result in results:
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            print(
                f"{result.precision} {result.name}: {result.missing or result.seconds}", flush=True
            )


if __name__ == "__main__":
    main()
