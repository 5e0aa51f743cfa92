"""Labelled samples, and seeded, class-balanced choices among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.training.data.class_maps import BYTE, Maps
from odenet.training.data.pictures import Pictures
from odenet.training.data.statistics import moments, standardised_over
from odenet.training.data.stored import CHUNK, Stored
from odenet.training.data.windows import Windows


class Stream(IntEnum):
    """Independent sequences of random numbers that one seed gives."""

    ORDER = 1
    AUGMENT = 2
    FRACTION = 3
    HOLDOUT = 4
    SPLIT = 5
    DROPOUT = 6
    WINDOWS = 7


def generator(stream: Stream, *key: int) -> np.random.Generator:
    """A stream of random numbers that depends on its key alone, on every machine."""
    return np.random.default_rng((int(stream), *key))


@dataclass(frozen=True)
class Split:
    """Inputs and their labels.

    Args:
        inputs: (N, …), uint8 for pictures and float32 for other numbers, or left where they are;
            windows of a text, whose labels say nothing.
        labels: (N,) or (N, …), whole numbers for classes and float32 for numbers; or class maps
            that are read with their pictures.
        files: the file that each sample came from; empty where they are not files.
    """

    inputs: Tensor | Pictures | Stored | Windows
    labels: Tensor | Maps
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def stored_as(self) -> str:
        """What samples are stored as: uint8, float32, or int64, the tokens of a text."""
        return str(self.inputs.dtype).removeprefix("torch.")

    @property
    def known(self) -> Tensor:
        """Labels that are in memory, as all but class maps are."""
        assert isinstance(self.labels, Tensor)
        return self.labels

    def pick(self, indices: np.ndarray) -> "Split":
        """The samples at the given places, in that order."""
        places = torch.from_numpy(indices)
        inputs = self.inputs
        if isinstance(inputs, Windows):
            raise TypeError("windows overlap: a text is cut, and no windows are picked")
        picked = inputs[places] if isinstance(inputs, Tensor) else inputs.pick(indices)
        files = tuple(self.files[i] for i in indices) if self.files else ()
        labels = self.labels
        chosen = labels.pick(indices) if isinstance(labels, Maps) else labels[places]
        return Split(picked, chosen, files)


def of_text(windows: Windows) -> Split:
    """The windows of a text as samples."""
    return Split(windows, torch.zeros(max(0, windows.samples), dtype=torch.uint8))


@dataclass(frozen=True)
class Labels:
    """What the labels of a data set are, as its loss needs to know it.

    Args:
        count: of the classes; 0 for numbers.
        shape: of one label: () for one of a sample, (H, W) for a map of classes.
        counts: of the training samples, or places, of each class, for a loss that weighs them.
        mean: of numbers, per channel, on the training split; empty: taken as they are.
        deviation: likewise.
        numbers: how many a sample has, where it is what the loss is about.
        grain: likewise the distance of neighbouring values of pixels, per channel, as the network
            takes them; empty for real numbers.
        bytes_per_token: of a text.
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
        name: as in `data = …`.
        train: the samples to learn from.
        test: the samples to measure on.
        classes: the names of the classes, in the order of the labels.
        damaged: files that could not be read and were left out, each with the reason.
        scaled: whether samples that are not pictures are standardised.
        ranked: whether labels are values of pictures, of which those that occur are the classes.
        unlabelled: where there are no labels, what to say to a loss that takes some, and what to
            do about it; else empty.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    scaled: bool = True
    ranked: bool = False
    unlabelled: tuple[str, ...] = ()

    def labels_of(self, train: Split, recipe: Recipe) -> Labels:
        """What the labels are, with the statistics of a training split."""
        if isinstance(self.test.inputs, Windows):
            return Labels(bytes_per_token=self.test.inputs.tokens.bytes_per_token)
        count, shape = len(self.classes), tuple(train.labels.shape[1:])
        kind = loss_kind(recipe.loss).labels
        if kind == "class":
            return Labels(count, shape, counted(train.labels, count))
        if kind == "numbers" and standardised_over(recipe.augment) != "none":
            mean, deviation = moments([train.known])
            return Labels(count, shape, (), mean.tolist(), deviation.tolist())
        return Labels(count, shape)


