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
from odenet.training.data.class_maps import BYTE
from odenet.training.data.pictures import Pictures
from odenet.training.data.samples import (
    DataSet,
    Split,
    Stream,
    generator,
    relabelled,
    shape_of,
    stratified,
)
from odenet.training.data.single import require_single
from odenet.training.data.stored import Stored, as_samples, as_tensor, chunks
from odenet.training.data.windows import Windows
from odenet.training.errors import DataMisfit, UnreadableData

TEST_SHARE = 0.2
LARGE = 256 << 20  # bytes from which on an array stays in its file
LEAST_TOO_LARGE = 2**63  # for a whole number of a tensor
LOCAL_HEADER = 30  # bytes of a member's header in a zip file, before its name (APPNOTE 4.3.7)
NEEDED = ("x", "y")
OPTIONAL = ("x_test", "y_test")


def load_arrays(path: str) -> DataSet:
    """Read `x` and `y` of an .npz file, and `x_test` and `y_test` if it has them.

    Without those a fifth is set aside for testing. Without `y` only the loss of a density can be
    taken.

    Raises:
        TrainingError: an array is missing or cannot be used; says which, and why.
    """
    found = _read(Path(path))
    name = f"arrays:{path}"
    lacking = next((needed for needed in NEEDED if needed not in found), None)
    if lacking is not None:
        near = suggest(lacking, found) or "save it by np.savez(PATH, x=…, y=…)"
        have = ", ".join(found) or "none"
        said = f"{path} has no array `{lacking}`; it has {have}", near
        if lacking == "x" or "y_test" in found:
            raise UnreadableData(*said)
        return unlabelled(name, found["x"], *said, found.get("x_test"))
    if ("x_test" in found) != ("y_test" in found):
        missing = "y_test" if "x_test" in found else "x_test"
        raise UnreadableData(f"{path} has no array `{missing}`, only the other of the two")
    train = split_of(name, found["x"], found["y"])
    if "x_test" not in found:
        return set_aside(name, *train)
    return joined(name, train, split_of(name, found["x_test"], found["y_test"], "_test"))


def split_of(name: str, x: Any, y: Any, suffix: str = "") -> tuple[Split, tuple[str, ...]]:
    """Samples and labels, checked, and the names of the classes where labels are words.

    Args:
        name: of the data, in messages.
        x: (N, …) numbers.
        y: (N, …) numbers or words.
        suffix: of `x` and `y` in messages.
    """
    inputs = as_tensor(x) if isinstance(x, Tensor) else np.asanyarray(x)
    labels = as_tensor(y) if isinstance(y, Tensor) else _in_words(np.asanyarray(y))
    for which, array in ((f"x{suffix}", inputs), (f"y{suffix}", labels)):
        words = which[0] == "y" and isinstance(array, np.ndarray) and array.dtype.kind in "US"
        if not words and not _numeric(array):
            raise UnreadableData(
                f"{which} of {name} holds {array.dtype}, not numbers",
                "give integers or floats" + (", or words for classes" if which[0] == "y" else ""),
            )
        if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
            raise UnreadableData(
                f"{which} of {name} is a masked array, of which {np.ma.count_masked(array)} "
                "values are masked",
                "leave such samples out, or fill the values in",
            )
        if array.ndim == 0 or not len(array):
            raise UnreadableData(f"{which} of {name} has no samples: its shape is {array.shape}")
    if len(inputs) != len(labels):
        raise UnreadableData(
            f"x{suffix} of {name} has {len(inputs)} samples, and y{suffix} {len(labels)} labels",
            "give a label for each sample, along the first axis",
        )
    if inputs.ndim == 1:
        inputs = inputs[:, None]
    classes: tuple[str, ...] = ()
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "US":
        words, places = np.unique(labels, return_inverse=True)
        classes, labels = tuple(map(str, words)), places.reshape(labels.shape)
    for which, array in ((f"x{suffix}", inputs), (f"y{suffix}", labels)):
        if which[0] == "x" or not _whole(array):
            require_single(f"{which} of {name}", array)
    if isinstance(inputs, np.memmap):
        kept = Stored(inputs, np.arange(len(inputs)), inputs.shape[1:])
    else:
        kept = as_samples(inputs)
    split = Split(kept, as_labels(labels))
    require_finite(name, split, suffix)
    return split, classes


def unlabelled(name: str, x: Any, message: str, help_: str, x_test: Any = None) -> DataSet:
    """A data set without labels, which are zeros.

    Args:
        name: of the data, in messages.
        x: (N, …) numbers.
        message: what to say to a loss that takes labels.
        help_: likewise what to do about it.
        x_test: likewise; if None a fifth of `x` is set aside.
    """
    splits = [
        split_of(name, part, np.zeros(len(part), np.uint8), suffix)
        for part, suffix in ((x, ""), (x_test, "_test"))
        if part is not None
    ]
    found = set_aside(name, *splits[0]) if x_test is None else joined(name, splits[0], splits[1])
    return replace(found, unlabelled=(message, help_))


