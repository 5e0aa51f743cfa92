"""The data sets of `data = …`, each as a training and a test split."""

from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from sklearn import datasets as points_and_digits

from odenet.model.tables.data_sets import DATA_SETS
from odenet.model.tables.recipe import Call
from odenet.training.data.archives import load_archive
from odenet.training.data.arrays import load_arrays
from odenet.training.data.masks import load_masks
from odenet.training.data.picture_folder import load_folder
from odenet.training.data.samples import (
    DataSet,
    RandomStream,
    Split,
    random_generator,
    stratified_choice,
)
from odenet.training.data.tables import load_table
from odenet.training.errors import DataMisfit

TEST_DIGITS = 360  # of 1,797; the usual fifth
TEST_SHARE = 0.2  # of shapes and points
LEAST_SIDE = 8  # pixels of a picture that shapes are drawn on


def load_data(
    data: Call, shape: Sequence[int], root: str = "data", download: bool = False
) -> DataSet:
    """Load the data set that a recipe names.

    Args:
        data: a checked call, such as `cifar10` or `folder(path = "pictures")`.
        shape: the shape that pictures from a folder are scaled to: that of the network's input, or
            a larger one before a center crop.
        root: where published data sets lie or are put.
        download: fetch a published data set that is not there.

    Raises:
        TrainingError: if it is missing or damaged; says which option or file would help.
    """
    source = DATA_SETS[data.name].source
    if isinstance(source, str):
        return resolve_name(source)(data, shape)
    return load_archive(data.name, source, Path(root), download)


# The functions that rows of `odenet.model.tables.data_sets` name. Each takes the call in a recipe
# and the shape of a sample as the network takes it.


def digits(data: Call, shape: Sequence[int]) -> DataSet:
    """The 8 x 8 digits of scikit-learn, 0..16 scaled to 0..255; a fixed stratified split."""
    values, labels = points_and_digits.load_digits(return_X_y=True)
    pixels = np.rint(np.asarray(values) * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    whole = Split(torch.from_numpy(pixels), torch.as_tensor(labels).long())
    test, train = stratified_choice(whole.labels, TEST_DIGITS, random_generator(RandomStream.SPLIT))
    return DataSet("digits", whole.pick(train), whole.pick(test), tuple("0123456789"))


def folder(data: Call, shape: Sequence[int]) -> DataSet:
    """Pictures in one folder per class."""
    return load_folder(data["path"], shape)


def arrays(data: Call, shape: Sequence[int]) -> DataSet:
    """Arrays of an .npz file."""
    return load_arrays(data["path"])


def table(data: Call, shape: Sequence[int]) -> DataSet:
    """Rows of a table."""
    return load_table(data["path"], data["target"], data["without"])


def masks(data: Call, shape: Sequence[int]) -> DataSet:
    """Pictures and the class of every pixel."""
    return load_masks(data["path"], shape)


def shapes(data: Call, shape: Sequence[int]) -> DataSet:
    """Pictures of a light disc and a dark square in noise, with the class of every pixel."""
    if len(shape) != 3 or min(shape[1:]) < LEAST_SIDE:
        raise DataMisfit(
            f"shapes are drawn on pictures of at least {LEAST_SIDE} x {LEAST_SIDE}, and the "
            f"network takes {tuple(shape)}",
            "start it with input(1, 32, 32)",
        )
    rng, (channels, *sides) = np.random.default_rng(0), shape
    drawn = [_shapes(rng, sides, data["noise"]) for _ in range(data["n"])]
    pictures, maps = (torch.from_numpy(np.stack(values)) for values in zip(*drawn, strict=True))
    whole = Split(pictures[:, None].repeat(1, channels, 1, 1), maps)
    test, train = stratified_choice(
        whole.labels, round(TEST_SHARE * data["n"]), random_generator(RandomStream.SPLIT)
    )
    return DataSet("shapes", whole.pick(train), whole.pick(test), ("ground", "disc", "square"))


def _shapes(
    rng: np.random.Generator, sides: Sequence[int], noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """A picture, (H, W) bytes, and its class map; what is drawn last covers the other."""
    pixels = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"))  # their coordinates
    light, classes = np.full(sides, ground := rng.uniform(0.4, 0.6)), np.zeros(sides, np.uint8)
    for label in rng.permutation((1, 2)):  # 1: the disc, 2: the square
        middle, radius = rng.uniform(0, sides), rng.uniform(0.12, 0.3) * min(sides)
        distances = np.abs(pixels - middle[:, None, None])
        inside = (np.hypot(*distances) if label == 1 else distances.max(0)) < radius
        light[inside] = ground + (1 if label == 1 else -1) * rng.uniform(0.15, 0.4)
        classes[inside] = label
    light = light + rng.normal(scale=noise, size=sides)
    return np.rint(255 * light.clip(0, 1)).astype(np.uint8), classes


def rings(data: Call, shape: Sequence[int]) -> DataSet:
    """Circles within one another, whose classes alternate; the outermost has radius 1."""
    n, noise, count = data["n"], data["noise"], data["rings"]
    if count > 2:
        return _points(data, _nested_rings(n, noise, count))
    return _points(data, points_and_digits.make_circles(n, noise=noise, factor=0.5, random_state=0))


def _nested_rings(n: int, noise: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points evenly spread over rings of evenly spaced radii."""
    rng = np.random.default_rng(0)
    ring = np.arange(n) % count
    angle = rng.uniform(0, 2 * np.pi, n)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = (count - ring)[:, None] / count * circle + rng.normal(scale=noise, size=(n, 2))
    return points, ring % 2


def moons(data: Call, shape: Sequence[int]) -> DataSet:
    """Two half circles that reach into each other."""
    n, noise = data["n"], data["noise"]
    return _points(data, points_and_digits.make_moons(n, noise=noise, random_state=0))


def _points(data: Call, points: Any) -> DataSet:
    """Two classes of points in the plane, from their coordinates and labels."""
    xy, labels = points
    whole = Split(torch.from_numpy(xy).float(), torch.from_numpy(labels).long())
    test, train = stratified_choice(
        whole.labels, round(TEST_SHARE * len(xy)), random_generator(RandomStream.SPLIT)
    )
    names = ("outer", "inner")
    return DataSet(data.name, whole.pick(train), whole.pick(test), names, standardise=False)
