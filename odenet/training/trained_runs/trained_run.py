"""The network of a run, ready to be used: the data it was trained on need not be there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch
from PIL import Image
from torch import Tensor, nn

import odenet
from odenet.compiler import Program
from odenet.model.tables.losses import LossKind
from odenet.runtime.density import inverse
from odenet.training.data.pictures import decode, pixels_of
from odenet.training.data.samples import LabelInfo
from odenet.training.data.transforms import Transforms
from odenet.training.errors import NotPossible
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.build_task import input_shape
from odenet.training.runs.evaluation import evaluate
from odenet.training.runs.restoring import read_run_weights, restore_task
from odenet.training.trained_runs.predictions import Predictions
from odenet.training.trained_runs.text_sampling import sample_text
from odenet.training.trained_runs.trained_network import TrainedNetwork

BATCH = 256  # samples predicted at a time

Picture = str | Path | Image.Image


@dataclass(frozen=True)
class TrainedRun:
    """A run after training.

    Args:
        folder: of the run.
        program: its specification, compiled with the settings it was trained with.
        model: the network together with its preprocessing, in evaluation mode.
        classes: the names of the classes, in the order of the network's outputs; none of numbers.
        shape: of one sample, as the network takes it.
        labels: what the labels of its data are.
        samples: what samples are stored as: uint8, as pictures are, float32, or int64, of tokens.
    """

    folder: Path
    program: Program
    model: TrainedNetwork
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    labels: LabelInfo
    samples: str = "uint8"

    def __repr__(self) -> str:
        gives = f"{len(self.classes)} classes" if self.classes else self.loss.meaning
        takes = ", ".join(map(str, self.shape))
        return f"<run {self.folder}: takes ({takes}), gives {gives}>"

    @property
    def loss(self) -> LossKind:
        """The row of the loss that it was trained by."""
        return self.model.objective.kind

    @property
    def whole(self) -> tuple[int, ...]:
        """What a sample is scaled to before the network takes its middle; `shape` where all is."""
        return self.model.transforms.scaled_shape

    @property
    def network(self) -> nn.Module:
        """The network alone; it takes what `preprocess` gives."""
        return self.model.network

    def preprocess(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """What the network takes, from files, pictures, or a tensor. See `predict`."""
        return self.model.preprocess(self._as_stored(inputs))

    def predict(self, inputs: Sequence[Picture] | Tensor) -> Predictions:
        """What the network says.

        Args:
            inputs: picture files or pictures, of any size, coloured or grey; or a tensor as data
                sets store samples: (B, C, H, W) uint8 pixels, (B, …) float32 numbers, or (B, T)
                int64 tokens, of each of which the probabilities of the next one are given.

        Raises:
            TrainingError: a picture cannot be read, or a tensor is not of that kind.
        """
        if self.loss.needs_density:
            raise NotPossible(
                f"the network of {self.folder} is a density, and predicts nothing of a sample",
                "load_run(…).sample(n) makes new ones, log_likelihood(x) weighs given ones",
            )
        return self._predictions(self._batch_outputs(inputs))

    def evaluate(self, **given: Any) -> dict[str, Any]:
        """Measure it on the run's test split, or on other data. See `odenet.evaluate`."""
        return evaluate(self.folder, **given)

    @overload
    def sample(self, n: int, seed: int | None = None, temperature: float = 1.0) -> Tensor: ...

    @overload
    def sample(
        self,
        *,
        prompt: str,
        tokens: int = 200,
        seed: int | None = None,
        temperature: float = 1.0,
        top: int = 0,
    ) -> str: ...

    def sample(
        self,
        n: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        *,
        prompt: str = "",
        tokens: int = 200,
        top: int = 0,
    ) -> Tensor | str:
        """New samples of the density that the network is, or what a language model writes.

        Args:
            n: how many samples of a density.
            seed: of the random numbers, the same samples for the same seed; by default torch's own.
            temperature: the deviation of the normal numbers that samples are made of; below 1 they
                are likelier and less various (Kingma & Dhariwal 2018, section 6). The scores of
                tokens are divided by it; 0 takes the likeliest token each time.
            prompt: how a text begins; where it is empty, with a line break.
            tokens: how many to add; each goes through the network once, where that is possible.
            top: how many of the likeliest tokens are drawn from; 0 for all.

        Returns:
            As data sets store samples, (n, *shape): float32 points, or uint8 pixels. Of a language
            model the prompt and what follows it, as `odenet sample` prints it.

        Raises:
            TrainingError: the network is neither, or does not know the prompt's tokens.
        """
        numbers = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
        if n is None:
            where = self.program, self.network, self.folder
            return sample_text(*where, prompt, tokens, temperature, top, numbers)
        self._require_density()
        with torch.no_grad():
            first = next(self.network.parameters(), self.model.mean)
            shape = self.network(torch.zeros(1, *self.shape).to(first)).shape[1:]
            normal = temperature * torch.randn(n, *shape, generator=numbers).to(first)
            batches = [inverse(self.network.children(), z) for z in normal.split(BATCH)]
        values = torch.cat(batches) if batches else normal.new_zeros(0, *self.shape)
        return (
            self.model.transforms.to_pixels(values) if self.labels.pixel_spacing else values
        ).cpu()

    def log_likelihood(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """How probable the density that the network is finds samples, in nats, (B,).

        Args:
            inputs: as `predict` takes them.

        Raises:
            TrainingError: as those of `sample` and `predict`.
        """
        self._require_density()
        found = self._batch_outputs(inputs)
        return torch.cat(found) if found else torch.zeros(0)

    def _require_density(self) -> None:
        if not self.loss.needs_density:
            writes = self.program.vocabulary is not None
            raise NotPossible(
                f"the network of {self.folder} is not a density",
                'load_run(…).sample(prompt="…") lets a language model go on with a text'
                if writes
                else "train it with a line `loss = likelihood`",
            )

    def predict_files(self, paths: Sequence[str]) -> tuple[Predictions, list[str], list[str]]:
        """What the network says of the files that can be read.

        Returns:
            The predictions, the files they are of, and a line for each of the others.
        """
        self._require_pictures()
        found, good, damaged = [], [], []
        for start in range(0, len(paths), BATCH):
            some = paths[start : start + BATCH]
            read = {path: decode(path, self.whole, self._stored_as_float) for path in some}
            pixels = {path: image for path, image in read.items() if isinstance(image, Tensor)}
            damaged += [line for line in read.values() if isinstance(line, str)]
            good += pixels
            if pixels:
                found.append(self.predict(torch.stack(list(pixels.values()))).values)
        return self._predictions(found), good, damaged

    @property
    def _stored_as_float(self) -> bool:
        return self.samples == "float32"

    def _predictions(self, found: list[Tensor]) -> Predictions:
        values = torch.cat(found) if found else torch.zeros(0, len(self.classes))
        return Predictions(values, self.classes, self.loss)

    @torch.no_grad()
    def _batch_outputs(self, inputs: Sequence[Picture] | Tensor) -> list[Tensor]:
        """What the network says, a batch each."""
        if isinstance(inputs, str | Path | Image.Image):
            raise NotPossible("this is one picture, not several", f"predict([{inputs!r}])")
        batches = (inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH))
        return [self.model.predict(self._as_stored(batch)).cpu() for batch in batches]

    def _as_stored(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """Samples as data sets store them."""
        if isinstance(inputs, Tensor):
            dtype = getattr(torch, self.samples)
            pictures = len(self.shape) == 3 and not self._stored_as_float
            fits = inputs.dim() == 4 if pictures else tuple(inputs.shape[1:]) == self.whole
            if not fits or inputs.dtype != dtype:
                sizes = ", ".join(map(str, self.whole))
                wanted = f"({'B, C, H, W' if pictures else f'B, {sizes}'}) of {dtype}"
                raise NotPossible(
                    f"a batch for {self.folder.name} is {wanted}, "
                    f"not {tuple(inputs.shape)} of {inputs.dtype}"
                )
            known = self.program.vocabulary
            if known is not None and not ((inputs >= 0) & (inputs < known)).all():
                raise NotPossible(f"tokens are numbers from 0 to {known - 1}")
            return inputs
        self._require_pictures()
        return torch.stack([self._read_picture(picture) for picture in inputs])

    def _require_pictures(self) -> None:
        if len(self.shape) != 3:
            shape = ", ".join(map(str, self.shape))
            raise NotPossible(f"the network of {self.folder} takes ({shape}), not pictures")

    def _read_picture(self, picture: Picture) -> Tensor:
        if isinstance(picture, Image.Image):
            return pixels_of(picture, self.whole, self._stored_as_float)
        found = decode(str(picture), self.whole, self._stored_as_float)
        if isinstance(found, str):
            raise NotPossible(found)
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
    path, content = read_run_weights(folder, weights)
    task = restore_task(folder, record, program, "test", path, content)
    shape = input_shape(program)
    transforms = Transforms.without_augmentations(
        shape, program.recipe.augment, record.mean, record.deviation
    )
    model = TrainedNetwork(task.network, transforms, task.objective).eval().to(device)
    classes = tuple(record.classes)
    return TrainedRun(Path(run), program, model, classes, shape, record.labels, record.samples)
