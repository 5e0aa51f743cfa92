"""Data that a program hands to `odenet.train`: tensors, arrays, or torch data sets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from odenet.training.data.arrays import (
    as_labels,
    checked_split,
    from_splits,
    require_finite,
    unlabelled_data_set,
    with_test_share,
)
from odenet.training.data.class_maps import BYTE_VALUES
from odenet.training.data.lazy_samples import LazySamples, as_samples
from odenet.training.data.samples import DataSet, Split
from odenet.training.data.single_precision import require_single_precision
from odenet.training.errors import DataMisfit, UnreadableData

NAME = "data from Python"
DATA_NEEDED = (
    "it was trained on data from Python: give it again, as odenet.resume(RUN, data=(train, test)) "
    "and odenet.evaluate(RUN, data=test)"
)
NO_LABELS = (
    f"{NAME} has no labels",
    "give pairs (x, y) of tensors, or a torch data set of pairs",
)
HELP = "give data=(train, test), each a torch data set or a pair of tensors (x, y)"


def python_data(given: Any) -> DataSet:
    """The data set that a program passes as `data`.

    Args:
        given: `(train, test)`, each a data set whose items are (input, label), or a pair (x, y) of
            tensors or arrays; or one of these alone, of which a fifth is then set aside. A density
            needs no labels: x, or ((x,), (x_test,)).

    Raises:
        TrainingError: it is none of these, or cannot be used.
    """
    alone = _unlabelled(given)
    if alone is not None:
        return unlabelled_data_set(NAME, alone, *NO_LABELS)
    if _is_split(given):
        split, classes = _split(given)
        return with_test_share(NAME, split, classes)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise UnreadableData(f"data is {_described(given)}, which training cannot use", HELP)
    x, x_test = map(_unlabelled, given)
    if x is not None and x_test is not None:
        return unlabelled_data_set(NAME, x, *NO_LABELS, x_test)
    train, test = (_split(part, suffix) for part, suffix in zip(given, ("", "_test"), strict=True))
    return from_splits(NAME, train, test)


def python_test(given: Any) -> DataSet:
    """The data that a program passes to measure a run on: one split, or both as `python_data`.

    Raises:
        TrainingError: as `python_data`.
    """
    alone = _unlabelled(given)
    if alone is not None:
        return unlabelled_data_set(NAME, alone, *NO_LABELS, alone)
    if not _is_split(given):
        return python_data(given)
    split, classes = _split(given)
    return DataSet(NAME, split, split, classes)


def _unlabelled(given: Any) -> Any:
    """The samples, if the split has no labels (for a density); else None."""
    if isinstance(given, TensorDataset):
        given = given.tensors
    if isinstance(given, tuple | list):
        return given[0] if len(given) == 1 and _is_array(given[0]) else None
    return given if _is_array(given) and np.ndim(given) else None


def _is_split(given: Any) -> bool:
    """Whether this is one split, not a pair of two."""
    if isinstance(given, tuple | list):
        return len(given) == 2 and all(map(_is_array, given))
    return (
        not isinstance(given, Mapping)
        and hasattr(given, "__getitem__")
        and hasattr(given, "__len__")
    )


def _split(given: Any, suffix: str = "") -> tuple[Split, tuple[str, ...]]:
    """Samples and labels, and the names of the classes where labels are words."""
    if isinstance(given, TensorDataset):
        given = given.tensors
    if isinstance(given, tuple | list):
        if len(given) != 2:
            raise UnreadableData(f"a split of {len(given)} parts is not a pair (x, y)", HELP)
        x, y = given
        return checked_split(NAME, x, y, suffix)
    if isinstance(given, Mapping) or _is_array(given):
        raise UnreadableData(f"{_described(given)} is not a pair (x, y)", HELP)
    if not hasattr(given, "__getitem__") or not hasattr(given, "__len__"):
        what = "has no length" if hasattr(given, "__iter__") else "is not a data set"
        raise UnreadableData(f"{_described(given)} {what}", HELP)
    return _split_of_dataset(given, suffix), ()


def _split_of_dataset(dataset: Any, suffix: str) -> Split:
    """A split of a data set; every item is read once, since all labels have to be known."""
    count = len(dataset)
    if not count:
        raise UnreadableData(f"x{suffix} of {NAME} has no samples")
    labels: list[np.ndarray] = []
    shape: tuple[int, ...] | None = None
    first_dtype: torch.dtype | None = None
    for place in range(count):
        item = dataset[place]
        if not isinstance(item, tuple | list) or len(item) != 2:
            message = f"item {place} of {_described(dataset)} is not a pair (input, label)"
            raise UnreadableData(message, HELP)
        try:
            sample = as_samples(item[0])
        except (TypeError, ValueError, RuntimeError) as error:
            raise UnreadableData(
                f"input {place} of {_described(dataset)} is {_described(item[0])}, not a tensor",
                "give the data set a transform, such as torchvision's ToTensor()",
            ) from error
        shape = tuple(sample.shape) if shape is None else shape
        first_dtype = sample.dtype if first_dtype is None else first_dtype
        if sample.dtype != first_dtype:
            kinds = [str(dtype).removeprefix("torch.") for dtype in (sample.dtype, first_dtype)]
            raise DataMisfit(
                f"input {place} of {_described(dataset)} is {kinds[0]}, and those before it "
                f"{kinds[1]}: bytes are taken as pixels",
                "give all as bytes, or all as other numbers",
            )
        if tuple(sample.shape) != shape:
            raise UnreadableData(
                f"input {place} of {_described(dataset)} has the shape {tuple(sample.shape)}, and "
                f"those before it {shape}"
            )
        labels.append(_compact(item[1]))
    try:
        stacked = np.stack(labels)
    except ValueError as error:
        raise UnreadableData(f"the labels of {_described(dataset)} differ in shape") from error
    if stacked.dtype.kind not in "biuf":
        message = f"the labels of {_described(dataset)} are {stacked.dtype}, not numbers"
        raise UnreadableData(message, HELP)
    if stacked.dtype.kind == "f":
        require_single_precision(f"y{suffix} of {NAME}", stacked)
    split = Split(LazySamples(dataset, np.arange(count), shape or ()), as_labels(stacked))
    require_finite(NAME, split, suffix)
    return split


def _compact(label: Any) -> np.ndarray:
    """A label as an array; a class map as uint8 where that is enough."""
    array = np.asarray(label.detach() if isinstance(label, Tensor) else label)
    whole_numbers = array.ndim and array.size and array.dtype.kind in "iu"
    return (
        array.astype(np.uint8)
        if whole_numbers and 0 <= array.min() <= array.max() < BYTE_VALUES
        else array
    )


def _is_array(given: Any) -> bool:
    return isinstance(given, Tensor) or hasattr(given, "__array__")  # of numpy, or of pandas


def _described(given: Any) -> str:
    kind = type(given).__name__
    return f"a {kind} of {len(given)}" if isinstance(given, Sequence) else f"a {kind}"
