"""`data = folder("PATH")`: the user's own pictures, in one folder per class."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from odenet.training.data.arrays import with_test_share
from odenet.training.data.class_maps import ClassMaps
from odenet.training.data.picture_reader import decode_all, reading_processes
from odenet.training.data.pictures import COLOUR, GREY, Pictures, have_raw_values
from odenet.training.data.samples import DataSet, Split, relabelled
from odenet.training.errors import DataMisfit, TrainingError, UnreadableData

TEST_NAMES = ("test", "val", "valid", "validation")
MANY_PICTURES = 2000  # from which on worker processes read them
IN_MEMORY = 2 << 30  # bytes of decoded pictures kept in memory; more than this streams from disk

LAYOUT = (
    "put pictures in PATH/train/CLASS/ and PATH/test/CLASS/ (or val/), "
    "or in PATH/CLASS/ to have a fifth of them set aside for testing"
)


def _no_pictures(root: str | Path) -> TrainingError:
    return UnreadableData(f"{root} has no class folders with pictures", LAYOUT)


class _ClassFolders(ImageFolder):
    """torchvision's scan of class folders, without hidden folders and __MACOSX."""

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        names = sorted(p.name for p in Path(directory).iterdir() if p.is_dir())
        names = [name for name in names if not name.startswith((".", "__"))]
        if not names:
            raise _no_pictures(directory)
        return names, {name: label for label, name in enumerate(names)}

    @staticmethod
    def make_dataset(
        directory: str | Path, class_to_idx: dict[str, int], *_: Any, **__: Any
    ) -> list[tuple[str, int]]:
        """The pictures with their labels; a folder that several links lead to is read once."""
        seen = {_identity(directory)}
        return [
            (path, label)
            for name, label in class_to_idx.items()
            for path in _pictures_below(Path(directory) / name, seen)
        ]


def _pictures_below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[str]:
    """The pictures in a folder and those below it, in order.

    The identities of folders are added to `seen`. Those below that are there already are left out;
    if the folder itself is, it is a link to one that is read, and an error is raised.
    """
    if _identity(folder) in seen:
        raise UnreadableData(f"{folder} leads to a folder that is read already", "remove the link")
    for directory, folders, files in os.walk(folder, followlinks=True):
        seen.add(_identity(directory))
        unseen = (name for name in folders if _identity(Path(directory, name)) not in seen)
        folders[:] = sorted(unseen)
        endings = tuple(IMG_EXTENSIONS)
        yield from (str(Path(directory, name)) for name in sorted(files)
                    if name.lower().endswith(endings))  # fmt: skip


