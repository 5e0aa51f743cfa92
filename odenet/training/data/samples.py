"""Labelled samples in a training and a test split, and seeded, class-balanced choices of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.training.data.class_maps import BYTE_VALUES, ClassMaps
from odenet.training.data.lazy_samples import CHUNK_SIZE, LazySamples
from odenet.training.data.pictures import Pictures
from odenet.training.data.statistics import channel_moments, standardise_over
from odenet.training.data.windows import Windows


class RandomStream(IntEnum):
    """Independent sequences of random numbers that one seed gives."""

    ORDER = 1  # of the samples in an epoch
    AUGMENT = 2
    FRACTION = 3  # which training samples are used at all
    HOLDOUT = 4  # which training samples are held out to choose the best epoch
    SPLIT = 5  # which samples are set aside for testing
    DROPOUT = 6
    WINDOWS = 7  # by how much the windows of a text are moved


def random_generator(stream: RandomStream, *key: int) -> np.random.Generator:
    """A generator that depends on stream and key (a seed, an epoch) alone, on any machine."""
    return np.random.default_rng((int(stream), *key))


@dataclass(frozen=True)
class Split:
    """Inputs and their labels.

    Args:
        inputs: (N, …), uint8 for pictures and float32 for other numbers; or files and arrays that
            are read when asked for; or windows of a text, whose labels are not used.
        labels: (N,) or (N, …), whole numbers for classes and float32 for regression; or class maps
            that are read with their pictures.
        files: the file that each sample came from; empty where they are not files.
    """

    inputs: Tensor | Pictures | LazySamples | Windows
    labels: Tensor | ClassMaps
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def stored_dtype(self) -> str:
        """The dtype of the inputs: uint8, float32, or int64 for the tokens of a text."""
        return str(self.inputs.dtype).removeprefix("torch.")

    @property
    def label_tensor(self) -> Tensor:
        """The labels, where they are in memory: all but class maps are."""
        assert isinstance(self.labels, Tensor)
        return self.labels

    def pick(self, indices: np.ndarray) -> "Split":
        """The samples with the given indices, in that order."""
        index_tensor = torch.from_numpy(indices)
        inputs = self.inputs
        if isinstance(inputs, Windows):
            raise TypeError("windows overlap: a text is cut, and no windows are picked")
        picked = inputs[index_tensor] if isinstance(inputs, Tensor) else inputs.pick(indices)
        files = tuple(self.files[i] for i in indices) if self.files else ()
        labels = self.labels
        chosen = labels.pick(indices) if isinstance(labels, ClassMaps) else labels[index_tensor]
        return Split(picked, chosen, files)


def text_split(windows: Windows) -> Split:
    """A split whose samples are the windows of a text."""
    return Split(windows, torch.zeros(max(0, windows.window_count), dtype=torch.uint8))


@dataclass(frozen=True)
class LabelInfo:
    """Kind and statistics of the labels of a data set, as losses and metrics need them.

    The names of the fields are keys of `run.json`.

    Args:
        count: number of classes; 0 for regression.
        shape: the shape of one label: () for one per sample, (H, W) for a class map.
        counts: how many training samples (or pixels) each class has, for weighted losses.
        mean: the mean, per channel, of the training split's labels to regress; empty if the network
            predicts them as they are, not standardised.
        deviation: their standard deviation, per channel; empty when `mean` is.
        numbers: how many numbers a sample has, for a likelihood.
        grain: for a likelihood of pixels, the distance of two neighbouring pixel values, per
            channel, after standardisation; empty for real numbers.
        bytes_per_token: how many bytes of a text a token covers on average; 1 for other data.
    """

    count: int = 0
    shape: Sequence[int] = ()
    counts: Sequence[int] = ()
    mean: Sequence[float] = ()
    deviation: Sequence[float] = ()
    numbers: int = 0
    grain: Sequence[float] = ()
    bytes_per_token: float = 1.0


@dataclass(frozen=True)
class DataSet:
    """A named data set with its two splits.

    Args:
        name: what messages call it, such as "cifar10" or "folder:pictures".
        train: the samples to learn from.
        test: the samples to measure on.
        classes: the names of the classes, in the order of the labels.
        damaged: files that could not be read and were left out, each with the reason.
        standardise: whether samples that are not pictures are standardised.
        labels_are_pixel_values: labels are pixel values of class maps; those that occur are the
            classes.
        unlabelled: for a data set without labels, the message and the help for a loss that takes
            some; else empty.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    standardise: bool = True
    labels_are_pixel_values: bool = False
    unlabelled: tuple[str, ...] = ()

    def label_info(self, train: Split, recipe: Recipe) -> LabelInfo:
        """The labels' kind, with statistics of the given training split."""
        if isinstance(self.test.inputs, Windows):
            return LabelInfo(bytes_per_token=self.test.inputs.tokens.bytes_per_token)
        count, shape = len(self.classes), tuple(train.labels.shape[1:])
        kind = loss_kind(recipe.loss).labels
        if kind == "class":
            return LabelInfo(count, shape, class_counts(train.labels, count))
        if kind == "numbers" and standardise_over(recipe.augment) != "none":
            mean, deviation = channel_moments([train.label_tensor])
            return LabelInfo(count, shape, (), mean.tolist(), deviation.tolist())
        return LabelInfo(count, shape)


