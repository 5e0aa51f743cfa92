"""Transforms from stored samples to the network's input, by batches on the training device.

The random numbers of an epoch are drawn at once, one row per position of the epoch's order, from
the seed and the epoch alone. What happens to a sample therefore does not depend on the device, the
number of processes that share the epoch, or where a run was interrupted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from odenet.model.tables.recipe import Call
from odenet.training.data import torchvision_augmentations
from odenet.training.data.augmentations import (
    AUGMENTATIONS,
    Augmentation,
    Flip,
    RandomResizedCrop,
    center_cropped,
    random_augmentations,
    shape_before_crop,
)
from odenet.training.data.lazy_samples import sample_chunks
from odenet.training.data.pictures import COLOUR, GREY, Pictures
from odenet.training.data.samples import RandomStream, Split, random_generator, sample_shape
from odenet.training.data.statistics import channel_moments, standardise_over
from odenet.training.data.windows import Windows
from odenet.training.errors import DataMisfit, UnreadableData

Draws = tuple[Tensor, ...]  # one per augmentation, first axis the position in the epoch

SAMPLED_PICTURES = 1000  # pictures read from disk for the statistics
PICTURES_PER_CHUNK = 64  # how many of them are in memory at a time
SMALLEST_DEVIATION = 1e-3  # of pixels in 0..1; a constant channel stays finite


@dataclass(frozen=True)
class Transforms:
    """Fits samples to the network, augments them, and standardises them.

    Args:
        shape: the shape of a sample as the network takes it: channels, then the sizes of its axes.
        augmentations: for training batches only.
        mean: the mean of the training split, per channel, for pixels in 0..1.
        deviation: its standard deviation, per channel.
        per_image: standardise every sample by its own mean and deviation instead.
        scaled_shape: what pictures are scaled to before a center crop; `shape` without one.
        mix: mixes the samples of a training batch, with their classes (mixup, CutMix).
    """

    shape: tuple[int, ...]
    augmentations: tuple[Augmentation, ...]
    mean: Tensor
    deviation: Tensor
    per_image: bool
    scaled_shape: tuple[int, ...]
    mix: torchvision_augmentations.Mix | None = None

    @classmethod
    def without_augmentations(
        cls,
        shape: tuple[int, ...],
        augment: Sequence[Call],
        mean: Sequence[float],
        deviation: Sequence[float],
    ) -> "Transforms":
        """The transforms of a finished training, without its augmentations."""
        per_image = standardise_over(augment) == "image"
        scaled_shape = shape_before_crop(augment, shape)
        transforms = cls(shape, (), torch.zeros(()), torch.ones(()), per_image, scaled_shape)
        return transforms.standardising_by(mean, deviation)

    def standardising_by(self, mean: Sequence[float], deviation: Sequence[float]) -> "Transforms":
        """These transforms with other statistics, a number per channel."""
        statistics = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
        return self.with_statistics(*statistics)

    def with_statistics(self, mean: Tensor, deviation: Tensor) -> "Transforms":
        """These transforms with other statistics, each (C, 1, 1)."""
        return replace(self, mean=mean, deviation=deviation)

    @property
    def pixel_spacing(self) -> tuple[float, ...]:
        """The distance of neighbouring pixel values, per channel, after standardisation."""
        return tuple((1 / (255 * self.deviation.flatten().double())).tolist())

    def to_pixels(self, values: Tensor) -> Tensor:
        """Pixels as data sets store them, from what the network takes, (B, *shape).

        Values are rounded down, since the noise of a density's training spreads each pixel value up
        to the next one. Values out of range become the nearest in it.
        """
        channels = len(self.pixel_spacing)
        pictures = values if values.dim() > 2 else values.view(len(values), channels, -1, 1)
        pixels = (pictures * self.deviation + self.mean) * 255
        return pixels.floor().clamp(0, 255).to(torch.uint8).view_as(values)

    def to(self, device: torch.device) -> "Transforms":
        """The same with its statistics on a device."""
        return self.with_statistics(self.mean.to(device), self.deviation.to(device))

    def draw(self, seed: int, epoch: int, count: int) -> Draws:
        """The random numbers of one epoch over `count` samples."""
        rng = random_generator(RandomStream.AUGMENT, seed, epoch)
        mixing = () if self.mix is None else (self.mix,)
        return tuple(step.draw(rng, count) for step in (*self.augmentations, *mixing))

    def __call__(self, inputs: Tensor, draws: Draws = ()) -> Tensor:
        """One batch.

        Args:
            inputs: (B, …), uint8 or float32.
            draws: the batch's rows of the epoch's draws; without any nothing is augmented.

        Returns:
            float32, (B, *shape).
        """
        return self._flat(self._standardised(inputs, draws))

    def _flat(self, values: Tensor) -> Tensor:
        return values.flatten(1) if len(self.shape) == 1 else values

    def _standardised(self, inputs: Tensor, draws: Draws) -> Tensor:
        """See `__call__`; pictures keep their axes."""
        images = fit_pictures(inputs, self.scaled_shape)
        crops = (isinstance(step, RandomResizedCrop) for step in self.augmentations)
        random_crops = bool(draws) and any(crops)
        if self.scaled_shape != self.shape and not random_crops:
            images = center_cropped(images, self.shape[1:])
        for step, drawn in zip(self.augmentations, draws, strict=False):
            images = step(images, drawn)
        values = images.to(torch.float32)
        if images.dtype == torch.uint8:
            values = values / 255
        if self.per_image:
            axes = tuple(range(1, values.dim()))
            deviation, mean = torch.std_mean(values, dim=axes, keepdim=True)
            values = (values - mean) / deviation.clamp(min=SMALLEST_DEVIATION)
        else:
            per_channel = (-1, *(1 for _ in values.shape[2:]))  # the shape of a number per channel
            mean, deviation = (x.flatten().view(per_channel) for x in (self.mean, self.deviation))
            values = (values - mean) / deviation
        return values

    def with_labels(self, inputs: Tensor, labels: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """A batch and its labels; class maps are flipped too, mixed labels become shares."""
        batch = self._standardised(inputs, draws)
        for step, drawn in zip(self.augmentations, draws, strict=False):
            if isinstance(step, Flip) and labels.dim() > 2:
                labels = (
                    step(labels[:, None], drawn)[:, 0] if labels.dim() == 3 else step(labels, drawn)
                )
        if self.mix is not None and draws:
            batch, labels = self.mix(batch, labels, draws[-1])  # `draw` puts the mixing last
        return self._flat(batch), labels


def fit_pictures(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Pictures (B, C, H, W) with the channels and the size of the network's input."""
    if len(shape) == 1 or tuple(images.shape[1:]) == tuple(shape):
        return images
    channels, size = shape[0], list(shape[1:])
    if images.shape[1] == GREY and channels == COLOUR:
        images = vision.grayscale_to_rgb(images)
    elif images.shape[1] == COLOUR and channels == GREY:
        images = vision.rgb_to_grayscale(images)
    return images if list(images.shape[2:]) == size else vision.resize(images, size)


