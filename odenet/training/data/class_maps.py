"""Class maps on disk: the class of every pixel of a picture, read when the picture is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.sparse import csr_array
from torch import Tensor
from torch.utils.data import DataLoader

from odenet.training.data.pictures import Pictures, open_picture, reason, upright_size
from odenet.training.errors import TrainingError, UnreadableData

BYTE_VALUES = 256
MAPS_PER_TASK = 64  # maps that a worker process scans before it reports


@dataclass(frozen=True)
class ClassMaps:
    """Labels that are class maps in files, with the number of pixels that have each value.

    Args:
        paths: the files.
        size: (H, W) of each, once cut and scaled as its picture is.
        values: (K,) the pixel values that occur in any of them, in order.
        labels: (K,) the class of each value.
        counts: (N, K), how many pixels of each map have each value.
    """

    paths: tuple[str, ...]
    size: tuple[int, int]
    values: np.ndarray
    labels: np.ndarray
    counts: csr_array

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W), as if all maps were one tensor."""
        return (len(self), *self.size)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of a map that is read: bytes where they are enough."""
        fit_in_byte = 0 <= self.labels.min() <= self.labels.max() < BYTE_VALUES
        return torch.uint8 if fit_in_byte else torch.int32

    @property
    def nbytes(self) -> int:
        """The memory that all maps take once read."""
        return len(self) * int(np.prod(self.size)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        """One map, (H, W); for a file that has changed or is damaged, a line that says so."""
        path = self.paths[index]
        try:
            values = read_class_map(path, self.size)
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            return f"{path}: {reason(error)}"
        indices = np.searchsorted(self.values, values).clip(max=len(self.values) - 1)
        if (self.values[indices] != values).any():
            return f"{path}: it has values that it did not have when training began"
        return torch.from_numpy(self.labels[indices]).to(self.dtype)

    def pick(self, indices: np.ndarray) -> "ClassMaps":
        """A selection of the files, in the given order; nothing is read."""
        paths = tuple(self.paths[i] for i in indices)
        return replace(self, paths=paths, counts=self.counts[indices])

    def renumbered(self, new: Mapping[int, int]) -> "ClassMaps":
        """The same with other class numbers; `new` maps old to new. Nothing is read."""
        labels = [new.get(label, label) for label in self.labels.tolist()]
        return replace(self, labels=np.array(labels, np.int64))

    def label_counts(self) -> dict[int, int]:
        """How many pixels each class that occurs has, sorted; nothing is read."""
        counts: list[int] = np.asarray(self.counts.sum(0)).tolist()
        pairs = zip(self.labels.tolist(), counts, strict=True)
        return {label: count for label, count in sorted(pairs) if count}


@dataclass(frozen=True)
class _ClassMapScan:
    """A map-style data set whose items are what a scan of one class map finds.

    Either its pixel values and how many pixels have each; or, where the picture cannot be read, a
    line that says so; or a message and a help, where the map is not right.
    """

    pictures: tuple[str, ...]
    maps: tuple[str, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray] | str | tuple[str, str]:
        picture, path = self.pictures[index], self.maps[index]
        try:
            picture_size = upright_size(picture)
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            return f"{picture}: {reason(error)}"
        try:
            class_map = read_class_map(path, self.size, picture_size)
            values, counts = np.unique(class_map, return_counts=True)
        except TrainingError as error:
            return error.message, error.help
        except Exception as error:
            return f"the class map {path} cannot be read: {reason(error)}", ""
        return values, counts.astype(np.int32)


def scan_class_maps(
    pictures: Pictures, maps: Sequence[str], workers: int
) -> tuple[Pictures, ClassMaps, tuple[str, ...]]:
    """Read the class map of every picture once, to count its values; none is kept in memory.

    Args:
        pictures: the files.
        maps: the files of their class maps, in the same order.
        workers: processes that read; 0 reads in this one.

    Returns:
        The pictures whose size can be read, their maps, and a line for each of the others.

    Raises:
        TrainingError: a map cannot be read, is not a class map, or does not fit its picture.
    """
    size = pictures.shape[1:]
    scan = _ClassMapScan(pictures.paths, tuple(maps), size)
    readable: list[int] = []
    damaged: list[str] = []
    value_counts: list[tuple[np.ndarray, np.ndarray]] = []
    loader = DataLoader(scan, MAPS_PER_TASK, num_workers=workers, collate_fn=list)  # pyright: ignore[reportArgumentType]
    for index, result in enumerate(chain.from_iterable(loader)):
        if isinstance(result, str):
            damaged.append(result)
        elif isinstance(result[0], str):
            raise UnreadableData(*result)
        else:
            readable.append(index)
            value_counts.append(result)
    class_maps = _from_value_counts([maps[i] for i in readable], size, value_counts)
    return pictures.pick(readable), class_maps, tuple(damaged)


def _from_value_counts(
    paths: Sequence[str],
    size: tuple[int, int],
    value_counts: Iterable[tuple[np.ndarray, np.ndarray]],
) -> ClassMaps:
    """Class maps whose classes are their values.

    Args:
        paths: the files.
        size: (H, W) of each, once cut and scaled.
        value_counts: for each file the values that occur, and how many pixels have each.
    """
    values_of_each, counts = zip(*value_counts, strict=True) if value_counts else ((), ())
    all_values = np.concatenate([np.zeros(0, np.int32), *values_of_each])
    values, columns = np.unique(all_values, return_inverse=True)
    row_ends = np.cumsum([0, *map(len, values_of_each)])
    entries = np.concatenate([np.zeros(0, np.int32), *counts]).astype(np.int64)
    count_table = csr_array((entries, columns, row_ends), shape=(len(paths), len(values)))
    return ClassMaps(tuple(paths), size, values, values.astype(np.int64), count_table)


def read_class_map(
    path: str, size: Sequence[int], picture_size: tuple[int, int] | None = None
) -> np.ndarray:
    """A class map, (H, W) int32, cut as its picture is and scaled without mixing values.

    Args:
        path: the file.
        size: (H, W) wanted.
        picture_size: the width and height of its picture, which it has to have.

    Raises:
        TrainingError: it is not a class map, or does not fit its picture.
        Exception: it cannot be read; decoders raise nearly anything.
    """
    with open_picture(path) as image:
        if image.format == "JPEG":
            message = f"the class map {path} is a JPEG, which does not keep values as they are"
            help_ = "make class maps PNG files, from what the JPEG was made of"
            raise UnreadableData(message, help_)
        if picture_size is not None and image.size != picture_size:
            sizes = [f"{width} x {height}" for width, height in (image.size, picture_size)]
            message = f"has {sizes[0]} pixels, and its picture {sizes[1]}"
            raise UnreadableData(f"the class map {path} {message}")
        values = np.asarray(image)
    if values.ndim == 3 and (values[..., :1] == values[..., :3]).all():
        values = values[..., 0]  # a grey map kept as a coloured one
    if values.ndim != 2 or values.dtype.kind not in "biu":
        message = f"{path} is not a class map: it has colours, or numbers that are not whole"
        help_ = "a class map has one channel, whose values are the classes"
        raise UnreadableData(message, help_)
    unscaled = Image.fromarray(values.astype(np.int32))
    fitted = ImageOps.fit(unscaled, (size[1], size[0]), Image.Resampling.NEAREST)
    return np.array(fitted, dtype=np.int32)
