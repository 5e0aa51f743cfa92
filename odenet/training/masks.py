"""`data = masks("DIR")`: pictures, and beside each a map with the class of every pixel."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from odenet.training.arrays import set_aside
from odenet.training.errors import TrainingError
from odenet.training.picture_folder import TEST_NAMES, pictures_in
from odenet.training.pictures import COLOUR, FORMATS, GREY, decode, is_deep
from odenet.training.samples import DataSet, Split

PICTURES, MAPS = ("images", "pictures", "imgs"), ("masks", "labels", "maps")
BYTE = 256  # values that one has
SUFFIXES = ("_mask", "-mask", ".mask")
LAYOUT = (
    "put pictures in DIR/images/ and maps of the same names in DIR/masks/, or NAME_mask.png beside "
    "NAME.png; or both in DIR/train/ and DIR/test/"
)


def load_masks(path: str, shape: Sequence[int]) -> DataSet:
    """Read pictures and their class maps, cut and scaled alike; labels are the maps' values.

    Args:
        path: the folder.
        shape: (C, H, W) the network takes.

    Raises:
        TrainingError: a picture has no map, or one that does not fit it; names the file.
    """
    root = Path(path)
    if len(shape) != 3 or shape[0] not in (GREY, COLOUR):
        raise TrainingError(
            "data-misfit",
            f"pictures have 1 or 3 channels, height and width; the network takes {tuple(shape)}",
            "start it with input(3, H, W) or input(1, H, W)",
        )
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise TrainingError("unreadable-data", f"{path} {what}", LAYOUT.replace("DIR", path))
    test_root = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    damaged: list[str] = []
    if (root / "train").is_dir() and test_root is not None:
        pairs = _pairs(root / "train")
        deep = is_deep(str(pairs[0][0]))
        train = _read(pairs, shape, deep, damaged)
        test = _read(_pairs(test_root), shape, deep, damaged)
    else:
        pairs = _pairs(root)
        everything = _read(pairs, shape, is_deep(str(pairs[0][0])), damaged)
        found = set_aside(f"masks:{path}", everything)
        train, test = found.train, found.test
    return DataSet(f"masks:{path}", train, test, damaged=tuple(damaged), ranked=True)


def _pairs(root: Path) -> list[tuple[Path, Path]]:
    """Every picture with its map, in order."""
    pictures = next((root / name for name in PICTURES if (root / name).is_dir()), None)
    maps = next((root / name for name in MAPS if (root / name).is_dir()), None)
    if pictures is not None and maps is not None:
        found = _by_key(map(Path, pictures_in(pictures)), pictures)
        beside = _by_key(map(Path, pictures_in(maps)), maps)
    else:
        files = [Path(p) for p in pictures_in(root)]
        beside = _by_key((p for p in files if p.stem.endswith(SUFFIXES)), root)
        found = _by_key((p for p in files if not p.stem.endswith(SUFFIXES)), root)
    for key, picture in found.items():
        if key not in beside:
            raise TrainingError(
                "unreadable-data", f"{picture} has no class map", LAYOUT.replace("DIR", str(root))
            )
    if not found:
        raise TrainingError("unreadable-data", f"{root} has class maps and no pictures", LAYOUT)
    return [(picture, beside[key]) for key, picture in found.items()]


def _by_key(paths: Iterable[Path], root: Path) -> dict[str, Path]:
    """Files by what a picture and its map have in common; refuses two that have the same."""
    found: dict[str, Path] = {}
    for path in paths:
        first = found.setdefault(_key(path, root), path)
        if first != path:
            raise TrainingError(
                "unreadable-data",
                f"{first} and {path} are the same picture or class map by their names",
                "remove one of them, or rename it",
            )
    return found


def _key(path: Path, root: Path) -> str:
    """What a picture and its map have in common."""
    stem = path.stem
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    return (path.parent.relative_to(root) / stem).as_posix()


def _read(
    pairs: Sequence[tuple[Path, Path]], shape: Sequence[int], deep: bool, damaged: list[str]
) -> Split:
    """The pictures and maps that can be read, each once in memory; fills `damaged`."""
    images = torch.empty(len(pairs), *shape, dtype=torch.float32 if deep else torch.uint8)
    labels = torch.empty(len(pairs), *shape[1:], dtype=torch.uint8)
    read = 0
    for picture, beside in pairs:
        image = decode(str(picture), shape, deep)
        if isinstance(image, str):
            damaged.append(image)
            continue
        places = _class_map(beside, picture, shape)
        if labels.dtype == torch.uint8 and not 0 <= places.min() <= places.max() < BYTE:
            labels = labels.to(torch.int32)
        images[read], labels[read] = image, places
        read += 1
    if not read:
        raise TrainingError(
            "unreadable-data",
            f"no picture beside {pairs[0][0]} can be read",
            "; ".join(damaged[:3]),
        )
    return Split(images[:read], labels[:read])


def _class_map(path: Path, picture: Path, shape: Sequence[int]) -> Tensor:
    """A class map, (H, W) int32, cut as its picture is and scaled without mixing values."""
    try:
        with Image.open(path, formats=FORMATS) as image, Image.open(picture) as other:
            if image.format == "JPEG":
                raise TrainingError(
                    "unreadable-data",
                    f"the class map {path} is a JPEG, which does not keep values as they are",
                    "make class maps PNG files, from what the JPEG was made of",
                )
            turned = ImageOps.exif_transpose(other).size
            if image.size != turned:
                sizes = [f"{width} x {height}" for width, height in (image.size, turned)]
                raise TrainingError(
                    "unreadable-data",
                    f"the class map {path} has {sizes[0]} pixels, and its picture {sizes[1]}",
                )
            values = np.asarray(image)
    except OSError as error:
        raise TrainingError("unreadable-data", f"{path} cannot be read: {error}") from error
    if values.ndim == 3 and (values[..., :1] == values[..., :3]).all():
        values = values[..., 0]  # a grey map kept as a coloured one
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise TrainingError(
            "unreadable-data",
            f"{path} is not a class map: it has colours, or numbers that are not whole",
            "a class map has one channel, whose values are the classes",
        )
    size = (int(shape[2]), int(shape[1]))
    whole = Image.fromarray(values.astype(np.int32))
    fitted = ImageOps.fit(whole, size, Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(fitted, dtype=np.int32))
