"""Describes the user's data as a new spec needs it: path, shape of a sample, what to predict."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from odenet.training.data import pictures
from odenet.training.data.arrays import load_arrays
from odenet.training.data.picture_folder import load_folder, pictures_in
from odenet.training.data.samples import DataSet, sample_shape
from odenet.training.data.tables import columns_of, load_table
from odenet.training.errors import UnreadableData

LARGEST_SIDE = 128  # pixels of the square that pictures of several sizes are scaled to, at most
GREY_MODES = ("1", "L", "I;16", "I", "LA")  # as Pillow names them
TABLE_SUFFIXES = (".csv", ".tsv")
TEXT_SUFFIXES = (".txt", ".md", ".py", ".tex", ".rst")
LAYOUTS = (
    "give a folder with one folder of pictures per class, an .npz file with x and y, a .csv table, "
    "or a text"
)


@dataclass(frozen=True)
class DataDescription:
    """What a spec says about its data.

    Args:
        data: the value of `data = …`.
        shape: the shape of one sample; empty for text.
        outputs: the number of classes, or of numbers to predict.
        predicts_classes: whether classes are predicted, not numbers.
    """

    data: str
    shape: tuple[int, ...] = ()
    outputs: int = 0
    predicts_classes: bool = True


def describe_data(path: Path, relative_to: Path) -> DataDescription:
    """Describe data for a new spec; reads only as much of it as that needs.

    Args:
        path: a folder of pictures by class, an .npz file, a table, whose last column is then to be
            predicted, or a text.
        relative_to: the folder of the spec, which the paths in it are relative to.

    Raises:
        TrainingError: the data does not exist, or is of none of these kinds.
    """
    relative_path = Path(os.path.relpath(path, relative_to)).as_posix()
    if path.is_dir():
        shape = _picture_shape(path)
        data_set = load_folder(str(path), shape, in_memory=0)
        return _labelled(f'folder("{relative_path}")', shape, data_set)
    if path.suffix == ".npz":
        data_set = load_arrays(str(path))
        return _labelled(f'arrays("{relative_path}")', sample_shape(data_set.train), data_set)
    if path.suffix in TABLE_SUFFIXES:
        target = columns_of(path)[-1]
        data_set = load_table(str(path), [target])
        source = f'table("{relative_path}", target = ["{target}"])'
        return _labelled(source, sample_shape(data_set.train), data_set)
    if path.suffix in TEXT_SUFFIXES and path.is_file():
        return DataDescription(f'text("{relative_path}")')
    what = "is not data that can be read" if path.exists() else "does not exist"
    raise UnreadableData(f"{path} {what}", LAYOUTS)


def _labelled(data: str, shape: tuple[int, ...], data_set: DataSet) -> DataDescription:
    """The description of labelled data: words and whole numbers from 0 on are classes."""
    if data_set.unlabelled:
        raise UnreadableData(*data_set.unlabelled)
    if data_set.classes:
        return DataDescription(data, shape, len(data_set.classes))
    labels = torch.cat([data_set.train.label_tensor, data_set.test.label_tensor])
    if labels.dim() == 1 and not labels.is_floating_point() and int(labels.min()) >= 0:
        return DataDescription(data, shape, int(labels.max()) + 1)
    outputs = 1 if labels.dim() == 1 else labels.shape[1]
    return DataDescription(data, shape, outputs, predicts_classes=False)


def _picture_shape(folder: Path) -> tuple[int, int, int]:
    """The shape of the pictures if all have the same; else of a square no larger than any of them.

    The side of that square is a power of two.
    """
    files = pictures_in(folder)
    sizes = pictures.sizes_of(files)
    modes = pictures.from_readable(pictures.evenly_spaced(files), pictures.mode_of)
    grey = all(mode in GREY_MODES for mode in modes)
    channels = pictures.GREY if grey else pictures.COLOUR
    if len(sizes) == 1 and max(map(max, sizes)) <= LARGEST_SIDE:
        ((height, width),) = sizes
        return channels, height, width
    smallest = min((min(size) for size in sizes), default=LARGEST_SIDE)
    side = 8
    while 2 * side <= min(smallest, LARGEST_SIDE):
        side *= 2
    return channels, side, side
