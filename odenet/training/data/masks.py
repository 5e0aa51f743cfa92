"""`data = masks("DIR")`: pictures, and beside each a map with the class of every pixel."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from odenet.training.data import picture_folder
from odenet.training.data.arrays import with_test_share
from odenet.training.data.class_maps import scan_class_maps
from odenet.training.data.pictures import Pictures, have_raw_values
from odenet.training.data.samples import DataSet, Split
from odenet.training.errors import UnreadableData

PICTURE_FOLDERS, MAP_FOLDERS = ("images", "pictures", "imgs"), ("masks", "labels", "maps")
MAP_SUFFIXES = ("_mask", "-mask", ".mask")
LAYOUT = (
    "put pictures in DIR/images/ and maps of the same names in DIR/masks/, or NAME_mask.png beside "
    "NAME.png; or both in DIR/train/ and DIR/test/"
)


def load_masks(
    path: str, shape: Sequence[int], in_memory: int = picture_folder.IN_MEMORY
) -> DataSet:
    """Read pictures and their class maps, cut and scaled alike; labels are the maps' values.

    Args:
        path: the folder.
        shape: (C, H, W) the network takes.
        in_memory: decode a split now if its pictures and maps take at most this many bytes.

    Raises:
        TrainingError: a picture has no map, or one that does not fit it; names the file.
    """
    root, test_root, size = picture_folder.picture_roots(path, shape, LAYOUT.replace("DIR", path))
    pairs = _pictures_with_maps(root)
    raw_values = have_raw_values(str(picture) for picture, _ in pairs)
    train, damaged = _read(pairs, size, raw_values)
    if test_root is not None:
        test, damaged_test = _read(_pictures_with_maps(test_root), size, raw_values)
        damaged += damaged_test
    else:
        data_set = with_test_share(f"masks:{path}", train)
        train, test = data_set.train, data_set.test
    train, damaged_train = picture_folder.decoded_if_small(train, in_memory)
    test, damaged_test = picture_folder.decoded_if_small(test, in_memory)
    damaged += damaged_train + damaged_test
    return DataSet(f"masks:{path}", train, test, damaged=damaged, labels_are_pixel_values=True)


def _pictures_with_maps(root: Path) -> list[tuple[Path, Path]]:
    """Every picture with its class map, in order."""
    pictures = next((root / name for name in PICTURE_FOLDERS if (root / name).is_dir()), None)
    maps = next((root / name for name in MAP_FOLDERS if (root / name).is_dir()), None)
    if pictures is not None and maps is not None:
        picture_of = _by_common_name(map(Path, picture_folder.pictures_in(pictures)), pictures)
        map_of = _by_common_name(map(Path, picture_folder.pictures_in(maps)), maps)
    else:
        files = [Path(p) for p in picture_folder.pictures_in(root)]
        map_of = _by_common_name((p for p in files if p.stem.endswith(MAP_SUFFIXES)), root)
        picture_of = _by_common_name((p for p in files if not p.stem.endswith(MAP_SUFFIXES)), root)
    for key, picture in picture_of.items():
        if key not in map_of:
            raise UnreadableData(f"{picture} has no class map", LAYOUT.replace("DIR", str(root)))
    if not picture_of:
        raise UnreadableData(f"{root} has class maps and no pictures", LAYOUT)
    return [(picture, map_of[key]) for key, picture in picture_of.items()]


def _by_common_name(paths: Iterable[Path], root: Path) -> dict[str, Path]:
    """Files by the name that a picture and its map share; refuses two with the same name."""
    by_name: dict[str, Path] = {}
    for path in paths:
        first = by_name.setdefault(_common_name(path, root), path)
        if first != path:
            raise UnreadableData(
                f"{first} and {path} are the same picture or class map by their names",
                "remove one of them, or rename it",
            )
    return by_name


def _common_name(path: Path, root: Path) -> str:
    """The part of a file name that a picture and its map share."""
    stem = path.stem
    for suffix in MAP_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return (path.parent.relative_to(root) / stem).as_posix()


def _read(
    pairs: Sequence[tuple[Path, Path]], shape: tuple[int, int, int], raw_values: bool
) -> tuple[Split, tuple[str, ...]]:
    """A split of pictures with their class maps, and a line for each damaged picture."""
    paths, maps = (tuple(map(str, files)) for files in zip(*pairs, strict=True))
    workers = picture_folder.workers_for(paths)
    pictures, labels, damaged = scan_class_maps(Pictures(paths, shape, raw_values), maps, workers)
    if not len(pictures):
        raise picture_folder.none_readable(paths, damaged)
    return Split(pictures, labels, pictures.paths), damaged
