"""Data that a program hands to `odenet.train`: tensors, arrays, or torch data sets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from odenet.training.data import arrays
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
# The message and the help of the error that is raised if the loss takes labels.
NO_LABELS = (f"{NAME} has no labels", "give pairs (x, y) of tensors, or a torch data set of pairs")
HELP = "give data=(train, test), each a torch data set or a pair of tensors (x, y)"


def python_data(data: Any) -> DataSet:
    """The data set that a program passes as `data`.

    Args:
        data: `(train, test)`, each a data set whose items are (input, label), or a pair (x, y) of
            tensors or arrays; or only one of the two, of which a fifth is then set aside for
            testing. A density needs no labels: x, or ((x,), (x_test,)).

    Raises:
        TrainingError: it is none of these, or cannot be used.
    """
    samples = _unlabelled(data)
    if samples is not None:
        return arrays.unlabelled_data_set(NAME, samples, *NO_LABELS)
    if _is_split(data):
        split, classes = _split(data)
        return arrays.with_test_share(NAME, split, classes)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise UnreadableData(f"data is {_described(data)}, which training cannot use", HELP)
    x, x_test = map(_unlabelled, data)
    if x is not None and x_test is not None:
        return arrays.unlabelled_data_set(NAME, x, *NO_LABELS, x_test=x_test)
    train, test = (_split(part, suffix) for part, suffix in zip(data, ("", "_test"), strict=True))
    return arrays.from_splits(NAME, train, test)


def python_test(data: Any) -> DataSet:
    """The data that a program passes to measure a run on: one split, or both as `python_data`.

    Raises:
        TrainingError: as `python_data`.
    """
    samples = _unlabelled(data)
    if samples is not None:
        return arrays.unlabelled_data_set(NAME, samples, *NO_LABELS, x_test=samples)
    if not _is_split(data):
        return python_data(data)
    split, classes = _split(data)
    return DataSet(NAME, split, split, classes)


def _unlabelled(data: Any) -> Any:
    """The samples, if the split has no labels (for a density); else None."""
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, tuple | list):
        return data[0] if len(data) == 1 and _is_array(data[0]) else None
    return data if _is_array(data) and np.ndim(data) else None


def _is_split(data: Any) -> bool:
    """Whether this is one split, not a pair of two."""
    if isinstance(data, tuple | list):
        return len(data) == 2 and all(map(_is_array, data))
    return not isinstance(data, Mapping) and _has_items(data)


def _has_items(data: Any) -> bool:
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def _split(data: Any, suffix: str = "") -> tuple[Split, tuple[str, ...]]:
    """Samples and labels, and the names of the classes where labels are words."""
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise UnreadableData(f"a split of {len(data)} parts is not a pair (x, y)", HELP)
        x, y = data
        return arrays.checked_split(NAME, x, y, suffix)
    if isinstance(data, Mapping) or _is_array(data):
        raise UnreadableData(f"{_described(data)} is not a pair (x, y)", HELP)
    if not _has_items(data):
        problem = "has no length" if hasattr(data, "__iter__") else "is not a data set"
        raise UnreadableData(f"{_described(data)} {problem}", HELP)
    return _split_of_dataset(data, suffix), ()


def _split_of_dataset(dataset: Any, suffix: str) -> Split:
    """A split of a data set; every item is read once, since all labels have to be known."""
    count, described = len(dataset), _described(dataset)
    if not count:
        raise UnreadableData(f"x{suffix} of {NAME} has no samples")
    labels: list[np.ndarray] = []
    shape: tuple[int, ...] | None = None
    first_dtype: torch.dtype | None = None
    for index in range(count):
        item = dataset[index]
        if not isinstance(item, tuple | list) or len(item) != 2:
            message = f"item {index} of {described} is not a pair (input, label)"
            raise UnreadableData(message, HELP)
        try:
            sample = as_samples(item[0])
        except (TypeError, ValueError, RuntimeError) as error:
            message = f"input {index} of {described} is {_described(item[0])}, not a tensor"
            help_ = "give the data set a transform, such as torchvision's ToTensor()"
            raise UnreadableData(message, help_) from error
        shape = tuple(sample.shape) if shape is None else shape
        first_dtype = sample.dtype if first_dtype is None else first_dtype
        if sample.dtype != first_dtype:
            kinds = [str(dtype).removeprefix("torch.") for dtype in (sample.dtype, first_dtype)]
            problem = f"is {kinds[0]}, and those before it {kinds[1]}: bytes are taken as pixels"
            help_ = "give all as bytes, or all as other numbers"
            raise DataMisfit(f"input {index} of {described} {problem}", help_)
        if tuple(sample.shape) != shape:
            problem = f"has the shape {tuple(sample.shape)}, and those before it {shape}"
            raise UnreadableData(f"input {index} of {described} {problem}")
        labels.append(_compact(item[1]))
    try:
        stacked = np.stack(labels)
    except ValueError as error:
        raise UnreadableData(f"the labels of {described} differ in shape") from error
    if stacked.dtype.kind not in "biuf":
        message = f"the labels of {described} are {stacked.dtype}, not numbers"
        raise UnreadableData(message, HELP)
    if stacked.dtype.kind == "f":
        require_single_precision(f"y{suffix} of {NAME}", stacked)
    split = Split(LazySamples(dataset, np.arange(count), shape or ()), arrays.as_labels(stacked))
    arrays.require_finite(NAME, split, suffix)
    return split


def _compact(label: Any) -> np.ndarray:
    """A label as an array; a class map as uint8 where that is enough."""
    array = np.asarray(label.detach() if isinstance(label, Tensor) else label)
    whole_numbers = array.ndim and array.size and array.dtype.kind in "iu"
    fits_in_byte = whole_numbers and 0 <= array.min() <= array.max() < BYTE_VALUES
    return array.astype(np.uint8) if fits_in_byte else array


def _is_array(data: Any) -> bool:
    return isinstance(data, Tensor) or hasattr(data, "__array__")  # of numpy, or of pandas


def _described(data: Any) -> str:
    kind = type(data).__name__
    return f"a {kind} of {len(data)}" if isinstance(data, Sequence) else f"a {kind}"
