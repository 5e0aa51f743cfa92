"""The network of a run, ready to be used: the data it was trained on need not be there."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import odenet
from odenet.compiler import Program
from odenet.files import write_text
from odenet.model.tables.losses import loss_kind
from odenet.runtime.density import inverse
from odenet.training.augment import Transforms
from odenet.training.errors import TrainingError
from odenet.training.likelihood import Likelihood
from odenet.training.new_task import input_shape
from odenet.training.pictures import decode, pixels_of
from odenet.training.records import RunFolder
from odenet.training.restoring import restored, weights_of
from odenet.training.samples import Labels

BATCH = 256  # samples predicted at a time

Picture = str | Path | Image.Image


@dataclass(frozen=True)
class Predictions:
    """What a network says of some samples.

    Args:
        probabilities: (N, classes), on the CPU.
        classes: the names of the classes, in the order of the columns.
    """

    probabilities: Tensor
    classes: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """The likeliest class of each sample."""
        return [self.classes[i] for i in self.probabilities.argmax(1).tolist()]

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each sample with their probabilities, the likeliest first."""
        values, places = self.probabilities.topk(min(count, len(self.classes)), dim=1)
        return [
            [(self.classes[i], p) for i, p in zip(row, ps, strict=True)]
            for row, ps in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def write_csv(self, path: str | Path, names: Sequence[object]) -> None:
        """Write a row per sample: its name, the likeliest class, and every probability.

        Raises:
            WriteError: if it cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["sample", "class", *self.classes])
        for name, label, row in zip(names, self.labels, self.probabilities.tolist(), strict=True):
            rows.writerow([name, label, *(f"{p:.6g}" for p in row)])
        write_text(path, text.getvalue())


class TrainedNetwork(nn.Module):
    """A network together with its preprocessing: pixels in, scores out.

    Args:
        network: in evaluation mode.
        preprocess: from what is stored to what the network takes.
    """

    def __init__(self, network: nn.Module, preprocess: Transforms):
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", preprocess.mean, persistent=False)
        self.register_buffer("deviation", preprocess.deviation, persistent=False)
        self._preprocess = preprocess

    def preprocess(self, inputs: Tensor) -> Tensor:
        """What the network takes.

        Args:
            inputs: (B, C, H, W) uint8, grey or coloured and of any size, or (B, D) float32.

        Returns:
            (B, *shape), in the precision of the network, standardised as in training.
        """
        first = next(self.network.parameters(), self.mean)
        return self.transforms(inputs.to(first.device)).to(first.dtype)

    @property
    def transforms(self) -> Transforms:
        """What it is preprocessed by, where the network is."""
        return self._preprocess.with_statistics(self.mean, self.deviation)

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores, (B, classes); their softmax is what the network believes."""
        return self.network(self.preprocess(inputs))


@dataclass(frozen=True)
class TrainedRun:
    """A run after training.

    Args:
        folder: of the run.
        program: its specification, compiled with the settings it was trained with.
        model: the network together with its preprocessing, in evaluation mode.
        classes: the names of the classes, in the order of the network's outputs.
        shape: of one sample, as the network takes it.
        labels: what the labels of its data are.
    """

    folder: Path
    program: Program
    model: TrainedNetwork
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    labels: Labels

    @property
    def network(self) -> nn.Module:
        """The network alone; it takes what `preprocess` gives."""
        return self.model.network

    def preprocess(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """What the network takes, from files, pictures, or a tensor. See `predict`."""
        return self.model.preprocess(self._stored(inputs))

    def predict(self, inputs: Sequence[Picture] | Tensor) -> Predictions:
        """What the network says.

        Args:
            inputs: picture files or pictures, of any size, coloured or grey; or a tensor as data
                sets store samples: (B, C, H, W) uint8 pixels, or (B, D) float32 points.

        Raises:
            TrainingError: a picture cannot be read, or a tensor is not of that kind.
        """
        if loss_kind(self.program.recipe.loss).needs_density:
            raise TrainingError(
                f"the network of {self.folder} is a density, and predicts nothing of a sample",
                "load_run(…).sample(n) makes new ones, log_likelihood(x) weighs given ones",
            )
        batches = self._in_batches(inputs)
        with torch.no_grad():
            scores = [self.model(self._stored(batch)).softmax(1).cpu() for batch in batches]
        empty = torch.zeros(0, len(self.classes))
        return Predictions(torch.cat([empty, *scores]), self.classes)

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """New samples of the density that the network is.

        Args:
            n: how many.
            seed: of the random numbers, the same samples for the same seed; by default torch's own.

        Returns:
            As data sets store samples, (n, *shape): float32 points, or uint8 pixels.

        Raises:
            TrainingError: the network was not trained with `loss = likelihood`.
        """
        self._require_density()
        numbers = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.no_grad():
            first = next(self.network.parameters(), self.model.mean)
            shape = self.network(torch.zeros(1, *self.shape).to(first)).shape[1:]
            normal = torch.randn(n, *shape, generator=numbers).to(first)
            batches = [inverse(self.network.children(), z) for z in normal.split(BATCH)]
        values = torch.cat(batches) if batches else normal.new_zeros(0, *self.shape)
        return (self.model.transforms.undone(values) if self.labels.grain else values).cpu()

    def log_likelihood(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """How probable the density that the network is finds samples, in nats, (B,).

        Args:
            inputs: as `predict` takes them.

        Raises:
            TrainingError: as those of `sample` and `predict`.
        """
        self._require_density()
        objective = Likelihood(self.program.recipe, self.labels).eval().to(self.model.mean.device)
        with torch.no_grad():
            found = [
                objective.answer(self.network, self.model.preprocess(self._stored(batch))).cpu()
                for batch in self._in_batches(inputs)
            ]
        return torch.cat(found) if found else torch.zeros(0)

    def _require_density(self) -> None:
        if not loss_kind(self.program.recipe.loss).needs_density:
            raise TrainingError(
                f"the network of {self.folder} is not a density",
                "train it with a line `loss = likelihood`",
            )

    def predict_files(self, paths: Sequence[str]) -> tuple[Predictions, list[str], list[str]]:
        """What the network says of the files that can be read.

        Returns:
            The predictions, the files they are of, and a line for each of the others.
        """
        self._require_pictures()
        scores, good, damaged = [], [], []
        for start in range(0, len(paths), BATCH):
            read = {path: decode(path, self.shape) for path in paths[start : start + BATCH]}
            pixels = {path: found for path, found in read.items() if isinstance(found, Tensor)}
            damaged += [found for found in read.values() if isinstance(found, str)]
            good += pixels
            if pixels:
                scores.append(self.predict(torch.stack(list(pixels.values()))).probabilities)
        empty = torch.zeros(0, len(self.classes))
        return Predictions(torch.cat([empty, *scores]), self.classes), good, damaged

    def _in_batches(self, inputs: Any) -> Iterator[Any]:
        if isinstance(inputs, str | Path | Image.Image):
            raise TrainingError("this is one picture, not several", f"predict([{inputs!r}])")
        return (inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH))

    def _stored(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """Samples as data sets store them."""
        pictures = len(self.shape) == 3
        if isinstance(inputs, Tensor):
            dims, dtype = (4, torch.uint8) if pictures else (2, torch.float32)
            if inputs.dim() != dims or inputs.dtype != dtype:
                wanted = "(B, C, H, W) of torch.uint8" if pictures else "(B, D) of torch.float32"
                raise TrainingError(
                    f"a batch for {self.folder.name} is {wanted}, "
                    f"not {tuple(inputs.shape)} of {inputs.dtype}"
                )
            return inputs
        self._require_pictures()
        return torch.stack([self._read(picture) for picture in inputs])

    def _require_pictures(self) -> None:
        if len(self.shape) != 3:
            shape = ", ".join(map(str, self.shape))
            raise TrainingError(f"the network of {self.folder} takes ({shape}), not pictures")

    def _read(self, picture: Picture) -> Tensor:
        if isinstance(picture, Image.Image):
            return pixels_of(picture, self.shape)
        found = decode(str(picture), self.shape)
        if isinstance(found, str):
            raise TrainingError(found)
        return found


def load_run(
    run: str | Path,
    weights: str = "best",
    device: str | torch.device = "cpu",
    set: Mapping[str, Any] | None = None,
) -> TrainedRun:
    """The network of a run with its weights, in evaluation mode.

    Args:
        run: the run's folder.
        weights: "best" or "last".
        device: where the network is put.
        set: numbers of the spec to change, for example `{"γ": 0.5}`.

    Raises:
        TrainingError: the folder is not a run, or does not hold what it needs.
    """
    folder = RunFolder(Path(run))
    record = folder.read_record()
    folder.require_plugins()
    program = odenet.load(folder.spec, set={**record.settings, **(set or {})})
    path, content = weights_of(folder, weights)
    task = restored(folder, record, program, "test", path, content)
    shape = input_shape(program)
    transforms = Transforms.stored(shape, program.recipe.augment, record.mean, record.deviation)
    model = TrainedNetwork(task.network, transforms).eval().to(device)
    classes = tuple(record.classes)
    return TrainedRun(Path(run), program, model, classes, shape, record.described)
