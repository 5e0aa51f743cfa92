"""Random augmentations of training pictures, and the center crop.

An augmentation draws its random numbers for a whole epoch at once, a row for each sample; it is
called with a batch and the rows of the batch's samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from odenet.model.tables.recipe import Call
from odenet.training.data.torchvision_augmentations import BYTE_AUGMENTATIONS, PerPicture


@dataclass(frozen=True)
class PadCrop:
    """A border of `n` black pixels, then a random crop of the old size."""

    n: int

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Offsets of the crop, (count, 2)."""
        return torch.from_numpy(rng.integers(0, 2 * self.n + 1, (count, 2)))

    def __call__(self, images: Tensor, offsets: Tensor) -> Tensor:
        """Crop every image at its own offset."""
        height, width = images.shape[-2:]
        padded = vision.pad(images, [self.n])
        rows = offsets[:, :1] + torch.arange(height, device=images.device)
        columns = offsets[:, 1:] + torch.arange(width, device=images.device)
        pixels = rows[:, :, None] * padded.shape[-1] + columns[:, None, :]  # their flat indices
        indices = pixels.flatten(1)[:, None].expand(-1, images.shape[1], -1)
        return padded.flatten(2).gather(2, indices).view_as(images)


@dataclass(frozen=True)
class Flip:
    """Left and right exchanged in half of the images."""

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Whether to flip, (count,)."""
        return torch.from_numpy(rng.random(count) < 0.5)

    def __call__(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Flip the chosen images."""
        return torch.where(chosen[:, None, None, None], vision.horizontal_flip(images), images)


@dataclass(frozen=True)
class Cutout:
    """A square of `n` by `n` pixels, centred anywhere, blanked out."""

    n: int

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Centres as fractions of height and width, (count, 2)."""
        return torch.from_numpy(rng.random((count, 2), dtype=np.float32))

    def __call__(self, images: Tensor, centres: Tensor) -> Tensor:
        """Blank a square in every image; squares are cut off at the edges."""
        height, width = images.shape[-2:]
        hidden_rows = self._hidden(centres[:, 0], height)
        hidden_columns = self._hidden(centres[:, 1], width)
        hidden = hidden_rows[:, None, :, None] & hidden_columns[:, None, None, :]
        return images.masked_fill(hidden, 0)

    def _hidden(self, centres: Tensor, size: int) -> Tensor:
        """Whether each row (or column) of an image is in its square, (B, size)."""
        positions = torch.arange(size, device=centres.device)
        first = (centres * size).floor()[:, None] - self.n // 2
        return (positions >= first) & (positions < first + self.n)


@dataclass(frozen=True)
class RandomResizedCrop:
    """A part of each image, scaled to what the network takes (Szegedy et al. 2015, section 6).

    Its sides, as shares of the image's sides, differ by a factor of 4/3 at most.

    Args:
        least: the smallest share of the image's area that the part has.
        size: height and width of what comes out; those of the images if empty.
    """

    least: float
    size: tuple[int, ...] = ()

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Height and width of the part and where it begins, as shares of the whole, (count, 4)."""
        area = rng.uniform(self.least, 1, count)
        stretch = np.exp(rng.uniform(-0.5, 0.5, count) * math.log(4 / 3))  # its square is the ratio
        sides = np.minimum(np.sqrt(area)[:, None] * np.stack([stretch, 1 / stretch], 1), 1)
        begins = rng.random((count, 2)) * (1 - sides)
        return torch.from_numpy(np.concatenate([sides, begins], 1).astype(np.float32))

    def __call__(self, images: Tensor, parts: Tensor) -> Tensor:
        """Cut the part out of every image and scale it, bilinearly."""
        sides, begins = parts[:, :2], parts[:, 2:]
        centres = 2 * begins + sides - 1  # from -1 to 1, the coordinates of `affine_grid`
        zero = torch.zeros_like(centres[:, 0])
        entries = [sides[:, 1], zero, centres[:, 1], zero, sides[:, 0], centres[:, 0]]
        matrices = torch.stack(entries, 1).view(-1, 2, 3)
        size = [*images.shape[:2], *(self.size or images.shape[2:])]
        grid = functional.affine_grid(matrices, size, align_corners=False)
        pixels = functional.grid_sample(
            images.to(torch.float32), grid, padding_mode="border", align_corners=False
        )
        return pixels if images.is_floating_point() else pixels.round_().to(images.dtype)


AUGMENTATIONS = {
    "pad_crop": PadCrop,
    "flip": Flip,
    "cutout": Cutout,
    "random_resized_crop": RandomResizedCrop,
    **BYTE_AUGMENTATIONS,
}


Augmentation = PadCrop | Flip | Cutout | RandomResizedCrop | PerPicture


def random_augmentations(
    augment: Sequence[Call], size: tuple[int, ...]
) -> tuple[Augmentation, ...]:
    """The random augmentations of a recipe; a resized crop gives height and width `size`."""
    made = (AUGMENTATIONS[c.name](**c.kwargs) for c in augment if c.name in AUGMENTATIONS)
    return tuple(replace(a, size=size) if isinstance(a, RandomResizedCrop) else a for a in made)


def shorter_side_before_crop(augment: Sequence[Call]) -> int | None:
    """The shorter side that pictures are scaled to before a center crop; None without one."""
    return next((call["resize"] for call in augment if call.name == "center_crop"), None)


def shape_before_crop(augment: Sequence[Call], shape: Sequence[int]) -> tuple[int, ...]:
    """The shape that pictures are scaled to: larger than the network's before a center crop.

    Args:
        augment: the recipe's list; `center_crop` gives the shorter side.
        shape: (C, H, W) that the network takes; other shapes are never cropped.
    """
    resize = shorter_side_before_crop(augment)
    if resize is None or len(shape) != 3:
        return tuple(shape)
    shorter_side = min(shape[1:])
    return (shape[0], *(round(side * resize / shorter_side) for side in shape[1:]))


def center_cropped(images: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of each image, (B, C, *size), from images (B, C, H, W) at least as large."""
    top, left = ((have - want) // 2 for have, want in zip(images.shape[2:], size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]]
