"""`TrainedRun`, the network of a run for predictions and samples; needs no training data."""

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
    """A run after training, from `odenet.load_run`.

    Args:
        folder: the folder of the run.
        program: its spec, compiled with the settings it was trained with.
        model: the network together with its preprocessing, in evaluation mode.
        classes: the names of the classes, in the order of the network's outputs; empty for numbers.
        shape: the shape of one sample, as the network takes it.
        labels: the kind and the statistics of the labels that it was trained with.
        samples: the type of stored samples: "uint8" for pictures, "float32", or "int64" for tokens.
    """

    folder: Path
    program: Program
    model: TrainedNetwork
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    labels: LabelInfo
    samples: str = "uint8"

    def __repr__(self) -> str:
        output = f"{len(self.classes)} classes" if self.classes else self.loss.meaning
        shape = ", ".join(map(str, self.shape))
        return f"<run {self.folder}: takes ({shape}), gives {output}>"

    @property
    def loss(self) -> LossKind:
        """The loss that it was trained with."""
        return self.model.objective.kind

    @property
    def whole(self) -> tuple[int, ...]:
        """The shape that a whole sample is scaled to, before its centre is cropped to `shape`.

        It is `shape` itself if the recipe has no `center_crop`.
        """
        return self.model.transforms.scaled_shape

    @property
    def network(self) -> nn.Module:
        """The network without preprocessing; its input is what `preprocess` returns."""
        return self.model.network

    def preprocess(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """The input of the network for files, pictures or a tensor; arguments as for `predict`."""
        return self.model.preprocess(self._as_stored(inputs))

    def predict(self, inputs: Sequence[Picture] | Tensor) -> Predictions:
        """The predictions of the network for some samples.

        Args:
            inputs: paths of pictures, or pictures, of any size, coloured or grey; or a tensor as
                data sets store samples: (B, C, H, W) uint8 pixels, (B, …) float32 numbers, or
                (B, T) int64 tokens, for each of which the next one is predicted.

        Raises:
            TrainingError: a picture cannot be read, or a tensor has another shape or type.
        """
        if self.loss.needs_density:
            help_ = "load_run(…).sample(n) makes new ones, log_likelihood(x) weighs given ones"
            problem = "is a density, and predicts nothing of a sample"
            raise NotPossible(f"the network of {self.folder} {problem}", help_)
        return self._predictions(self._predict_batches(inputs))

    def evaluate(self, **keywords: Any) -> dict[str, Any]:
        """Measure the run on its test split, or on other data, as `odenet.evaluate` does.

        Args:
            keywords: the keyword arguments of `odenet.evaluate`.
        """
        return evaluate(self.folder, **keywords)

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
        """New samples of a density, or text from a language model.

        Args:
            n: the number of samples of a density; None for text.
            seed: the seed of random numbers; None takes torch's global generator.
            temperature: of a density, the standard deviation of the latent variables; below 1,
                samples are likelier and less diverse (Kingma & Dhariwal 2018, section 6). Of a
                language model, the divisor of the scores; 0 takes the likeliest token each time.
            prompt: how a text begins; an empty one is replaced by a line break.
            tokens: how many to add to the prompt.
            top: the number of likeliest tokens to draw from; 0 for all.

        Returns:
            Samples as data sets store them, (n, *shape): float32 points or uint8 pixels. Of a
            language model, the prompt and the text that follows it.

        Raises:
            TrainingError: the network is neither a density nor a language model, or does not know
                the prompt's tokens.
        """
        rng = torch.default_generator if seed is None else torch.Generator().manual_seed(seed)
        if n is None:
            run = self.program, self.network, self.folder
            return sample_text(*run, prompt, tokens, temperature, top, rng)
        self._require_density()
        with torch.no_grad():
            weight = next(self.network.parameters(), self.model.mean)  # has the device and type
            shape = self.network(torch.zeros(1, *self.shape).to(weight)).shape[1:]
            latent = temperature * torch.randn(n, *shape, generator=rng).to(weight)
            batches = [inverse(self.network.children(), z) for z in latent.split(BATCH)]
        values = torch.cat(batches) if batches else latent.new_zeros(0, *self.shape)
        grain = self.labels.grain  # only pixels have one
        return (self.model.transforms.to_pixels(values) if grain else values).cpu()

    def log_likelihood(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """The logarithm of the density at each sample, in nats, (B,).

        Args:
            inputs: as for `predict`.

        Raises:
            TrainingError: the network is not a density, or a sample cannot be read.
        """
        self._require_density()
        batches = self._predict_batches(inputs)
        return torch.cat(batches) if batches else torch.zeros(0)

    def _require_density(self) -> None:
        if not self.loss.needs_density:
            help_ = "train it with a line `loss = likelihood`"
            if self.program.vocabulary is not None:
                help_ = 'load_run(…).sample(prompt="…") continues a text by a language model'
            raise NotPossible(f"the network of {self.folder} is not a density", help_)

    def predict_files(self, paths: Sequence[str]) -> tuple[Predictions, list[str], list[str]]:
        """The predictions for pictures in files, without those files that cannot be read.

        Returns:
            The predictions, the paths of the files they are for, and a message for each other file.
        """
        self._require_pictures()
        values, readable, messages = [], [], []
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            decoded = {path: decode(path, self.whole, self._stored_as_float) for path in batch}
            images = {path: image for path, image in decoded.items() if isinstance(image, Tensor)}
            messages += [line for line in decoded.values() if isinstance(line, str)]
            readable += images
            if images:
                values.append(self.predict(torch.stack(list(images.values()))).values)
        return self._predictions(values), readable, messages

    @property
    def _stored_as_float(self) -> bool:
        return self.samples == "float32"

    def _predictions(self, batches: list[Tensor]) -> Predictions:
        values = torch.cat(batches) if batches else torch.zeros(0, len(self.classes))
        return Predictions(values, self.classes, self.loss)

    @torch.no_grad()
    def _predict_batches(self, inputs: Sequence[Picture] | Tensor) -> list[Tensor]:
        """The predictions as tensors, one for each batch of the inputs."""
        if isinstance(inputs, str | Path | Image.Image):
            raise NotPossible("this is one picture, not several", f"predict([{inputs!r}])")
        batches = (inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH))
        return [self.model.predict(self._as_stored(batch)).cpu() for batch in batches]

    def _as_stored(self, inputs: Sequence[Picture] | Tensor) -> Tensor:
        """The samples as a tensor in the form in which data sets store them; checks a tensor."""
        if isinstance(inputs, Tensor):
            dtype = getattr(torch, self.samples)
            any_size = len(self.shape) == 3 and not self._stored_as_float
            has_shape = inputs.dim() == 4 if any_size else tuple(inputs.shape[1:]) == self.whole
            if not has_shape or inputs.dtype != dtype:
                sizes = ", ".join(map(str, self.whole))
                expected = f"({'B, C, H, W' if any_size else f'B, {sizes}'}) of {dtype}"
                found = f"{tuple(inputs.shape)} of {inputs.dtype}"
                raise NotPossible(f"a batch for {self.folder.name} is {expected}, not {found}")
            vocabulary = self.program.vocabulary
            if vocabulary is not None and not ((inputs >= 0) & (inputs < vocabulary)).all():
                raise NotPossible(f"tokens are numbers from 0 to {vocabulary - 1}")
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
        pixels = decode(str(picture), self.whole, self._stored_as_float)
        if isinstance(pixels, str):
            raise NotPossible(pixels)
        return pixels


def load_run(
    run: str | Path,
    weights: str = "best",
    device: str | torch.device = "cpu",
    set: Mapping[str, Any] | None = None,
) -> TrainedRun:
    """The network of a run with its weights, in evaluation mode.

    Args:
        run: the run's folder.
        weights: which weights, "best" or "last".
        device: where the network is put.
        set: numbers of the spec to change, for example `{"γ": 0.5}`.

    Raises:
        TrainingError: the folder is not that of a run, or a file is missing or damaged.
    """
    folder = RunFolder(Path(run))
    record = folder.read_record()
    folder.require_plugins()
    program = odenet.load(folder.spec, set={**record.settings, **(set or {})})
    path, content = read_run_weights(folder, weights)
    task = restore_task(folder, record, program, "test", path, content)
    shape, augment = input_shape(program), program.recipe.augment
    transforms = Transforms.without_augmentations(shape, augment, record.mean, record.deviation)
    model = TrainedNetwork(task.network, transforms, task.objective).eval().to(device)
    classes = tuple(record.classes)
    return TrainedRun(Path(run), program, model, classes, shape, record.labels, record.samples)
