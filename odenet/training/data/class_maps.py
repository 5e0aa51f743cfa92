"""Class maps on disk: the class of every pixel of a picture, read when the picture is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.sparse import csr_array
from torch import Tensor
from torch.utils.data import DataLoader

from odenet.training.data.pictures import Pictures, open_picture, reason, upright_size
from odenet.training.errors import TrainingError, UnreadableData

BYTE = 256  # values that one has
LOOKED_AT = 64  # maps that a process looks at before it says what it saw


@dataclass(frozen=True)
class Maps:
    """Labels that are class maps in files, of which is known how many places have which value.

    Args:
        paths: the files.
        places: (H, W) of each, cut and scaled as its picture is.
        values: (K,) the values in all of them, in order.
        labels: (K,) the class that each value is.
        counts: (N, K), how many places of each map have each value.
    """

    paths: tuple[str, ...]
    places: tuple[int, int]
    values: np.ndarray
    labels: np.ndarray
    counts: csr_array

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W), as of a tensor of all."""
        return (len(self), *self.places)

    @property
    def dtype(self) -> torch.dtype:
        """Of what is read: bytes where they are enough."""
        return torch.uint8 if 0 <= self.labels.min() <= self.labels.max() < BYTE else torch.int32

    @property
    def nbytes(self) -> int:
        """The memory that all of them take once read."""
        return len(self) * int(np.prod(self.places)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        """One map, (H, W); of a file that has changed since a line that names it and says so."""
        path = self.paths[index]
        try:
            values = class_map(path, self.places)
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            return f"{path}: {reason(error)}"
        found = np.searchsorted(self.values, values).clip(max=len(self.values) - 1)
        if (self.values[found] != values).any():
            return f"{path}: it has values that it did not have when training began"
        return torch.from_numpy(self.labels[found]).to(self.dtype)

    def pick(self, indices: np.ndarray) -> "Maps":
        """The files at the given places, in that order; nothing is read."""
        return replace(
            self, paths=tuple(self.paths[i] for i in indices), counts=self.counts[indices]
        )

    def renumbered(self, new: Mapping[int, int]) -> "Maps":
        """The same with other numbers for the classes that occur; nothing is read."""
        labels = [new.get(label, label) for label in self.labels.tolist()]
        return replace(self, labels=np.array(labels, np.int64))

    def occurring(self) -> dict[int, int]:
        """How many places each class has, of those that occur, in order; nothing is read."""
        counts: list[int] = np.asarray(self.counts.sum(0)).tolist()
        pairs = zip(self.labels.tolist(), counts, strict=True)
        return {label: count for label, count in sorted(pairs) if count}


@dataclass(frozen=True)
class _Looks:
    """What a look at each map finds; has what a map-style data set needs.

    A look gives the values in a map and how many places have each; or a line, where the picture
    cannot be read; or what is wrong with the map, and what to do about it.
    """

    pictures: tuple[str, ...]
    maps: tuple[str, ...]
    places: tuple[int, int]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray] | str | tuple[str, str]:
        picture, path = self.pictures[index], self.maps[index]
        try:
            size = upright_size(picture)
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            return f"{picture}: {reason(error)}"
        try:
            values, counts = np.unique(class_map(path, self.places, size), return_counts=True)
        except TrainingError as error:
            return error.message, error.help
        except Exception as error:
            return f"the class map {path} cannot be read: {reason(error)}", ""
        return values, counts.astype(np.int32)


def looked_at(
    pictures: Pictures, maps: Sequence[str], workers: int
) -> tuple[Pictures, Maps, tuple[str, ...]]:
    """Look once at every map beside some pictures; none is kept in memory.

    Args:
        pictures: the files.
        maps: likewise, in the same order.
        workers: processes that look; 0 looks here.

    Returns:
        The pictures that can be read as far as it shows, their maps, and a line for each of the
        other pictures.

    Raises:
        TrainingError: a map cannot be read, is not a class map, or does not fit its picture.
    """
    places = pictures.shape[1:]
    looks = _Looks(pictures.paths, tuple(maps), places)
    good: list[int] = []
    damaged: list[str] = []
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    loader = DataLoader(looks, LOOKED_AT, num_workers=workers, collate_fn=list)  # pyright: ignore[reportArgumentType]
    for place, look in enumerate(look for some in loader for look in some):
        if isinstance(look, str):
            damaged.append(look)
        elif isinstance(look[0], str):
            raise UnreadableData(*look)
        else:
            good.append(place)
            seen.append(look)
    return pictures.pick(good), _tallied([maps[i] for i in good], places, seen), tuple(damaged)


def _tallied(
    paths: Sequence[str], places: tuple[int, int], seen: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Maps:
    """Maps whose classes are their values, from what was seen in each."""
    each, counts = zip(*seen, strict=True) if seen else ((), ())
    together = np.concatenate([np.zeros(0, np.int32), *each])
    values, columns = np.unique(together, return_inverse=True)
    ends = np.cumsum([0, *map(len, each)])
    numbers = np.concatenate([np.zeros(0, np.int32), *counts]).astype(np.int64)
    table = csr_array((numbers, columns, ends), shape=(len(paths), len(values)))
    return Maps(tuple(paths), places, values, values.astype(np.int64), table)


def class_map(path: str, places: Sequence[int], size: tuple[int, int] | None = None) -> np.ndarray:
    """A class map, (H, W) int32, cut as its picture is and scaled without mixing values.

    Args:
        path: the file.
        places: (H, W) wanted.
        size: the width and height that its picture has.

    Raises:
        TrainingError: it is not a class map, or does not fit its picture.
        Exception: it cannot be read; decoders raise nearly anything.
    """
    with open_picture(path) as image:
        if image.format == "JPEG":
            raise UnreadableData(
                f"the class map {path} is a JPEG, which does not keep values as they are",
                "make class maps PNG files, from what the JPEG was made of",
            )
        if size is not None and image.size != size:
            sizes = [f"{width} x {height}" for width, height in (image.size, size)]
            raise UnreadableData(
                f"the class map {path} has {sizes[0]} pixels, and its picture {sizes[1]}"
            )
        values = np.asarray(image)
    if values.ndim == 3 and (values[..., :1] == values[..., :3]).all():
        values = values[..., 0]  # a grey map kept as a coloured one
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise UnreadableData(
            f"{path} is not a class map: it has colours, or numbers that are not whole",
            "a class map has one channel, whose values are the classes",
        )
    whole = Image.fromarray(values.astype(np.int32))
    fitted = ImageOps.fit(whole, (places[1], places[0]), Image.Resampling.NEAREST)
    return np.array(fitted, dtype=np.int32)
