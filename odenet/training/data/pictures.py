"""Pictures on disk: their sizes and kinds, read from headers, and how one is decoded."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

Result = TypeVar("Result")
GREY, COLOUR = 1, 3  # the number of channels
# Pillow tells a format by the bytes: without this, a PostScript file would be run.
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP")
SAMPLED_FILES = 200  # of many pictures, how many headers are read
SIDEWAYS = range(5, 9)  # orientations whose width is the height of what is shown (Exif 2.3, 4.6.4)


@dataclass(frozen=True)
class Pictures:
    """Picture files of one decoded size, read when asked for.

    Args:
        paths: the files.
        shape: (C, H, W) after decoding.
        raw_values: whether they are grey of 16 or 32 bits, whose values are kept as they are.
    """

    paths: tuple[str, ...]
    shape: tuple[int, int, int]
    raw_values: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        """One picture, as `decode` returns it; for a damaged file its path and the reason."""
        return decode(self.paths[index], self.shape, self.raw_values)

    def pick(self, indices: Iterable[int]) -> "Pictures":
        """A selection of the files, in the given order."""
        return replace(self, paths=tuple(self.paths[i] for i in indices))

    @property
    def nbytes(self) -> int:
        """The memory all of them take once decoded."""
        return len(self.paths) * int(np.prod(self.shape)) * (4 if self.raw_values else 1)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of decoded pictures."""
        return torch.float32 if self.raw_values else torch.uint8


def open_picture(path: str | Path) -> Image.Image:
    """Open a picture of any of the formats, without reading its pixels.

    Pillow warns of pictures above 89 megapixels, which are read like others, and raises at twice
    as many.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def from_readable(paths: Iterable[str], inspect: Callable[[str], Result]) -> Iterator[Result]:
    """What `inspect` returns for each readable picture; `decode` reports the unreadable ones."""
    for path in paths:
        with suppress(Exception):  # decoders raise nearly anything on damaged bytes
            if Path(path).is_file():  # a pipe would be waited for
                yield inspect(path)


def evenly_spaced(paths: Sequence[str]) -> Sequence[str]:
    """At most `SAMPLED_FILES` of the files, evenly spaced."""
    return paths[:: -(-len(paths) // SAMPLED_FILES) or 1]


def mode_of(path: str) -> str:
    """Pillow's mode of a picture, such as "RGB" or "I;16"."""
    with open_picture(path) as image:
        return image.mode


def have_raw_values(paths: Iterable[str]) -> bool:
    """Whether the first readable picture is grey of 16 or 32 bits."""
    return next(from_readable(paths, mode_of), "").startswith(("I", "F"))


def upright_size(path: str) -> tuple[int, int]:
    """The width and the height of a picture once it is turned upright."""
    with open_picture(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
        return (image.height, image.width) if turned else image.size


def sizes_of(paths: Sequence[str]) -> set[tuple[int, int]]:
    """The sizes (H, W) of readable pictures, turned upright; of many files only some are read."""
    return {(height, width) for width, height in from_readable(evenly_spaced(paths), upright_size)}


def decode(path: str, shape: Sequence[int], raw_values: bool = False) -> Tensor | str:
    """Read a picture, cut its middle to the proportions of the shape, and scale it.

    Args:
        path: the file.
        shape: (C, H, W) wanted; C is 1 for grey or 3 for colour.
        raw_values: keep the values of the file, whatever their range.

    Returns:
        (C, H, W), uint8, or float32 for raw values; or a line that names the file and says why it
        cannot be read.
    """
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return f"{path}: not a file"
        with open_picture(path) as image:
            return pixels_of(image, shape, raw_values)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        return f"{path}: {reason(error)}"


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its name, which Pillow quotes at the end."""
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        return f"it has more than the {most} million pixels of the largest picture that is read"
    return str(error).partition("'")[0].strip() or type(error).__name__


def pixels_of(image: Image.Image, shape: Sequence[int], raw_values: bool = False) -> Tensor:
    """The pixels of an open picture, cut and scaled as by `decode`, (C, H, W)."""
    channels, height, width = shape
    if raw_values:
        return _values_of(ImageOps.exif_transpose(image), shape)
    mode = "L" if channels == GREY else "RGB"
    image.draft(mode, (2 * width, 2 * height))  # JPEG decodes smaller, hence faster
    upright = ImageOps.exif_transpose(image)
    if upright.mode[0] in "IF":
        upright = _scaled_to_bytes(upright)
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    fitted = ImageOps.fit(_converted(upright, mode), (width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted).reshape(height, width, channels)).permute(2, 0, 1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """A picture in grey or colour; Pillow converts L*a*b* to colour only."""
    return (image.convert("RGB") if image.mode == "LAB" else image).convert(mode)


def _values_of(image: Image.Image, shape: Sequence[int]) -> Tensor:
    """The values of a grey picture as they are in the file, cut and scaled, (C, H, W) float32."""
    channels, height, width = shape
    grey = image if image.mode[0] in "IF" else _converted(image, "L")
    values = np.asarray(grey, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError("a pixel is not a finite number")
    fitted = ImageOps.fit(Image.fromarray(values), (width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted))[None].expand(channels, -1, -1).contiguous()


def _scaled_to_bytes(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits converted to 8, scaled by the range of its number type.

    Values out of that range, such as measurements, are scaled by the picture's own range.
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