def occurring(labels: Tensor | Maps) -> dict[int, int]:
    """How many samples, or places, have each label, of those that occur, in order.

    Args:
        labels: (N, …) whole numbers, in bytes perhaps; what is counted takes eight each.
    """
    if isinstance(labels, Maps):
        return labels.occurring()
    found: dict[int, int] = {}
    for part in labels.split(CHUNK):
        values, counts = part.unique(return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            found[value] = found.get(value, 0) + count
    return dict(sorted(found.items()))


def counted(labels: Tensor | Maps, count: int) -> list[int]:
    """How many samples, or places, each of `count` classes has."""
    found = occurring(labels)
    return [found.get(label, 0) for label in range(count)]


def renumbered(labels: Tensor | Maps, new: Mapping[int, int]) -> Tensor | Maps:
    """Other numbers for the labels that occur; those of places in bytes, where these are enough."""
    if isinstance(labels, Maps):
        return labels.renumbered(new)
    old = torch.tensor(sorted(new))
    numbers = torch.tensor([new[label] for label in old.tolist()])
    few = labels.dim() > 1 and max(new.values(), default=0) < BYTE
    found = torch.empty(labels.shape, dtype=torch.uint8 if few else torch.int64)
    for part, target in zip(labels.split(CHUNK), found.split(CHUNK), strict=True):
        target.copy_(numbers[torch.searchsorted(old, part.long())])
    return found


def shape_of(split: Split) -> tuple[int, ...]:
    """The shape of one sample."""
    inputs = split.inputs
    return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else tuple(inputs.shape)


def relabelled(split: Split, names: Sequence[str], classes: Sequence[str]) -> Split:
    """A split with labels in the order of other classes, which its names are among."""
    new = {label: classes.index(name) for label, name in enumerate(names)}
    return replace(split, labels=renumbered(split.labels, new))


def stratified(
    labels: Tensor | Maps, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `size` samples, every class in its share, by the method of largest remainders.

    Of labels that are numbers, or are of places, or hardly ever equal, any samples are chosen.

    Args:
        labels: (N,) integers, or others.
        size: how many to choose; every class gives at least one, so it may be a few more.
        rng: makes the choice.

    Returns:
        The chosen places and the others, both in increasing order.
    """
    values = np.zeros(len(labels)) if isinstance(labels, Maps) else labels.numpy()
    distinct = len(np.unique(values)) if values.ndim == 1 else 0
    if values.dtype.kind == "f" or not 0 < distinct <= size:
        values = np.zeros(len(values))
    members = [np.flatnonzero(values == label) for label in np.unique(values)]
    shares = np.array([len(m) for m in members]) * (size / len(values))
    counts = np.maximum(np.floor(shares).astype(int), 1)
    for place in np.argsort(counts - shares, kind="stable")[: max(size - counts.sum(), 0)]:
        counts[place] += 1
    chosen = np.zeros(len(values), dtype=bool)
    for places, count in zip(members, counts, strict=True):
        chosen[rng.permutation(places)[:count]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def part(split: Split, share: float, seed: int) -> Split:
    """A class-balanced share of a split; the split itself when the share is 1."""
    if share == 1:
        return split
    if isinstance(split.inputs, Windows):
        return of_text(split.inputs.until(share))
    chosen, _ = stratified(
        split.labels, round(share * len(split)), generator(Stream.FRACTION, seed)
    )
    return split.pick(chosen)


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Cut a class-balanced share off a split: what remains, and the share; of a text, its end."""
    if isinstance(split.inputs, Windows):
        kept, held = split.inputs.cut(share)
        return of_text(kept), of_text(held)
    held, kept = stratified(
        split.labels, round(share * len(split)), generator(Stream.HOLDOUT, seed)
    )
    return split.pick(kept), split.pick(held)
