"""Augmentations of torchvision, each picture or batch under a seed of its own.

torchvision draws from torch's global generator. Here that is set to a seed which was drawn for the
sample, and restored afterwards, so that an augmentation depends on the run's seed and the epoch
alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from odenet.model.tables.recipe import Call

MAX_SEED = 2**63 - 1


def _seeds(rng: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(rng.integers(0, MAX_SEED, count))


@contextmanager
def _restored_generator() -> Iterator[torch.Generator]:
    """Torch's generator of the CPU, whose state is restored afterwards."""
    generator = torch.default_generator
    before = generator.get_state()
    try:
        yield generator
    finally:
        generator.set_state(before)


@dataclass(frozen=True)
class PerPicture:
    """A transform of torchvision, with a new draw for each picture."""

    transform: v2.Transform

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """A seed for each picture, (count,)."""
        return _seeds(rng, count)

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Transform each picture with its own seed, (B, C, H, W) uint8."""
        changed: list[Tensor] = []
        with _restored_generator() as generator:
            for image, seed in zip(images, seeds.tolist(), strict=True):
                generator.manual_seed(seed)
                changed.append(self.transform(image))
        return torch.stack(changed)


def color_jitter(brightness: float, contrast: float, saturation: float, hue: float) -> PerPicture:
    """Colours changed at random, in random order."""
    return PerPicture(v2.ColorJitter(brightness, contrast, saturation, hue))


def randaugment(n: int, m: int) -> PerPicture:
    """`n` changes of 14 kinds, with magnitude `m` of 30 (Cubuk et al. 2020)."""
    return PerPicture(v2.RandAugment(n, m))


# For pictures in bytes alone, as in torchvision.
BYTE_AUGMENTATIONS = {"color_jitter": color_jitter, "randaugment": randaugment}
# For a batch and its classes: mixup (Zhang et al. 2018), CutMix (Yun et al. 2019).
MIXING = {"mixup": v2.MixUp, "cutmix": v2.CutMix}


@dataclass(frozen=True)
class Mix:
    """Each sample of a batch mixed with its neighbour, and so are their classes.

    Args:
        transform: torchvision's MixUp or CutMix, or a random choice between the two.
    """

    transform: v2.Transform

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """A seed for each sample, (count,); a batch uses that of its first sample."""
        return _seeds(rng, count)

    def __call__(self, images: Tensor, labels: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the samples of a batch.

        Args:
            images: (B, C, H, W), float32.
            labels: (B,), classes.
            seeds: (B,), of which the first is used.

        Returns:
            The mixed pictures, and the share that each class has in them, (B, classes).
        """
        with _restored_generator() as generator:
            generator.manual_seed(int(seeds[0]))
            mixed, shares = self.transform(images, labels)
        return mixed, shares


def mixing_of(augment: Sequence[Call], classes: int) -> Mix | None:
    """The mixing of a recipe; where it lists several kinds, one is drawn for each batch."""
    calls = [call for call in augment if call.name in MIXING]
    mixings = [MIXING[call.name](num_classes=classes, **call.kwargs) for call in calls]
    if not mixings:
        return None
    return Mix(mixings[0] if len(mixings) == 1 else v2.RandomChoice(mixings))
