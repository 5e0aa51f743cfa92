"""`data = arrays("x.npz")`: samples of any number of axes, with any labels."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from odenet.diagnostics import suggest
from odenet.training.data.class_maps import BYTE_VALUES
from odenet.training.data.lazy_samples import LazySamples, as_samples, as_tensor, sample_chunks
from odenet.training.data.pictures import Pictures
from odenet.training.data.samples import (
    DataSet,
    RandomStream,
    Split,
    random_generator,
    relabelled,
    sample_shape,
    stratified_choice,
)
from odenet.training.data.single_precision import require_single_precision
from odenet.training.data.windows import Windows
from odenet.training.errors import DataMisfit, UnreadableData

TEST_SHARE = 0.2
MAPPED_FROM = 256 << 20  # bytes; a larger array stays in its file and is mapped into memory
ABOVE_INT64 = 2**63  # the smallest whole number that a tensor cannot hold
HOW_TO_SAVE = "save it by np.savez(PATH, x=…, y=…)"
CheckedSplit = tuple[Split, tuple[str, ...]]  # with the names of its classes, if labels are words
HEADER_SIZE = 30  # bytes of a member's header in a zip file, before its name (APPNOTE 4.3.7)
REQUIRED, OPTIONAL = ("x", "y"), ("x_test", "y_test")  # the names of arrays


def load_arrays(path: str) -> DataSet:
    """Read `x` and `y` of an .npz file, and `x_test` and `y_test` if it has them.

    Without a test split a fifth is set aside for testing. Without `y` only a density can be
    trained.

    Raises:
        TrainingError: an array is missing or cannot be used; says which, and why.
    """
    arrays = _read(Path(path))
    name = f"arrays:{path}"
    missing = next((needed for needed in REQUIRED if needed not in arrays), None)
    if missing is not None:
        help_ = suggest(missing, arrays) or HOW_TO_SAVE
        present = ", ".join(arrays) or "none"
        refusal = f"{path} has no array `{missing}`; it has {present}", help_
        if missing == "x" or "y_test" in arrays:
            raise UnreadableData(*refusal)
        return unlabelled_data_set(name, arrays["x"], *refusal, x_test=arrays.get("x_test"))
    if ("x_test" in arrays) != ("y_test" in arrays):
        missing = "y_test" if "x_test" in arrays else "x_test"
        raise UnreadableData(f"{path} has no array `{missing}`, only the other of the two")
    split, classes = checked_split(name, arrays["x"], arrays["y"])
    if "x_test" not in arrays:
        return with_test_share(name, split, classes)
    test = checked_split(name, arrays["x_test"], arrays["y_test"], suffix="_test")
    return from_splits(name, (split, classes), test)


def checked_split(name: str, x: Any, y: Any, suffix: str = "") -> CheckedSplit:
    """A split of checked samples and labels, and the class names where labels are words.

    Args:
        name: the name of the data in messages.
        x: (N, …) numbers.
        y: (N, …) numbers or words.
        suffix: what messages append to the names `x` and `y`, such as "_test".
    """
    inputs = as_tensor(x) if isinstance(x, Tensor) else np.asanyarray(x)
    labels = as_tensor(y) if isinstance(y, Tensor) else _words_as_text(np.asanyarray(y))
    has_words = isinstance(labels, np.ndarray) and labels.dtype.kind in "US"
    for key, array in ((f"x{suffix}", inputs), (f"y{suffix}", labels)):
        if not (has_words and key.startswith("y")) and not _is_numeric(array):
            help_ = "give integers or floats"
            help_ += ", or words for classes" if key.startswith("y") else ""
            raise UnreadableData(f"{key} of {name} holds {array.dtype}, not numbers", help_)
        if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
            count = np.ma.count_masked(array)
            message = f"{key} of {name} is a masked array, of which {count} values are masked"
            raise UnreadableData(message, "leave such samples out, or fill the values in")
        if array.ndim == 0 or not len(array):
            raise UnreadableData(f"{key} of {name} has no samples: its shape is {array.shape}")
    if len(inputs) != len(labels):
        sizes = f"{len(inputs)} samples, and y{suffix} {len(labels)} labels"
        help_ = "give a label for each sample, along the first axis"
        raise UnreadableData(f"x{suffix} of {name} has {sizes}", help_)
    if inputs.ndim == 1:
        inputs = inputs[:, None]
    classes: tuple[str, ...] = ()
    if isinstance(labels, np.ndarray) and has_words:
        words, indices = np.unique(labels, return_inverse=True)
        classes, labels = tuple(map(str, words)), indices.reshape(labels.shape)
    for key, array in ((f"x{suffix}", inputs), (f"y{suffix}", labels)):
        if key.startswith("x") or not _is_whole(array):
            require_single_precision(f"{key} of {name}", array)
    if isinstance(inputs, np.memmap):
        samples = LazySamples(inputs, np.arange(len(inputs)), inputs.shape[1:])
    else:
        samples = as_samples(inputs)
    split = Split(samples, as_labels(labels))
    require_finite(name, split, suffix)
    return split, classes


def unlabelled_data_set(name: str, x: Any, message: str, help_: str, x_test: Any = None) -> DataSet:
    """A data set without labels (its splits have zeros for them).

    Args:
        name: the name of the data in messages.
        x: (N, …) numbers.
        message: the message of the error that is raised if the loss takes labels.
        help_: the help of that error.
        x_test: the test samples; if None a fifth of `x` is set aside.
    """
    train, *test = (
        checked_split(name, samples, np.zeros(len(samples), np.uint8), suffix)
        for samples, suffix in ((x, ""), (x_test, "_test"))
        if samples is not None
    )
    data_set = from_splits(name, train, *test) if test else with_test_share(name, *train)
    return replace(data_set, unlabelled=(message, help_))


def with_test_share(name: str, whole: Split, classes: tuple[str, ...] = ()) -> DataSet:
    """A data set with a fifth of a split set aside for testing, of each class if there are any."""
    if len(whole) < 2:
        raise UnreadableData(f"{name} has one sample", "it needs one to train and one to test with")
    size = max(1, round(TEST_SHARE * len(whole)))
    test, train = stratified_choice(whole.labels, size, random_generator(RandomStream.SPLIT))
    return DataSet(name, whole.pick(train), whole.pick(test), classes)


def from_splits(name: str, train: CheckedSplit, test: CheckedSplit) -> DataSet:
    """A data set of a training and a test split, each with the names of its classes.

    Raises:
        TrainingError: they have samples or labels of different shapes, or other classes.
    """
    (training, classes), (testing, test_classes) = train, test
    for what, one, other in (
        ("a sample", sample_shape(training), sample_shape(testing)),
        ("a label", training.labels.shape[1:], testing.labels.shape[1:]),
    ):
        if tuple(one) != tuple(other):
            shapes = _in_each_split(tuple(one), tuple(other))
            raise DataMisfit(f"{what} of {name} has the shape {shapes}")
    dtypes = [split.stored_dtype for split in (training, testing)]
    if dtypes[0] != dtypes[1]:
        problem = f"are {_in_each_split(*dtypes)}, and bytes are taken as pixels"
        help_ = "give both as bytes, or both as other numbers"
        raise DataMisfit(f"samples of {name} {problem}", help_)
    if bool(test_classes) != bool(classes):
        kinds = ["words" if has_words else "numbers" for has_words in (classes, test_classes)]
        raise DataMisfit(f"labels of {name} are {_in_each_split(*kinds)}")
    if unknown := sorted(set(test_classes) - set(classes)):
        raise DataMisfit(f"the test split of {name} has a class, {unknown[0]}, that training lacks")
    if classes:
        testing = relabelled(testing, test_classes, classes)
    return DataSet(name, training, testing, classes)


def _in_each_split(train: Any, test: Any) -> str:
    return f"{train} in the training split and {test} in the test split"


def as_labels(values: Any) -> Tensor:
    """Labels as they are kept: int64 (uint8 for those of pixels, if they fit), or float32."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "u" and values.size:
        values = values if values.max() < ABOVE_INT64 else values.astype(np.float64)
    labels = as_tensor(values)
    if labels.is_floating_point():
        return labels.to(torch.float32)
    per_pixel = labels.ndim > 1 and labels.numel()
    fit_in_byte = per_pixel and int(labels.min()) >= 0 and int(labels.max()) < BYTE_VALUES
    return labels.to(torch.uint8 if fit_in_byte else torch.int64)


