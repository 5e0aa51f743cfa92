"""Language models compared: tokens per second, peak memory, and losses after training.

    python bench/language.py                       # steps of specs/language_model.ode and others
    python bench/language.py --spec bytes --train  # trains the small one in two memory modes

The models take turns, so that other work on the machine affects all alike, and the medians are
compared. A step is a forward pass, the loss in chunks of tokens, a backward pass and AdamW. Each
peak is measured in a process of its own.
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
from odenet.runtime.layer_modules.head import head_input, next_token_loss

ROOT = Path(__file__).parents[1]
# Variants of a model: the ending of its file name, and its memory mode. The times of all are
# compared with that of the first.
VARIANTS = [
    ("_residual", "stored"), ("_residual", "torch checkpoint"),
    ("", "stored"), ("", "torch checkpoint"), ("", "reversible"),
    ("_midpoint", "reversible"), ("_leapfrog", "reversible"),
]  # fmt: skip


class CheckpointedFlow(nn.Module):
    """A flow with torch.utils.checkpoint around each of its steps."""

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow

    def forward(self, u: Tensor) -> Tensor:
        """The output of the flow."""
        state = self.flow.initial(u)
        for step in range(self.flow.steps):
            state = checkpoint(self.flow.advance, state, step, use_reentrant=False)
        return self.flow.readout(state)


class TrainableModel:
    """A language model with its optimizer.

    Args:
        spec: the path of the .ode file.
        settings: the values that are set in the spec.
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
                setattr(self.network, name, CheckpointedFlow(module))
            elif isinstance(module, Flow):
                module.memory = memory
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)

    def step(self, batch: int) -> float:
        """Takes a step on random tokens; returns its seconds."""
        ids = torch.randint(self.vocabulary, (batch, self.tokens + 1), device=self.device)
        start = self._synchronized_time()
        features_and_head = head_input(self.network, ids[:, :-1])
        next_token_loss(*features_and_head, ids[:, 1:].flatten()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self._synchronized_time() - start

    def _synchronized_time(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self, batch: int) -> int:
        """The most bytes of activations and gradients that a step holds at once."""
        self.step(batch)
        self.optimizer.zero_grad()
        with Peak(self.device) as peak:
            self.step(batch)
        return peak.highest


def main() -> None:
    """Measure and print a row per model; or train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spec", default="language_model", help="language_model or bytes")
    parser.add_argument("--preset", default="", help="a preset of it, such as language-model-3m")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--train", action="store_true", help="train to the end, both ways")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)  # for child processes
    args = parser.parse_args()
    if args.peak:
        spec, settings, memory = args.peak
        print(TrainableModel(Path(spec), json.loads(settings), memory).peak(args.batch))
    elif args.train:
        train(ROOT / "specs" / f"{args.spec}.ode")
    else:
        compare(args.spec, args.preset, args.batch, args.turns)


def compare(name: str, preset_name: str, batch: int, turns: int) -> None:
    """Time the variants of a model in turns, then measure their peaks.

    Args:
        name: the name of the spec, without the endings of VARIANTS.
        preset_name: the preset whose settings all variants get; none if empty.
        batch: samples per step.
        turns: steps of each variant that are timed.
    """
    variants = [
        (ROOT / "specs" / f"{name}{ending}.ode", memory)
        for ending, memory in VARIANTS
        if (ROOT / "specs" / f"{name}{ending}.ode").exists()
    ]
    settings = [preset(spec, preset_name) if preset_name else {} for spec, _ in variants]
    models = [
        TrainableModel(spec, values, memory)
        for (spec, memory), values in zip(variants, settings, strict=True)
    ]
    for model in models:
        model.step(batch)
    times = [[model.step(batch) for model in models] for _ in range(turns)]
    print(f"{'network':<28}{'memory':<18}{'tokens/s':>10}{'time':>7}{'peak MiB':>10}")
    first_seconds = median(turn[0] for turn in times)
    for i, ((spec, memory), values) in enumerate(zip(variants, settings, strict=True)):
        seconds = median(turn[i] for turn in times)
        peak = measure_peak(spec, values, memory, batch)
        tokens_per_second = batch * models[i].tokens / seconds
        row = f"{spec.stem:<28}{memory:<18}{tokens_per_second:>10,.0f}"
        print(f"{row}{seconds / first_seconds:>7.2f}{peak / 2**20:>10,.0f}")


def train(spec: Path) -> None:
    """Train a spec with and without stored activations; print losses, speeds and peaks."""
    batch = odenet.load(spec).recipe.batch
    print(f"{'memory':<12}{'test loss':>10}{'seconds':>9}{'tokens/s':>10}{'peak MiB':>10}")
    for memory in ("reversible", "stored"):
        result = odenet.train(spec, options=odenet.training.Options(memory=memory))
        assert result is not None
        loss, speed, peak = (
            result.test_loss,
            result.tokens_per_second,
            measure_peak(spec, {}, memory, batch),
        )
        print(
            f"{memory:<12}{loss:>10.4f}{result.seconds:>9,.0f}{speed:>10,.0f}{peak / 2**20:>10,.0f}"
        )


def measure_peak(spec: Path, settings: dict[str, Any], memory: str, batch: int) -> int:
    """`TrainableModel.peak`, in a process of its own."""
    command = [sys.executable, __file__, "--batch", str(batch),
               "--peak", str(spec), json.dumps(settings), memory]  # fmt: skip
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
