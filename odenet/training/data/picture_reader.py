"""Pictures read in batches, ahead of their use, or all at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from lightning.fabric.utilities.data import suggested_max_num_workers
from torch import Tensor
from torch.utils.data import DataLoader

from odenet.training.data.pictures import Pictures

CHUNK = 256  # pictures decoded at a time
MOST_WORKERS = 8


@dataclass(frozen=True)
class PictureBatch:
    """A batch of pictures as read.

    Args:
        images: (M, C, H, W), the readable pictures.
        readable: for every picture asked for, whether it was readable.
        damaged: a line for each of the others.
        companions: (M, …) read with the pictures, such as class maps; None without any.
    """

    images: Tensor
    readable: np.ndarray
    damaged: list[str]
    companions: Tensor | None = None

    def pin_memory(self) -> "PictureBatch":
        """The same in memory that a GPU reads from on its own; torch calls this."""
        companions = None if self.companions is None else self.companions.pin_memory()
        return replace(self, images=self.images.pin_memory(), companions=companions)


class Companions(Protocol):
    """What is read along with each picture, such as its class map."""

    def __getitem__(self, index: int) -> Tensor | str:
        """The companion of one picture; for a file that cannot be read, a line that says so."""
        ...


@dataclass(frozen=True)
class _Samples:
    """A map-style data set: a picture, with its companion if any; or a line if one is damaged."""

    pictures: Pictures
    companions: Companions | None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, ...] | str:
        image = self.pictures[index]
        if isinstance(image, str) or self.companions is None:
            return image if isinstance(image, str) else (image,)
        companion = self.companions[index]
        return companion if isinstance(companion, str) else (image, companion)


class PictureReader:
    """Decodes batches of pictures, in order, ahead of their use.

    Args:
        pictures: the files.
        workers: processes that decode, which stay from one reading to the next; 0 decodes here.
        pinned: put the pictures where a GPU can fetch them while the host goes on.
        companions: read along with each picture, if given.
    """

    def __init__(
        self,
        pictures: Pictures,
        workers: int,
        pinned: bool = False,
        companions: Companions | None = None,
    ):
        samples: Any = _Samples(pictures, companions)
        self._batches: list[list[int]] = []
        self._loader = DataLoader(
            samples,
            batch_sampler=self._batches,
            num_workers=workers,
            collate_fn=partial(_collate, shape=pictures.shape, dtype=pictures.dtype),
            pin_memory=pinned,
            persistent_workers=workers > 0,
        )

    def read(self, batches: Iterable[list[int]]) -> Iterator[PictureBatch]:
        """The pictures of each batch.

        Args:
            batches: the indices of the pictures of each.
        """
        self._batches[:] = batches
        yield from self._loader


def _collate(
    read: list[tuple[Tensor, ...] | str], shape: tuple[int, int, int], dtype: torch.dtype
) -> PictureBatch:
    """The batch of some items of `_Samples`; shape and dtype are those of a picture."""
    samples = [sample for sample in read if not isinstance(sample, str)]
    damaged = [line for line in read if isinstance(line, str)]
    readable = np.array([not isinstance(sample, str) for sample in read])
    if not samples:
        return PictureBatch(torch.empty((0, *shape), dtype=dtype), readable, damaged)
    images, *companions = map(torch.stack, zip(*samples, strict=True))
    return PictureBatch(images, readable, damaged, *companions)


def decode_all(
    pictures: Pictures, workers: int, companions: Companions | None = None
) -> tuple[Tensor, Tensor | None, np.ndarray, tuple[str, ...]]:
    """Decode every picture into memory.

    Returns:
        The readable pictures (M, C, H, W), their companions, for every picture whether it was
        readable, and a line per damaged file.
    """
    everything = list(range(len(pictures)))
    batches = [everything[i : i + CHUNK] for i in everything[::CHUNK]]
    images = torch.empty((len(pictures), *pictures.shape), dtype=pictures.dtype)
    all_companions: Tensor | None = None
    readable = np.zeros(len(pictures), dtype=bool)
    damaged: list[str] = []
    reader = PictureReader(pictures, workers, companions=companions)
    for batch, read in zip(batches, reader.read(batches), strict=True):
        readable[batch] = read.readable
        filled = int(readable.sum())
        new = slice(filled - len(read.images), filled)
        images[new] = read.images
        if read.companions is not None:
            size = (len(pictures), *read.companions.shape[1:])
            if all_companions is None:
                all_companions = torch.empty(size, dtype=read.companions.dtype)
            all_companions[new] = read.companions
        damaged += read.damaged
    count = int(readable.sum())
    kept_companions = None if all_companions is None else all_companions[:count]
    return images[:count], kept_companions, readable, tuple(damaged)


def reading_processes(devices: int) -> int:
    """How many processes decode pictures, when `devices` training processes share the machine."""
    return min(MOST_WORKERS, suggested_max_num_workers(devices))
