"""The time of a step by `odenet train`, compared with a bare training loop on the same batches.

    python bench/overhead.py specs/hamiltonian.ode --set n=2

Both take the same number of steps, in turns of one epoch, so that other work on the machine affects
both alike; the medians over the epochs are compared. The trainer also shuffles, augments and
standardises its batches, updates the learning rate, measures accuracy, and can be stopped; the bare
loop gets prepared batches. The last line is the time of loading the data alone.
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

from odenet.cli.shared_options import read_settings
from odenet.compiler import Program, load
from odenet.training.callbacks.trainer import build_trainer
from odenet.training.console import quiet_lightning
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.samples import DataSet, LabelInfo, Split
from odenet.training.learning.optim import build_optimizer
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.build_task import input_shape, new_task

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLASSES = tuple("0123456789")  # as many as the networks distinguish


class AlternatingLoops(pl.Callback):
    """Runs an epoch of the bare loop before each epoch of the trainer, and times both.

    Args:
        program: what both train.
        batches: (inputs, labels) for the bare loop, on the device.

    Attributes:
        bare_seconds: seconds per step of the bare loop, epoch by epoch.
        trainer_seconds: seconds per step of the trainer, epoch by epoch.
    """

    def __init__(self, program: Program, batches: Sequence[tuple[Tensor, Tensor]]):
        self.task = new_task(program, LabelInfo(len(CLASSES)), validation_name="test").to(DEVICE)
        self.optimizer = build_optimizer(self.task.network, program.recipe.optimizer)
        self.batches = batches
        self.bare_seconds: list[float] = []
        self.trainer_seconds: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the bare loop, then start the clock of the trainer."""
        start = _synchronized_time()
        for inputs, labels in self.batches:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.task.network(inputs), labels)
            if self.task.recipe.smooth:
                loss = loss + self.task.penalty()
            loss.backward()
            self.optimizer.step()
        self.bare_seconds.append((_synchronized_time() - start) / len(self.batches))
        self._start = _synchronized_time()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock of the trainer."""
        self.trainer_seconds.append((_synchronized_time() - self._start) / len(self.batches))


def _synchronized_time() -> float:
    """The time, read when the device has finished its work."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _random_split(shape: Sequence[int], count: int) -> Split:
    """Samples of noise, with the classes in turn."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    return Split(images, torch.arange(count) % len(CLASSES))


def measure(program: Program, steps: int, folder: Path) -> dict[str, float]:
    """Measure the seconds per step.

    Args:
        program: what to train, for the epochs of its recipe.
        steps: number of steps in an epoch.
        folder: where the trainer writes its files.

    Returns:
        The seconds of the bare loop ("bare"), the trainer ("trained") and its data loader ("data").
    """
    shape, batch = input_shape(program), program.recipe.batch
    train, test = _random_split(shape, steps * batch), _random_split(shape, batch)
    noise = DataSet("noise", train, test, CLASSES)
    data = SplitLoaders(noise, program.recipe, shape)
    images = data.transforms(train.inputs).to(DEVICE).split(batch)
    labels = train.labels.to(DEVICE).split(batch)
    loops = AlternatingLoops(program, list(zip(images, labels, strict=True)))
    with quiet_lightning():
        trainer = build_trainer(
            RunFolder(folder), program.recipe, Options(), console=Console(quiet=True)
        )
        trainer.callbacks.append(loops)  # pyright: ignore[reportAttributeAccessIssue]
        task = new_task(program, LabelInfo(len(CLASSES)), validation_name="test")
        trainer.fit(task, datamodule=data)
    start = _synchronized_time()
    for _ in data.train_dataloader():
        pass
    data_seconds = (_synchronized_time() - start) / steps
    bare, trained = median(loops.bare_seconds[1:]), median(loops.trainer_seconds[1:])
    return {"bare": bare, "trained": trained, "data": data_seconds}


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Measures a spec, prints a line for each time, and returns what `measure` does."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("spec", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=50, help="per epoch [default: 50]")
    parser.add_argument("--epochs", type=int, default=8, help="the first is left out [default: 8]")
    args = parser.parse_args(arguments)
    settings = {**read_settings(args.set, args.spec), "epochs": args.epochs}
    program = load(args.spec, set=settings)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(program, args.steps, Path(folder))
    bare, trained, data = seconds["bare"], seconds["trained"], seconds["data"]
    print(f"bare loop      {1000 * bare:8.2f} ms per step")
    print(f"odenet train   {1000 * trained:8.2f} ms per step, {trained / bare - 1:+.1%}")
    print(f"data alone     {1000 * data:8.2f} ms per step, {data / trained:.1%} of it")
    return seconds


if __name__ == "__main__":
    main()
