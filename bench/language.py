"""Language models side by side: tokens per second, peak memory, and what training comes to.

    python bench/language.py                       # steps of specs/language_model.ode and others
    python bench/language.py --spec bytes --train  # trains the small one both ways, to its end

Contenders take turns, so that other work of the machine meets them alike; the median counts. Every
step is forward, loss in parts, backward and AdamW. Peaks are measured in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import odenet
from odenet.footprint.allocator import Peak
from odenet.model.reading.presets import preset
from odenet.runtime import Flow
from odenet.runtime.layers.head import head_input, next_token_loss

ROOT = Path(__file__).parents[1]
PLAIN = ("_residual", "stored")  # what the others are measured against
CONTENDERS = [
    PLAIN, ("_residual", "torch checkpoint"),
    ("", "stored"), ("", "torch checkpoint"), ("", "reversible"),
    ("_midpoint", "reversible"), ("_leapfrog", "reversible"),
]  # fmt: skip


class Checkpointed(nn.Module):
    """A flow whose steps are evaluated again by torch's own checkpoints."""

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow

    def forward(self, u: Tensor) -> Tensor:
        """As the flow."""
        state = self.flow.initial(u)
        for step in range(self.flow.steps):
            state = checkpoint(self.flow.advance, state, step, use_reentrant=False)
        return self.flow.readout(state)


class Contender:
    """A network with its optimizer.

    Args:
        spec: the file.
        settings: as of `odenet.load`.
        memory: a memory mode, or "torch checkpoint".
    """

    def __init__(self, spec: Path, settings: dict[str, Any], memory: str):
        torch.manual_seed(0)
        program = odenet.load(spec, set=settings)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = program.network().to(device).train()
        self.vocabulary, (self.tokens,) = program.vocabulary, program.input_shape
        self.device = device
        for name, module in list(self.network.named_children()):
            if isinstance(module, Flow) and memory == "torch checkpoint":
                setattr(self.network, name, Checkpointed(module))
            elif isinstance(module, Flow):
                module.memory = memory
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)

    def step(self, batch: int) -> float:
        """The seconds of one step on random tokens."""
        ids = torch.randint(self.vocabulary, (batch, self.tokens + 1), device=self.device)
        began = self._now()
        given = head_input(self.network, ids[:, :-1])
        next_token_loss(*given, ids[:, 1:].flatten()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self._now() - began

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self, batch: int) -> int:
        """Bytes of activations and gradients in a step, at most."""
        self.step(batch)
        self.optimizer.zero_grad()
        with Peak(self.device) as peak:
            self.step(batch)
        return peak.highest


def main() -> None:
    """Measure and print a row per contender; or train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spec", default="language_model", help="language_model or bytes")
    parser.add_argument("--preset", default="", help="a preset of it, such as language-model-3m")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--train", action="store_true", help="train to the end, both ways")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        spec, settings, memory = options.peak
        print(Contender(Path(spec), json.loads(settings), memory).peak(options.batch))
    elif options.train:
        train(ROOT / "specs" / f"{options.spec}.ode")
    else:
        compare(options.spec, options.preset, options.batch, options.turns)


def compare(name: str, chosen: str, batch: int, turns: int) -> None:
    """Time contenders in turns, then measure their peaks."""
    known = [
        (ROOT / "specs" / f"{name}{ending}.ode", memory)
        for ending, memory in CONTENDERS
        if (ROOT / "specs" / f"{name}{ending}.ode").exists()
    ]
    settings = [preset(spec, chosen) if chosen else {} for spec, _ in known]
    contenders = [
        Contender(spec, given, memory)
        for (spec, memory), given in zip(known, settings, strict=True)
    ]
    for contender in contenders:
        contender.step(batch)
    times = [[c.step(batch) for c in contenders] for _ in range(turns)]
    print(f"{'network':<28}{'memory':<18}{'tokens/s':>10}{'time':>7}{'peak MiB':>10}")
    first = median(row[0] for row in times)
    for i, ((spec, memory), given) in enumerate(zip(known, settings, strict=True)):
        seconds = median(row[i] for row in times)
        peak = peak_of(spec, given, memory, batch)
        tokens = batch * contenders[i].tokens / seconds
        row = f"{spec.stem:<28}{memory:<18}{tokens:>10,.0f}"
        print(f"{row}{seconds / first:>7.2f}{peak / 2**20:>10,.0f}")


def train(spec: Path) -> None:
    """Train a spec with and without stored activations, and print what both come to."""
    batch = odenet.load(spec).recipe.batch
    print(f"{'memory':<12}{'test loss':>10}{'seconds':>9}{'tokens/s':>10}{'peak MiB':>10}")
    for memory in ("reversible", "stored"):
        result = odenet.train(spec, options=odenet.training.Options(memory=memory))
        assert result is not None
        loss, speed, peak = (
            result.test_loss,
            result.tokens_per_second,
            peak_of(spec, {}, memory, batch),
        )
        print(
            f"{memory:<12}{loss:>10.4f}{result.seconds:>9,.0f}{speed:>10,.0f}{peak / 2**20:>10,.0f}"
        )


def peak_of(spec: Path, settings: dict[str, Any], memory: str, batch: int) -> int:
    """Bytes of activations and gradients in a step, at most, in a process of its own."""
    command = [sys.executable, __file__, "--batch", str(batch),
               "--peak", str(spec), json.dumps(settings), memory]  # fmt: skip
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
