"""`data = masks("DIR")`: pictures, and beside each a map with the class of every pixel."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from odenet.training.data.arrays import set_aside
from odenet.training.data.class_maps import looked_at
from odenet.training.data.picture_folder import (
    IN_MEMORY,
    picture_roots,
    pictures_in,
    settled,
    unreadable,
    workers_for,
)
from odenet.training.data.pictures import Pictures, are_deep
from odenet.training.data.samples import DataSet, Split
from odenet.training.errors import UnreadableData

PICTURES, MAPS = ("images", "pictures", "imgs"), ("masks", "labels", "maps")
SUFFIXES = ("_mask", "-mask", ".mask")
LAYOUT = (
    "put pictures in DIR/images/ and maps of the same names in DIR/masks/, or NAME_mask.png beside "
    "NAME.png; or both in DIR/train/ and DIR/test/"
)


def load_masks(path: str, shape: Sequence[int], in_memory: int = IN_MEMORY) -> DataSet:
    """Read pictures and their class maps, cut and scaled alike; labels are the maps' values.

    Args:
        path: the folder.
        shape: (C, H, W) the network takes.
        in_memory: decode a split now if its pictures and maps take at most this many bytes.

    Raises:
        TrainingError: a picture has no map, or one that does not fit it; names the file.
    """
    root, test_root, size = picture_roots(path, shape, LAYOUT.replace("DIR", path))
    pairs = _pairs(root)
    deep = are_deep(str(picture) for picture, _ in pairs)
    train, damaged = _read(pairs, size, deep)
    if test_root is not None:
        test, more = _read(_pairs(test_root), size, deep)
        damaged += more
    else:
        found = set_aside(f"masks:{path}", train)
        train, test = found.train, found.test
    train, bad_train = settled(train, in_memory)
    test, bad_test = settled(test, in_memory)
    damaged += bad_train + bad_test
    return DataSet(f"masks:{path}", train, test, damaged=damaged, ranked=True)


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
            raise UnreadableData(f"{picture} has no class map", LAYOUT.replace("DIR", str(root)))
    if not found:
        raise UnreadableData(f"{root} has class maps and no pictures", LAYOUT)
    return [(picture, beside[key]) for key, picture in found.items()]


def _by_key(paths: Iterable[Path], root: Path) -> dict[str, Path]:
    """Files by what a picture and its map have in common; refuses two that have the same."""
    found: dict[str, Path] = {}
    for path in paths:
        first = found.setdefault(_key(path, root), path)
        if first != path:
            raise UnreadableData(
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
    pairs: Sequence[tuple[Path, Path]], shape: tuple[int, int, int], deep: bool
) -> tuple[Split, tuple[str, ...]]:
    """The pictures with their maps, each looked at once, and a line for each that is damaged."""
    paths, maps = (tuple(map(str, files)) for files in zip(*pairs, strict=True))
    workers = workers_for(paths)
    pictures, labels, damaged = looked_at(Pictures(paths, shape, deep), maps, workers)
    if not len(pictures):
        raise unreadable(paths, damaged)
    return Split(pictures, labels, pictures.paths), damaged