def require_finite(name: str, split: Split, suffix: str = "") -> None:
    """Refuse samples or labels that hold NaN or inf; says where and how many."""
    inputs = split.inputs
    assert not isinstance(inputs, Pictures | Windows)  # these are bytes, or whole numbers
    for key, values in ((f"x{suffix}", inputs), (f"y{suffix}", split.label_tensor)):
        count, first_index, chunk_start = 0, (), 0
        for chunk in sample_chunks(values):
            if chunk.is_floating_point():
                bad = ~chunk.isfinite()
                if not count and bad.any():
                    sample, *rest = bad.nonzero()[0].tolist()
                    first_index = (chunk_start + sample, *rest)
                count += int(bad.sum())
            chunk_start += len(chunk)
        if count:
            where = ", ".join(map(str, first_index))
            wrong = f"{count} values that are" if count > 1 else f"{count} value that is"
            message = f"{key} of {name} has {wrong} NaN or infinite, the first at [{where}]"
            raise UnreadableData(message, "leave such samples out, or fill the values in")


def _is_numeric(array: Any) -> bool:
    return not array.is_complex() if isinstance(array, Tensor) else array.dtype.kind in "biuf"


def _is_whole(array: Any) -> bool:
    return not array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind in "biu"


def _words_as_text(labels: np.ndarray) -> np.ndarray:
    """Labels as numpy strings where they are words kept as objects or bytes; others unchanged."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat):
        return labels.astype(str)
    return labels


def _read(path: Path) -> dict[str, Any]:
    """The arrays of a file by name; large ones mapped where they are not compressed."""
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise UnreadableData(f"{path} {problem}", HOW_TO_SAVE)
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
            return {
                name: _memory_mapped(path, archive.getinfo(f"{name}.npy"))
                if archive.getinfo(f"{name}.npy").file_size > MAPPED_FROM
                and archive.getinfo(f"{name}.npy").compress_type == zipfile.ZIP_STORED
                else arrays[name]
                for name in arrays.files
                # If one is missing, all are read: the message names them.
                if name in (*REQUIRED, *OPTIONAL) or not {*REQUIRED} <= {*arrays.files}
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableData(f"{path} cannot be read: {error}", HOW_TO_SAVE) from error


def _memory_mapped(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """An uncompressed array of an .npz file, mapped from its place inside the zip file."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(HEADER_SIZE)
        # The header ends in two sizes: of the name and of the extra field, which follow it.
        name_size, extra_size = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        file.seek(member.header_offset + HEADER_SIZE + name_size + extra_size)
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        return np.memmap(path, dtype, "c", file.tell(), shape, "F" if fortran else "C")
