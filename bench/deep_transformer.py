"""The memory of each layer of a very deep transformer: `python -m bench.deep_transformer`.

Networks of up to 1,000 layers (attention and an MLP; Y += h attention(Z), Z += h MLP(Y)) take steps
of AdamW on bytes of text, each depth and each method of training in a process of its own. The peak
is the most that the allocator holds during a step, with weights and the optimizer's state. The
memory of a layer is the difference of the peaks at the two greatest depths, divided by that of the
depths.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import odenet
from bench.transformer import blocks
from odenet.footprint.allocator import Peak

STEP_SIZE = 0.1
VOCABULARY = 256
PLAIN, CHECKPOINTS = "plain autograd", "checkpoint of each layer"
REVERSIBLE, IN_BACKWARD = "reversible", "reversible, --update-in-backward"  # of odenet train
METHODS = (PLAIN, CHECKPOINTS, REVERSIBLE, IN_BACKWARD)


@dataclass(frozen=True)
class Job:
    """A training to measure.

    Attributes:
        method: one of METHODS.
        layers: number of layers of the network.
        steps: number of training steps, at least 2; the memory of the last one is measured.
        width: channels of attention and MLP; a token has twice as many, for Y and Z.
        tokens: number of tokens of a sample.
        batch: number of samples.
    """

    method: str
    layers: int
    steps: int = 2
    width: int = 48
    tokens: int = 64
    batch: int = 2


@dataclass(frozen=True)
class Measurement:
    """The memory, time and losses of a training.

    Attributes:
        layer_weights: bytes of a layer's weights.
        layer_state: bytes of the optimizer's state for them.
        peak: the most bytes held at once during a step.
        seconds: median duration of a step, without the last, which memory profiling slows down.
        losses: the loss of each step.
    """

    layer_weights: int
    layer_state: int
    peak: int
    seconds: float
    losses: list[float]


class Stack(nn.Module):
    """The layers as plain torch code.

    Args:
        pairs: (attention, MLP) of each layer.
        uses_checkpoints: store one state per layer, and evaluate each layer again going backward.
    """

    def __init__(self, pairs: nn.ModuleList, uses_checkpoints: bool):
        super().__init__()
        self.pairs = pairs
        self.uses_checkpoints = uses_checkpoints

    def forward(self, x: Tensor) -> Tensor:
        """The state (Y, Z) after all layers, ``(batch, tokens, 2 width)``, from the first one."""
        y, z = x.chunk(2, -1)
        for pair in self.pairs:
            if self.uses_checkpoints:
                y, z = checkpoint(self.layer, pair, y, z, use_reentrant=False)
            else:
                y, z = self.layer(pair, y, z)
        return torch.cat([y, z], -1)

    @staticmethod
    def layer(pair: Sequence[nn.Module], y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The halves Y and Z after a layer."""
        attention, mlp = pair
        y = y + STEP_SIZE * attention(z)
        return y, z + STEP_SIZE * mlp(y)


class LanguageModel(nn.Module):
    """A model that gives, for each byte of a text, the scores of the next one.

    Args:
        stack: the layers.
        job: gives the sizes.
    """

    def __init__(self, stack: nn.Module, job: Job):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 2 * job.width)
        self.positions = nn.Embedding(job.tokens, 2 * job.width)
        self.stack = stack
        self.norm = nn.LayerNorm(2 * job.width)
        self.head = nn.Linear(2 * job.width, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores ``(batch, tokens, 256)`` of bytes ``(batch, tokens)``."""
        x = self.embed(tokens) + self.positions.weight
        return self.head(self.norm(self.stack(x)))


def measure(job: Job) -> Measurement:
    """Trains and measures, in this process."""
    torch.manual_seed(0)
    pairs = blocks(job.width, job.layers)
    layer_weights = sum(p.nbytes for p in pairs[0].parameters())
    stack: nn.Module = Stack(pairs, job.method == CHECKPOINTS)
    if job.method in (REVERSIBLE, IN_BACKWARD):
        stack = odenet.reversible([tuple(pair) for pair in pairs], "verlet", h=STEP_SIZE, dim=-1)
    network = LanguageModel(stack, job)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    if job.method == IN_BACKWARD:
        odenet.OptimizerInBackward(network, optimizer)
    text = torch.frombuffer(bytearray(Path(__file__).read_bytes()), dtype=torch.uint8).long()
    sample = text[: job.batch * (job.tokens + 1)].view(job.batch, -1)
    losses, seconds = [], []

    def step() -> None:
        start = time.perf_counter()
        scores = network(sample[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), sample[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)

    for _ in range(job.steps - 1):
        step()
    states = [t for state in optimizer.state.values() for t in state.values()]
    permanent = sum(t.nbytes for t in (*network.parameters(), *states))
    with Peak("cpu") as peak:
        step()
    first_layer = [optimizer.state[p] for p in pairs[0].parameters()]
    layer_state = sum(t.nbytes for state in first_layer for t in state.values())
    median = sorted(seconds[:-1])[(job.steps - 1) // 2]
    return Measurement(layer_weights, layer_state, permanent + peak.highest, median, losses)


def measure_in_child(job: Job) -> Measurement:
    """Trains and measures in a process of its own."""
    command = [sys.executable, "-m", "bench.deep_transformer", "--job", json.dumps(asdict(job))]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    return Measurement(**json.loads(child.stdout))


def table(depths: Sequence[int], results: dict[tuple[str, int], Measurement]) -> str:
    """The results, by method and depth, in Markdown; at least two depths, the largest last."""
    lines = [
        f"| MiB | {' | '.join(f'{n:,} layers' for n in depths)} | KiB per layer | s per step |",
        f"|---|{'---:|' * (len(depths) + 2)}",
    ]
    smaller, largest = depths[-2:]
    for method in METHODS:
        peaks = [results[method, n].peak for n in depths]
        per_layer = (peaks[-1] - peaks[-2]) / (largest - smaller) / 2**10
        cells = [f"{peak / 2**20:,.0f}" for peak in peaks]
        seconds = results[method, largest].seconds
        lines.append(f"| {method} | {' | '.join(cells)} | {per_layer:,.0f} | {seconds:.1f} |")
    last = results[METHODS[-1], largest]
    weights, state = last.layer_weights / 2**10, last.layer_state / 2**10
    lines += [
        "",
        f"A layer has {weights:,.0f} KiB of weights, and {state:,.0f} KiB of "
        f"AdamW's state: {weights + state:,.0f} KiB together.",
    ]
    for method in METHODS:
        losses = results[method, largest].losses
        lines.append(
            f"{method}, {largest:,} layers: loss {losses[0]:.4f}, after "
            f"{len(losses) - 1} steps {losses[-1]:.4f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--steps", type=int, default=2, help="of training; the last is measured")
    parser.add_argument("--job", help="for the processes that it starts")
    args = parser.parse_args(arguments)
    if args.job:
        print(json.dumps(asdict(measure(Job(**json.loads(args.job))))))
        return
    results = {}
    for depth in args.depths:
        for method in METHODS:
            results[method, depth] = result = measure_in_child(Job(method, depth, args.steps))
            print(f"{method}, {depth} layers: {result.peak / 2**20:.0f} MiB", flush=True)
    print()
    print(table(args.depths, results))


if __name__ == "__main__":
    main()