def build_transforms(
    split: Split,
    shape: Sequence[int],
    augment: Sequence[Call],
    standardise: bool = True,
    classes: int = 0,
) -> Transforms:
    """The transforms for a training split.

    Args:
        split: the training split, whose mean and deviation are taken.
        shape: the shape of a sample as the network takes it.
        augment: the augmentations that the recipe lists.
        standardise: whether samples that are not pictures are standardised.
        classes: how many there are, for labels that are mixed.

    Raises:
        TrainingError: an augmentation cannot be applied to such samples.
    """
    standardised_over = standardise_over(augment)
    names_for_images = {*AUGMENTATIONS, *torchvision_augmentations.MIXING, "center_crop"}
    for_images = [call for call in augment if call.name in names_for_images]
    if for_images and len(sample_shape(split)) != 3:
        raise DataMisfit(f"{for_images[0]} changes images, and this data set has points")
    if for_images and len(split.labels.shape) > 2:  # the labels are class maps
        unsuitable = next((c for c in for_images if c.name not in ("flip", "color_jitter")), None)
        if unsuitable is not None:
            raise DataMisfit(
                f"{unsuitable} would move the places of a sample away from their labels",
                "leave it out; flip turns both",
            )
    for call in augment:
        if call.name in torchvision_augmentations.BYTE_AUGMENTATIONS:
            _require_bytes(split, call)
    if (too_large := _larger_than_image(split, shape, augment)) is not None:
        raise DataMisfit(f"{too_large}: its n is larger than the images", "make it smaller")
    if standardised_over == "data" and (standardise or len(sample_shape(split)) == 3):
        mean, deviation = pixel_statistics(split, shape)
    else:
        mean, deviation = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    return Transforms(
        shape=tuple(shape),
        augmentations=random_augmentations(augment, tuple(shape[1:])),
        mean=mean,
        deviation=deviation,
        per_image=standardised_over == "image",
        scaled_shape=shape_before_crop(augment, shape),
        mix=torchvision_augmentations.mixing_of(augment, classes),
    )