def _identity(path: str | Path) -> tuple[int, int]:
    """Device and inode of a folder, which are the same for all links to it."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def pictures_in(path: Path) -> list[str]:
    """The picture files of a folder and those below it, in order; of a file, that file alone.

    Raises:
        TrainingError: if there is nothing, or a folder has no picture.
    """
    if not path.is_dir():
        if not path.exists():
            raise UnreadableData(f"{path} does not exist", "name pictures, or a folder of them")
        return [str(path)]
    pictures = list(_pictures_below(path, set()))
    if not pictures:
        raise UnreadableData(f"{path} has no pictures", "name pictures, or a folder of them")
    return pictures


def picture_roots(
    path: str, shape: Sequence[int], layout: str
) -> tuple[Path, Path | None, tuple[int, int, int]]:
    """The folders of the training and test pictures, and the shape they are scaled to.

    Args:
        path: holds `train/` and `test/` (or `val/`), or pictures that are not split yet.
        shape: (C, H, W) the network takes.
        layout: how pictures are laid out, in words.

    Returns:
        The folder of the training pictures, that of the test pictures, None where they are not
        split, and the shape.

    Raises:
        TrainingError: there is no such folder, or the shape is not a picture's.
    """
    if len(shape) != 3 or shape[0] not in (GREY, COLOUR):
        raise DataMisfit(
            f"pictures have 1 or 3 channels, height and width; the network takes {tuple(shape)}",
            "start it with input(3, H, W) or input(1, H, W)",
        )
    root = Path(path)
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise UnreadableData(f"{path} {problem}", layout)
    channels, height, width = shape
    test = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    if (root / "train").is_dir() and test is not None:
        return root / "train", test, (channels, height, width)
    return root, None, (channels, height, width)


def load_folder(path: str, shape: Sequence[int], in_memory: int = IN_MEMORY) -> DataSet:
    """Read a folder of class folders.

    Args:
        path: holds `train/` and `test/` (or `val/`) with class folders, or the class folders.
        shape: (C, H, W) the network takes; pictures are cut and scaled to it.
        in_memory: decode everything now if it takes at most this many bytes.

    Raises:
        TrainingError: if there is nothing to read, or the shape is not a picture's.
    """
    root, test_root, size = picture_roots(path, shape, LAYOUT.replace("PATH", path))
    if test_root is not None:
        train, classes = _scan(root, size)
        test, test_classes = _scan(test_root, size)
        test = _relabel(test, test_classes, classes, test_root)
        assert isinstance(train.inputs, Pictures) and isinstance(test.inputs, Pictures)
        test = replace(test, inputs=replace(test.inputs, raw_values=train.inputs.raw_values))
    else:
        everything, classes = _scan(root / "train" if (root / "train").is_dir() else root, size)
        help_ = "it needs one to train with and one to test with"
        _refuse_class_of_size(1, everything, classes, path, "one picture", help_)
        data_set = with_test_share(f"folder:{path}", everything, classes)
        train, test = data_set.train, data_set.test
    if len(classes) < 2:
        only = ", ".join(classes)
        raise UnreadableData(f"{path} has one class, {only}, and nothing to tell it from")
    train, bad_train = decoded_if_small(train, in_memory)
    test, bad_test = decoded_if_small(test, in_memory)
    help_ = "remove its folder or add pictures"
    _refuse_class_of_size(0, train, classes, path, "no picture that can be read", help_)
    return DataSet(f"folder:{path}", train, test, classes, bad_train + bad_test)


def _scan(root: Path, shape: tuple[int, int, int]) -> tuple[Split, tuple[str, ...]]:
    """The pictures in the class folders of a folder, and the names of the classes."""
    folders = _ClassFolders(str(root), allow_empty=True)
    if not folders.samples:
        raise _no_pictures(root)
    paths = tuple(path for path, _ in folders.samples)
    labels = torch.tensor([label for _, label in folders.samples])
    pictures = Pictures(paths, shape, have_raw_values(paths))
    return Split(pictures, labels, paths), tuple(folders.classes)


def _relabel(test: Split, names: Sequence[str], classes: Sequence[str], root: Path) -> Split:
    """Give the test split the labels of the training split's classes."""
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise UnreadableData(
            f"{root / unknown[0]} is a class that the training pictures do not have",
            f"known: {', '.join(classes)}",
        )
    return relabelled(test, names, classes)


def decoded_if_small(split: Split, in_memory: int) -> tuple[Split, tuple[str, ...]]:
    """The split decoded into memory if it takes at most `in_memory` bytes.

    Returns:
        The split, unchanged if it is larger; and a line for each damaged file.

    Raises:
        TrainingError: none of the pictures with class maps can be read.
    """
    pictures = split.inputs
    maps = split.labels if isinstance(split.labels, ClassMaps) else None
    assert isinstance(pictures, Pictures)
    if pictures.nbytes + (0 if maps is None else maps.nbytes) > in_memory:
        return split, ()
    images, new_maps, readable, damaged = decode_all(pictures, workers_for(pictures.paths), maps)
    labels = split.label_tensor[torch.from_numpy(readable)] if maps is None else new_maps
    if labels is None:
        raise none_readable(pictures.paths, damaged)
    return Split(images, labels, tuple(compress(split.files, readable))), damaged


def workers_for(paths: Sequence[str]) -> int:
    """How many worker processes read some files; 0 where starting them would take longer."""
    return reading_processes(1) if len(paths) > MANY_PICTURES else 0


def none_readable(paths: Sequence[str], damaged: Sequence[str]) -> UnreadableData:
    """The error to raise where none of some pictures can be read."""
    message = f"neither {paths[0]} nor any other picture can be read"
    return UnreadableData(message, "; ".join(damaged[:3]))


def _refuse_class_of_size(
    size: int, split: Split, classes: Sequence[str], path: str, has: str, help_: str
) -> None:
    """Refuse a split in which some class has exactly `size` pictures; `has` says that in words."""
    counts = np.bincount(split.label_tensor.numpy(), minlength=len(classes)).tolist()
    if size in counts:
        raise UnreadableData(f"class {classes[counts.index(size)]} in {path} has {has}", help_)
