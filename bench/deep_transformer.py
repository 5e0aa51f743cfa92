"""What a layer costs in a very deep transformer: `python -m bench.deep_transformer`.

Networks of up to 1,000 layers (attention and an MLP; Y += h attention(Z), Z += h MLP(Y)) take steps
of AdamW on bytes of text, each depth and each way of training in a process of its own. The peak is
that of the allocator over a whole step, with weights and the optimizer's state. What a layer costs
is the difference between the two greatest depths, for each layer.
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

H = 0.1
VOCABULARY = 256
PLAIN, CHECKPOINTS = "plain autograd", "checkpoint of each layer"
REVERSIBLE, EARLY = "reversible", "reversible, --update-in-backward"
WAYS = (PLAIN, CHECKPOINTS, REVERSIBLE, EARLY)


@dataclass(frozen=True)
class Job:
    """A training to measure.

    Attributes:
        way: one of WAYS.
        layers: how many.
        steps: of training; the last one is measured.
        width: of a token.
        tokens: of a sample.
        batch: samples.
    """

    way: str
    layers: int
    steps: int = 2
    width: int = 48
    tokens: int = 64
    batch: int = 2


@dataclass(frozen=True)
class Found:
    """What it took.

    Attributes:
        layer: bytes of a layer's weights.
        state: bytes of the optimizer's state for them.
        peak: bytes at once.
        seconds: of a step, the median.
        losses: of all steps.
    """

    layer: int
    state: int
    peak: int
    seconds: float
    losses: list[float]


class Stack(nn.Module):
    """The layers one after the other, as plain torch code.

    Args:
        pairs: (attention, MLP) of each layer.
        checkpoints: store one state for each layer, and evaluate it again.
    """

    def __init__(self, pairs: nn.ModuleList, checkpoints: bool):
        super().__init__()
        self.pairs = pairs
        self.checkpoints = checkpoints

    def forward(self, x: Tensor) -> Tensor:
        """Both halves, ``(batch, tokens, 2 width)``."""
        y, z = x.chunk(2, -1)
        for pair in self.pairs:
            if self.checkpoints:
                y, z = checkpoint(self.layer, pair, y, z, use_reentrant=False)
            else:
                y, z = self.layer(pair, y, z)
        return torch.cat([y, z], -1)

    @staticmethod
    def layer(pair: Sequence[nn.Module], y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """One of them."""
        attention, mlp = pair
        y = y + H * attention(z)
        return y, z + H * mlp(y)


class Language(nn.Module):
    """Bytes to the scores of the next ones.

    Args:
        stack: the layers.
        job: gives the sizes.
    """

    def __init__(self, stack: nn.Module, job: Job):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 2 * job.width)
        self.place = nn.Embedding(job.tokens, 2 * job.width)
        self.stack = stack
        self.norm = nn.LayerNorm(2 * job.width)
        self.head = nn.Linear(2 * job.width, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, tokens)`` to ``(batch, tokens, 256)``."""
        x = self.embed(tokens) + self.place.weight
        return self.head(self.norm(self.stack(x)))


def measure(job: Job) -> Found:
    """Trains, in this process."""
    torch.manual_seed(0)
    pairs = blocks(job.width, job.layers)
    layer = sum(p.nbytes for p in pairs[0].parameters())
    stack: nn.Module = Stack(pairs, job.way == CHECKPOINTS)
    if job.way in (REVERSIBLE, EARLY):
        stack = odenet.reversible([tuple(pair) for pair in pairs], "verlet", h=H, dim=-1)
    network = Language(stack, job)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    if job.way == EARLY:
        odenet.OptimizerInBackward(network, optimizer)
    text = torch.frombuffer(bytearray(Path(__file__).read_bytes()), dtype=torch.uint8).long()
    sample = text[: job.batch * (job.tokens + 1)].view(job.batch, -1)
    losses, seconds = [], []

    def step() -> None:
        before = time.perf_counter()
        scores = network(sample[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), sample[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - before)

    for _ in range(job.steps - 1):
        step()
    states = [t for state in optimizer.state.values() for t in state.values()]
    held = sum(t.nbytes for t in (*network.parameters(), *states))
    with Peak("cpu") as peak:
        step()
    of_layer = [optimizer.state[p] for p in pairs[0].parameters()]
    state = sum(t.nbytes for entry in of_layer for t in entry.values())
    middle = sorted(seconds[:-1])[(job.steps - 1) // 2]
    return Found(layer, state, held + peak.highest, middle, losses)


def measured(job: Job) -> Found:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "bench.deep_transformer", "--job", json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Found(**json.loads(done.stdout))


def table(depths: Sequence[int], found: dict[tuple[str, int], Found]) -> str:
    """The results in Markdown."""
    lines = [
        f"| MiB | {' | '.join(f'{n:,} layers' for n in depths)} | KiB per layer | s per step |",
        f"|---|{'---:|' * (len(depths) + 2)}",
    ]
    less, most = depths[-2:]
    for way in WAYS:
        peaks = [found[way, n].peak for n in depths]
        each = (found[way, most].peak - found[way, less].peak) / (most - less) / 2**10
        cells = [f"{peak / 2**20:,.0f}" for peak in peaks]
        seconds = found[way, most].seconds
        lines.append(f"| {way} | {' | '.join(cells)} | {each:,.0f} | {seconds:.1f} |")
    one = found[WAYS[-1], most]
    lines += [
        "",
        f"A layer has {one.layer / 2**10:,.0f} KiB of weights, and {one.state / 2**10:,.0f} KiB of "
        f"AdamW's state: {(one.layer + one.state) / 2**10:,.0f} KiB together.",
        *(
            f"{way}, {most:,} layers: loss {found[way, most].losses[0]:.4f}, after "
            f"{len(found[way, most].losses) - 1} steps {found[way, most].losses[-1]:.4f}"
            for way in WAYS
        ),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--steps", type=int, default=2, help="of training; the last is measured")
    parser.add_argument("--job", help="for the processes that it starts")
    given = parser.parse_args(arguments)
    if given.job:
        print(json.dumps(asdict(measure(Job(**json.loads(given.job))))))
        return
    found = {}
    for depth in given.depths:
        for way in WAYS:
            found[way, depth] = measured(Job(way, depth, given.steps))
            print(f"{way}, {depth} layers: {found[way, depth].peak / 2**20:.0f} MiB", flush=True)
    print()
    print(table(given.depths, found))


if __name__ == "__main__":
    main()
