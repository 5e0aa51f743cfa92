"""Samples that are read when they are asked for: from an array in a file, or from a program."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHUNK = 1000  # samples looked at at a time


@dataclass(frozen=True)
class Stored:
    """Samples that are not in memory.

    Args:
        source: an array that is mapped from its file, (N, …), or a program's data set, whose items
            are pairs of an input and a label.
        places: which of its samples, in which order.
        shape: of one sample.
    """

    source: Any
    places: np.ndarray
    shape: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Of what is read."""
        return self.read([0]).dtype

    def __len__(self) -> int:
        return len(self.places)

    def pick(self, indices: np.ndarray) -> "Stored":
        """Those at the given places, in that order; nothing is read."""
        return replace(self, places=self.places[indices])

    def read(self, places: Sequence[int] | np.ndarray) -> Tensor:
        """Some of them, (B, *shape), uint8 or float32."""
        chosen = self.places[np.asarray(places)]
        if isinstance(self.source, np.ndarray):
            return as_samples(self.source[chosen])
        return torch.stack([as_samples(self.source[i][0]) for i in chosen.tolist()])


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
