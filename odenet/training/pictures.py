"""Pictures on disk: decoding one, and folders with one folder of pictures per class."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning.fabric.utilities.data import suggested_max_num_workers
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader

GREY, COLOUR = 1, 3
# Pillow tells a format by the bytes: without this, a PostScript file would be run.
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP")
CHUNK = 256  # pictures decoded at a time
MOST_WORKERS = 8
LOOKED_AT = 200  # pictures whose sizes are read
SIDEWAYS = range(5, 9)  # orientations whose width is the height of what is shown (Exif 2.3, 4.6.4)


@dataclass(frozen=True)
class Pictures:
    """Picture files of one decoded size, read when asked for.

    Args:
        paths: the files.
        shape: (C, H, W) after decoding.
        deep: whether they are grey of 16 or 32 bits, whose values are kept.
    """

    paths: tuple[str, ...]
    shape: tuple[int, int, int]
    deep: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        """One picture, see `decode`; for a damaged file its path and the reason."""
        return decode(self.paths[index], self.shape, self.deep)

    def pick(self, indices: Iterable[int]) -> "Pictures":
        """The files at the given places, in that order."""
        return replace(self, paths=tuple(self.paths[i] for i in indices))

    @property
    def nbytes(self) -> int:
        """The memory all of them take once decoded."""
        return len(self.paths) * int(np.prod(self.shape)) * (4 if self.deep else 1)

    @property
    def dtype(self) -> torch.dtype:
        """Of what they are decoded to."""
        return torch.float32 if self.deep else torch.uint8


def open_picture(path: str | Path) -> Image.Image:
    """Open a picture of any of the formats, without reading its pixels.

    Pillow warns of pictures above 89 megapixels, which are read like others, and raises at twice
    as many.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def are_deep(paths: Iterable[str]) -> bool:
    """Whether pictures are grey of 16 or 32 bits, as the first of them is that can be read."""
    for path in paths:
        try:
            if Path(path).is_file():  # a pipe would be waited for
                with open_picture(path) as image:
                    return image.mode[0] in "IF"
        except Exception:  # what is wrong is said when it is decoded
            continue
    return False


