"""Samples that are read only when needed: of an array in a file, or of a data set from Python."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHUNK_SIZE = 1000  # samples read at a time


@dataclass(frozen=True)
class LazySamples:
    """Samples that are not in memory.

    Args:
        source: a memory-mapped array, (N, …), or the data set of pairs (input, label) that
            `odenet.train` was given.
        indices: which of its samples, in which order.
        shape: the shape of one sample.
    """

    source: Any
    indices: np.ndarray
    shape: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the samples once read."""
        return self.read([0]).dtype

    def __len__(self) -> int:
        return len(self.indices)

    def pick(self, indices: np.ndarray) -> "LazySamples":
        """A selection of the samples, in the given order; nothing is read."""
        return replace(self, indices=self.indices[indices])

    def read(self, positions: Sequence[int] | np.ndarray) -> Tensor:
        """The samples at some positions in `indices`, (B, *shape), uint8 or float32."""
        chosen = self.indices[np.asarray(positions)]
        if isinstance(self.source, np.ndarray):
            return as_samples(self.source[chosen])
        return torch.stack([as_samples(self.source[i][0]) for i in chosen.tolist()])


def as_samples(values: Any) -> Tensor:
    """Numbers as samples are kept: uint8 stays, all others become float32."""
    tensor = as_tensor(values)
    return tensor if tensor.dtype == torch.uint8 else tensor.to(torch.float32)


def as_tensor(values: Any) -> Tensor:
    """Numbers as a dense tensor; numpy's may have any precision, byte order and strides."""
    if isinstance(values, Tensor):
        plain = values.detach()
        return plain if plain.layout == torch.strided else plain.to_dense()
    if isinstance(values, np.ndarray):
        wide = values.dtype.kind == "f" and values.dtype.itemsize > np.dtype(np.float64).itemsize
        kind = np.dtype(np.float64) if wide else values.dtype.newbyteorder("=")
        return torch.as_tensor(np.asarray(values, kind, order="C"))
    return torch.as_tensor(values)


def sample_chunks(inputs: Tensor | LazySamples) -> Iterator[Tensor]:
    """All samples in order, `CHUNK_SIZE` at a time."""
    if isinstance(inputs, Tensor):
        yield from inputs.split(CHUNK_SIZE)
        return
    for start in range(0, len(inputs), CHUNK_SIZE):
        yield inputs.read(range(start, min(start + CHUNK_SIZE, len(inputs))))
