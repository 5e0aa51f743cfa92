"""Samples that are read when they are asked for: from an array in a file, or from a program."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

CHUNK = 1000  # samples looked at at a time


class Stored(Protocol):
    """Samples that are not in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        ...

    def __len__(self) -> int: ...

    def pick(self, indices: np.ndarray) -> "Stored":
        """Those at the given places, in that order."""
        ...

    def read(self, places: Sequence[int]) -> Tensor:
        """Some of them, (B, *shape), uint8 or float32."""
        ...


@dataclass(frozen=True)
class Mapped:
    """Samples of an array that is mapped from its file.

    Args:
        array: (N, …), of any type of number.
        places: which of its samples, in which order; all if None.
    """

    array: np.ndarray
    places: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.array.shape[1:]

    def __len__(self) -> int:
        return len(self.array if self.places is None else self.places)

    def pick(self, indices: np.ndarray) -> "Mapped":
        """Those at the given places; nothing is read."""
        return replace(self, places=indices if self.places is None else self.places[indices])

    def read(self, places: Sequence[int]) -> Tensor:
        """Some of them."""
        chosen = np.asarray(places)
        return as_samples(self.array[chosen if self.places is None else self.places[chosen]])


@dataclass(frozen=True)
class Items:
    """Samples that a program's data set gives one by one.

    Args:
        dataset: its items are pairs of an input and a label.
        places: which of them, in which order.
        shape: of one sample.
    """

    dataset: Any
    places: np.ndarray
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)

    def pick(self, indices: np.ndarray) -> "Items":
        """Those at the given places; nothing is read."""
        return replace(self, places=self.places[indices])

    def read(self, places: Sequence[int]) -> Tensor:
        """Some of them."""
        chosen = self.places[np.asarray(places)].tolist()
        return torch.stack([as_samples(self.dataset[i][0]) for i in chosen])


def as_samples(values: Any) -> Tensor:
    """Numbers as a network is handed them: uint8 stays, all others become float32."""
    tensor = as_tensor(values)
    return tensor if tensor.dtype == torch.uint8 else tensor.to(torch.float32)


def as_tensor(values: Any) -> Tensor:
    """Numbers as a plain tensor, of whatever size, byte order and strides numpy's are."""
    if isinstance(values, Tensor):
        plain = values.detach()
        return plain if plain.layout == torch.strided else plain.to_dense()
    if isinstance(values, np.ndarray):
        wide = values.dtype.kind == "f" and values.dtype.itemsize > np.dtype(np.float64).itemsize
        kind = np.dtype(np.float64) if wide else values.dtype.newbyteorder("=")
        return torch.as_tensor(np.asarray(values, kind, order="C"))
    return torch.as_tensor(values)


def chunks(inputs: Tensor | Stored) -> Iterator[Tensor]:
    """All samples in order, some at a time."""
    if isinstance(inputs, Tensor):
        yield from inputs.split(CHUNK)
        return
    for start in range(0, len(inputs), CHUNK):
        yield inputs.read(range(start, min(start + CHUNK, len(inputs))))