def label_counts(labels: Tensor | ClassMaps) -> dict[int, int]:
    """How many samples (or pixels) have each label that occurs, sorted by label.

    Args:
        labels: (N, …) whole numbers; counted in chunks, since counting takes 8 bytes for each.
    """
    if isinstance(labels, ClassMaps):
        return labels.label_counts()
    count_of: dict[int, int] = {}
    for chunk in labels.split(CHUNK_SIZE):
        values, counts = chunk.unique(return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            count_of[value] = count_of.get(value, 0) + count
    return dict(sorted(count_of.items()))


def class_counts(labels: Tensor | ClassMaps, count: int) -> list[int]:
    """How many samples (or pixels) each of `count` classes has."""
    count_of = label_counts(labels)
    return [count_of.get(label, 0) for label in range(count)]


def renumbered(labels: Tensor | ClassMaps, new: Mapping[int, int]) -> Tensor | ClassMaps:
    """Labels with other numbers; `new` maps old to new. Those of pixels are uint8 if they fit."""
    if isinstance(labels, ClassMaps):
        return labels.renumbered(new)
    old = torch.tensor(sorted(new))
    numbers = torch.tensor([new[label] for label in old.tolist()])
    fits_in_byte = labels.dim() > 1 and max(new.values(), default=0) < BYTE_VALUES
    result = torch.empty(labels.shape, dtype=torch.uint8 if fits_in_byte else torch.int64)
    for chunk, target in zip(labels.split(CHUNK_SIZE), result.split(CHUNK_SIZE), strict=True):
        target.copy_(numbers[torch.searchsorted(old, chunk.long())])
    return result


def sample_shape(split: Split) -> tuple[int, ...]:
    """The shape of one sample."""
    inputs = split.inputs
    return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else tuple(inputs.shape)


def relabelled(split: Split, names: Sequence[str], classes: Sequence[str]) -> Split:
    """A split whose labels are indices into `classes` instead of `names`, a subset of them."""
    new = {label: classes.index(name) for label, name in enumerate(names)}
    return replace(split, labels=renumbered(split.labels, new))


def stratified_choice(
    labels: Tensor | ClassMaps, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `size` samples, every class in its share, by the method of largest remainders.

    Where labels are real numbers or class maps, or nearly all differ, classes play no role.

    Args:
        labels: (N,) integers, or others.
        size: how many to choose; every class gives at least one, so it may be a few more.
        rng: makes the choice.

    Returns:
        The indices of the chosen samples and of the others, both in increasing order.
    """
    values = np.zeros(len(labels)) if isinstance(labels, ClassMaps) else labels.numpy()
    distinct = len(np.unique(values)) if values.ndim == 1 else 0
    if values.dtype.kind == "f" or not 0 < distinct <= size:
        values = np.zeros(len(values))
    members = [np.flatnonzero(values == label) for label in np.unique(values)]
    shares = np.array([len(m) for m in members]) * (size / len(values))
    counts = np.maximum(np.floor(shares).astype(int), 1)
    for index in np.argsort(counts - shares, kind="stable")[: max(size - counts.sum(), 0)]:
        counts[index] += 1
    chosen = np.zeros(len(values), dtype=bool)
    for indices, count in zip(members, counts, strict=True):
        chosen[rng.permutation(indices)[:count]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def fraction_of(split: Split, share: float, seed: int) -> Split:
    """A class-balanced fraction of a split; the split itself when `share` is 1."""
    if share == 1:
        return split
    if isinstance(split.inputs, Windows):
        return text_split(split.inputs.leading_share(share))
    chosen, _ = stratified_choice(
        split.labels, round(share * len(split)), random_generator(RandomStream.FRACTION, seed)
    )
    return split.pick(chosen)


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Cut a class-balanced share off a split: what remains, and the share; of a text, its end."""
    if isinstance(split.inputs, Windows):
        kept, held = split.inputs.split_off(share)
        return text_split(kept), text_split(held)
    held, kept = stratified_choice(
        split.labels, round(share * len(split)), random_generator(RandomStream.HOLDOUT, seed)
    )
    return split.pick(kept), split.pick(held)
