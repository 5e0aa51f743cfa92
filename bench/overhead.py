"""A step through the trainer of `odenet train` against the bare loop over the same batches.

    python bench/overhead.py specs/hamiltonian.ode --set n=2

Both take the same number of steps in turns, epoch by epoch, so that other work on the machine meets
both; medians over the epochs count. The trainer also draws, augments and standardises its batches,
moves the schedule, counts accuracy, and can be stopped; the bare loop has its batches ready. The
last line is how long the data take alone: a small share of a step holds nothing up.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import lightning.pytorch as pl
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from odenet.cli.settings import read_settings
from odenet.compiler import Program, load
from odenet.training.callbacks.trainer import build_trainer
from odenet.training.console import quiet_lightning
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.samples import DataSet, LabelInfo, Split
from odenet.training.learning.optim import build_optimizer
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.build_task import input_shape, new_task

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLASSES = tuple("0123456789")


class InTurns(pl.Callback):
    """Before each epoch of the trainer runs one of the bare loop; takes the times of both.

    Args:
        program: what both train.
        batches: of the bare loop, on the device.
    """

    def __init__(self, program: Program, batches: Sequence[tuple[Tensor, Tensor]]):
        self.task = new_task(program, LabelInfo(len(CLASSES)), "test").to(DEVICE)
        self.optimizer = build_optimizer(self.task.network, program.recipe.optimizer)
        self.batches = batches
        self.bare: list[float] = []
        self.trained: list[float] = []
        self._before = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The bare loop's turn."""
        began = _now()
        for inputs, labels in self.batches:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.task.network(inputs), labels)
            if self.task.recipe.smooth:
                loss = loss + self.task.penalty()
            loss.backward()
            self.optimizer.step()
        self.bare.append((_now() - began) / len(self.batches))
        self._before = _now()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The trainer's turn is over."""
        self.trained.append((_now() - self._before) / len(self.batches))


def _now() -> float:
    """The time when all work so far is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _noise(shape: Sequence[int], count: int) -> Split:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    return Split(images, torch.arange(count) % len(CLASSES))


def measure(program: Program, steps: int, folder: Path) -> dict[str, float]:
    """Seconds per step.

    Args:
        program: what to train, for the epochs of its recipe.
        steps: in an epoch.
        folder: where the trainer's files go.

    Returns:
        `bare`, `trained`, and `data`, which is the trainer's loader alone.
    """
    shape, batch = input_shape(program), program.recipe.batch
    noise = DataSet("noise", _noise(shape, steps * batch), _noise(shape, batch), CLASSES)
    data = SplitLoaders(noise, program.recipe, shape)
    images = data.transforms(noise.train.inputs).to(DEVICE).split(batch)
    labels = noise.train.labels.to(DEVICE).split(batch)
    turns = InTurns(program, list(zip(images, labels, strict=True)))
    with quiet_lightning():
        trainer = build_trainer(
            RunFolder(folder), program.recipe, Options(), console=Console(quiet=True)
        )
        trainer.callbacks.append(turns)  # pyright: ignore[reportAttributeAccessIssue]
        trainer.fit(new_task(program, LabelInfo(len(CLASSES)), "test"), datamodule=data)
    began = _now()
    for _ in data.train_dataloader():
        pass
    alone = (_now() - began) / steps
    return {"bare": median(turns.bare[1:]), "trained": median(turns.trained[1:]), "data": alone}


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Measures a spec and prints a line for each of the three."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("spec", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=50, help="per epoch [default: 50]")
    parser.add_argument("--epochs", type=int, default=8, help="the first is left out [default: 8]")
    given = parser.parse_args(arguments)
    settings = {**read_settings(given.set, given.spec), "epochs": given.epochs}
    program = load(given.spec, set=settings)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(program, given.steps, Path(folder))
    bare, trained, data = found["bare"], found["trained"], found["data"]
    print(f"bare loop      {1000 * bare:8.2f} ms per step")
    print(f"odenet train   {1000 * trained:8.2f} ms per step, {trained / bare - 1:+.1%}")
    print(f"data alone     {1000 * data:8.2f} ms per step, {data / trained:.1%} of it")
    return found


if __name__ == "__main__":
    main()