def _require_bytes(split: Split, call: Call) -> None:
    """Refuse an augmentation of colours where samples are not pictures of 8 bits."""
    channels, is_real = sample_shape(split)[0], split.stored_dtype != "uint8"
    if is_real or channels not in (GREY, COLOUR):
        description = "of real numbers" if is_real else f"with {channels} channels"
        raise DataMisfit(
            f"{call} is for pictures of 8 bits that are grey or have three colours, and these are "
            f"{description}",
            "leave it out",
        )


def pixel_statistics(split: Split, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every channel, pixels in 0..1, each (C, 1, 1).

    Pictures left on disk are sampled, evenly spaced.
    """
    chunks = _sample_chunks(split)
    first = next(chunks, None)
    if first is None:
        raise UnreadableData("none of the training pictures can be read")
    all_chunks = chain([first], chunks)
    if first.is_floating_point():
        mean, deviation = channel_moments(fit_pictures(chunk, shape) for chunk in all_chunks)
        return mean[:, None, None], deviation[:, None, None]
    counts = torch.zeros((), dtype=torch.int64)
    for chunk in all_chunks:
        keeps_size = chunk.dim() == 4 and len(shape) == 3
        pixels = fit_pictures(chunk, (shape[0], *chunk.shape[2:]) if keeps_size else shape)
        histograms = [torch.bincount(c.flatten(), minlength=256) for c in pixels.unbind(1)]
        counts = counts + torch.stack(histograms)
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts.double() / counts.sum(1, keepdim=True)
    mean = shares @ values
    deviation = ((shares @ values**2) - mean**2).clamp(min=0).sqrt()
    scale = deviation.clamp(min=SMALLEST_DEVIATION)
    return mean.float()[:, None, None], scale.float()[:, None, None]


def _sample_chunks(split: Split) -> Iterator[Tensor]:
    """All samples in chunks; of pictures on disk a part, without those that cannot be read."""
    inputs = split.inputs
    assert not isinstance(inputs, Windows)  # these are token numbers
    if not isinstance(inputs, Pictures):
        yield from sample_chunks(inputs)
        return
    indices = range(0, len(inputs), max(1, len(inputs) // SAMPLED_PICTURES))
    for start in range(0, len(indices), PICTURES_PER_CHUNK):
        pictures = map(inputs.__getitem__, indices[start : start + PICTURES_PER_CHUNK])
        if readable := [picture for picture in pictures if isinstance(picture, Tensor)]:
            yield torch.stack(readable)


def _larger_than_image(split: Split, shape: Sequence[int], augment: Sequence[Call]) -> Call | None:
    """An augmentation by more pixels than an image has, if there is one."""
    stored_size = sample_shape(split)[-2:]
    side = max(shape[1:] if len(shape) == 3 else stored_size)
    large = (call for call in augment if call.name in ("pad_crop", "cutout") and call["n"] > side)
    return next(large, None)


def mismatched_shape(split: Split, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of a sample, if it cannot be converted to the network's input; else None."""
    sample = sample_shape(split)
    if tuple(shape) == sample or (len(shape) == 1 and int(np.prod(sample)) == shape[0]):
        return None
    convertible = len(sample) == 3 and len(shape) == 3 and {shape[0], sample[0]} <= {GREY, COLOUR}
    return None if convertible else sample