def set_aside(name: str, whole: Split, classes: tuple[str, ...] = ()) -> DataSet:
    """A data set of which a fifth is for testing, of each class where there are classes."""
    if len(whole) < 2:
        raise UnreadableData(f"{name} has one sample", "it needs one to train and one to test with")
    size = max(1, round(TEST_SHARE * len(whole)))
    test, train = stratified(whole.labels, size, generator(Stream.SPLIT))
    return DataSet(name, whole.pick(train), whole.pick(test), classes)


def joined(
    name: str, train: tuple[Split, tuple[str, ...]], test: tuple[Split, tuple[str, ...]]
) -> DataSet:
    """A data set of two splits.

    Raises:
        TrainingError: they have samples or labels of different shapes, or other classes.
    """
    (training, classes), (testing, names) = train, test
    for what, one, other in (
        ("a sample", shape_of(training), shape_of(testing)),
        ("a label", training.labels.shape[1:], testing.labels.shape[1:]),
    ):
        if tuple(one) != tuple(other):
            raise DataMisfit(
                f"{what} of {name} has the shape {tuple(one)} in the training split and "
                f"{tuple(other)} in the test split"
            )
    kinds = [split.stored_as for split in (training, testing)]
    if kinds[0] != kinds[1]:
        raise DataMisfit(
            f"samples of {name} are {kinds[0]} in the training split and {kinds[1]} in the test "
            "split, and bytes are taken as pixels",
            "give both as bytes, or both as other numbers",
        )
    if bool(names) != bool(classes):
        kinds = ["words" if given else "numbers" for given in (classes, names)]
        raise DataMisfit(
            f"labels of {name} are {kinds[0]} in the training split and {kinds[1]} in the test "
            "split"
        )
    if unknown := sorted(set(names) - set(classes)):
        raise DataMisfit(f"the test split of {name} has a class, {unknown[0]}, that training lacks")
    if classes:
        testing = relabelled(testing, names, classes)
    return DataSet(name, training, testing, classes)


def as_labels(values: Any) -> Tensor:
    """Labels as they are kept: those of places in bytes where these are enough, else as int64.

    What are no whole numbers is kept as float32.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "u" and values.size:
        values = values if values.max() < LEAST_TOO_LARGE else values.astype(np.float64)
    labels = as_tensor(values)
    if labels.is_floating_point():
        return labels.to(torch.float32)
    places = labels.ndim > 1 and labels.numel()
    few = places and int(labels.min()) >= 0 and int(labels.max()) < BYTE
    return labels.to(torch.uint8 if few else torch.int64)


def require_finite(name: str, split: Split, suffix: str = "") -> None:
    """Refuse samples or labels that hold NaN or inf; says where and how many."""
    inputs = split.inputs
    assert not isinstance(inputs, Pictures | Windows)  # which are bytes, or whole numbers
    for which, values in ((f"x{suffix}", inputs), (f"y{suffix}", split.known)):
        count, first, start = 0, (), 0
        for chunk in chunks(values):
            if chunk.is_floating_point():
                bad = ~chunk.isfinite()
                if not count and bad.any():
                    sample, *rest = bad.nonzero()[0].tolist()
                    first = (start + sample, *rest)
                count += int(bad.sum())
            start += len(chunk)
        if count:
            where = ", ".join(map(str, first))
            raise UnreadableData(
                f"{which} of {name} has {count} {'values' if count > 1 else 'value'} that "
                f"{'are' if count > 1 else 'is'} NaN or infinite, the first at [{where}]",
                "leave such samples out, or fill the values in",
            )


def _numeric(array: Any) -> bool:
    if isinstance(array, Tensor):
        return not array.is_complex()
    return array.dtype.kind in "biuf"


def _whole(array: Any) -> bool:
    if isinstance(array, Tensor):
        return not array.is_floating_point()
    return array.dtype.kind in "biu"


def _in_words(labels: np.ndarray) -> np.ndarray:
    """Words that are kept as objects or bytes as what they are; other labels as they come."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat):
        return labels.astype(str)
    return labels


def _read(path: Path) -> dict[str, Any]:
    """The arrays of a file by name; large ones mapped where they are not compressed."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise UnreadableData(f"{path} {what}", "save it by np.savez(PATH, x=…, y=…)")
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
            return {
                name: _mapped(path, archive.getinfo(f"{name}.npy"))
                if archive.getinfo(f"{name}.npy").file_size > LARGE
                and archive.getinfo(f"{name}.npy").compress_type == zipfile.ZIP_STORED
                else arrays[name]
                for name in arrays.files
                if name in (*NEEDED, *OPTIONAL) or not {*NEEDED} <= {*arrays.files}
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableData(
            f"{path} cannot be read: {error}", "save it by np.savez(PATH, x=…, y=…)"
        ) from error


def _mapped(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """An array of an .npz file where it lies in the file."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(LOCAL_HEADER)
        name, extra = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        file.seek(member.header_offset + LOCAL_HEADER + name + extra)
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        order = "F" if fortran else "C"
        return np.memmap(path, dtype, "c", file.tell(), shape, order)