def upright_size(path: str) -> tuple[int, int]:
    """The width and the height of a picture once it is turned upright."""
    with open_picture(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
        return (image.height, image.width) if turned else image.size


def sizes_of(paths: Sequence[str]) -> set[tuple[int, int]]:
    """The sizes (H, W) of pictures, upright; of many, some are looked at, and no damaged ones."""
    found: set[tuple[int, int]] = set()
    for path in paths[:: -(-len(paths) // LOOKED_AT) or 1]:
        try:
            if Path(path).is_file():  # a pipe would be waited for
                width, height = upright_size(path)
                found.add((height, width))
        except Exception:  # what is wrong is said when it is decoded
            continue
    return found


def decode(path: str, shape: Sequence[int], deep: bool = False) -> Tensor | str:
    """Read a picture, cut its middle to the proportions of the shape, and scale it.

    Args:
        path: the file.
        shape: (C, H, W) wanted; C is 1 for grey or 3 for colour.
        deep: keep the values of the file, whatever their range.

    Returns:
        (C, H, W), uint8, or float32 if deep; or a line that names the file and says why it cannot
        be read.
    """
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return f"{path}: not a file"
        with open_picture(path) as image:
            return pixels_of(image, shape, deep)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        return f"{path}: {reason(error)}"


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its name, which Pillow has in quotes at the end."""
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        return f"it has more than the {most} million pixels of the largest picture that is read"
    return str(error).partition("'")[0].strip() or type(error).__name__


def pixels_of(image: Image.Image, shape: Sequence[int], deep: bool = False) -> Tensor:
    """The pixels of an open picture, cut and scaled as by `decode`, (C, H, W)."""
    channels, height, width = shape
    if deep:
        return _values_of(ImageOps.exif_transpose(image), shape)
    mode = "L" if channels == GREY else "RGB"
    image.draft(mode, (2 * width, 2 * height))  # JPEG decodes smaller, hence faster
    upright = ImageOps.exif_transpose(image)
    if upright.mode[0] in "IF":
        upright = _in_bytes(upright)
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    converted = _converted(upright, mode)
    fitted = ImageOps.fit(converted, (width, height), Image.Resampling.BILINEAR)
    pixels = np.array(fitted)
    return torch.from_numpy(pixels.reshape(height, width, channels)).permute(2, 0, 1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """A picture in grey or colour; Pillow takes L*a*b* to colour alone."""
    return (image.convert("RGB") if image.mode == "LAB" else image).convert(mode)


def _values_of(image: Image.Image, shape: Sequence[int]) -> Tensor:
    """The values of a grey picture as they are in the file, cut and scaled, (C, H, W) float32."""
    channels, height, width = shape
    grey = image if image.mode[0] in "IF" else _converted(image, "L")
    values = np.asarray(grey, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError("a pixel is not a finite number")
    whole = Image.fromarray(values)
    fitted = ImageOps.fit(whole, (width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted))[None].expand(channels, -1, -1).contiguous()


def _in_bytes(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits with 8, its values scaled by the range of their kind.

    Numbers of no kind, as of measurements, are scaled by the picture's own range.
    """
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a pixel is not a finite number")
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        ranges = (1.0, 255.0) if image.mode == "F" else (65535.0, 2.0**31 - 1)
        low, high = 0.0, next((top for top in ranges if high <= top), high)
    scaled = (values - low) * (255 / (high - low or 1))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


@dataclass(frozen=True)
class PictureBatch:
    """A batch of pictures as read.

    Args:
        images: (M, C, H, W), the readable ones.
        good: for every picture asked for, whether it was readable.
        damaged: a line for each of the others.
        beside: (M, …) what was read beside them, if anything is.
    """

    images: Tensor
    good: np.ndarray
    damaged: list[str]
    beside: Tensor | None = None

    def pin_memory(self) -> "PictureBatch":
        """The same in memory that a GPU reads from on its own; torch calls this."""
        beside = None if self.beside is None else self.beside.pin_memory()
        return replace(self, images=self.images.pin_memory(), beside=beside)


class Beside(Protocol):
    """What is read beside each picture, such as its class map."""

    def __getitem__(self, index: int) -> Tensor | str:
        """That of one picture; of a file that cannot be read a line that says so."""
        ...


@dataclass(frozen=True)
class _Samples:
    """Pictures with what is beside them; has what a map-style data set needs."""

    pictures: Pictures
    beside: Beside | None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, ...] | str:
        image = self.pictures[index]
        if isinstance(image, str) or self.beside is None:
            return image if isinstance(image, str) else (image,)
        beside = self.beside[index]
        return beside if isinstance(beside, str) else (image, beside)


class PictureReader:
    """Decodes batches of pictures, in order, ahead of their use.

    Args:
        pictures: the files.
        workers: processes that decode, which stay from one reading to the next; 0 decodes here.
        pinned: put the pictures where a GPU can fetch them while the host goes on.
        beside: what is read with each, if anything is.
    """

    def __init__(
        self,
        pictures: Pictures,
        workers: int,
        pinned: bool = False,
        beside: Beside | None = None,
    ):
        samples: Any = _Samples(pictures, beside)
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
            batches: the places of the pictures of each.
        """
        self._batches[:] = batches
        yield from self._loader


def _collate(
    read: list[tuple[Tensor, ...] | str], shape: tuple[int, int, int], dtype: torch.dtype
) -> PictureBatch:
    samples = [sample for sample in read if not isinstance(sample, str)]
    damaged = [line for line in read if isinstance(line, str)]
    good = np.array([not isinstance(sample, str) for sample in read])
    if not samples:
        return PictureBatch(torch.empty((0, *shape), dtype=dtype), good, damaged)
    images, *beside = map(torch.stack, zip(*samples, strict=True))
    return PictureBatch(images, good, damaged, *beside)


def decode_all(
    pictures: Pictures, workers: int, beside: Beside | None = None
) -> tuple[Tensor, Tensor | None, np.ndarray, tuple[str, ...]]:
    """Decode every picture into memory.

    Returns:
        images (M, C, H, W) of the readable ones, what is beside them, for every picture whether
        it was readable, and a line per damaged file.
    """
    everything = list(range(len(pictures)))
    batches = [everything[i : i + CHUNK] for i in everything[::CHUNK]]
    images = torch.empty((len(pictures), *pictures.shape), dtype=pictures.dtype)
    together: Tensor | None = None
    good = np.zeros(len(pictures), dtype=bool)
    damaged: list[str] = []
    reader = PictureReader(pictures, workers, beside=beside)
    for batch, read in zip(batches, reader.read(batches), strict=True):
        good[batch] = read.good
        filled = int(good.sum())
        new = slice(filled - len(read.images), filled)
        images[new] = read.images
        if read.beside is not None:
            size = (len(pictures), *read.beside.shape[1:])
            if together is None:
                together = torch.empty(size, dtype=read.beside.dtype)
            together[new] = read.beside
        damaged += read.damaged
    count = int(good.sum())
    return images[:count], None if together is None else together[:count], good, tuple(damaged)


def reading_processes(devices: int) -> int:
    """How many processes decode pictures, when `devices` training processes share the machine."""
    return min(MOST_WORKERS, suggested_max_num_workers(devices))
