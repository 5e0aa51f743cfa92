"""Numbers in the formats of other programs: read without loss of meaning, or refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

import odenet
from odenet.compiler import loads
from odenet.diagnostics import SpecError
from odenet.training.data.arrays import load_arrays
from odenet.training.data.masks import load_masks
from odenet.training.data.python_data import python_data
from odenet.training.data.tables import load_table
from odenet.training.errors import TrainingError
from odenet.training.learning.compatibility import with_matching_labels

from . import specs

RNG = np.random.default_rng(3)
X = RNG.normal(size=(20, 3))
Y = X.sum(1)
CLASSES = np.where(Y > 0, "high", "low")


def all_samples(data):
    """Samples and labels of both splits, sorted by the first number."""
    x = np.concatenate([split.inputs.numpy() for split in (data.train, data.test)])
    y = np.concatenate([split.labels.numpy() for split in (data.train, data.test)])
    return x[order := x[:, 0].argsort()], y[order]


@pytest.mark.parametrize(
    "convert",
    [
        lambda v: v.astype(">f8"),
        lambda v: v.astype(">f4"),
        lambda v: v.astype(np.longdouble),
        np.asfortranarray,
        lambda v: v[::-1].copy()[::-1],
        lambda v: torch.tensor(v).requires_grad_(),
        lambda v: torch.tensor(v).to_sparse(),
        lambda v: np.ma.masked_array(v, mask=False),
    ],
    ids=[
        "big-endian double",
        "big-endian single",
        "long double",
        "Fortran order",
        "reversed view",
        "with gradient",
        "sparse",
        "nothing masked",
    ],
)
def test_numbers_are_read_in_every_format(convert):
    x, y = all_samples(python_data((convert(X), convert(Y))))
    expected = X[order := X[:, 0].argsort()]
    np.testing.assert_array_equal(x, expected.astype(np.float32))
    np.testing.assert_array_equal(y, Y[order].astype(np.float32))


@pytest.mark.parametrize("dtype", ["U", "S", object])
def test_words_are_classes_in_every_format(dtype):
    data = python_data((X, CLASSES.astype(dtype)))
    assert data.classes == ("high", "low")
    _, y = all_samples(data)
    np.testing.assert_array_equal(y, (Y[X[:, 0].argsort()] <= 0).astype(int))


class Mixed(Dataset):
    """Four samples, of which one is of bytes and the others of floats."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[index] if index != 2 else X[index].astype(np.uint8), 0


BYTES = (X * 20 + 100).astype(np.uint8)
LARGE = 1e9 + np.arange(20)  # differences of 1 are lost in single precision


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (((X, Y), (BYTES, Y)), "float32 in the training split and uint8 in the test split"),
        (((BYTES, Y), (X, Y)), "uint8 in the training split and float32 in the test split"),
        (((X, CLASSES), (X, Y)), "words in the training split and numbers in the test split"),
        (Mixed(), "input 2 of a Mixed is uint8, and those before it float32"),
        ((np.ma.masked_array(X, X > X.max() - 1e-9), Y), "x of .* masked array, of which 1 values"),
        ((X * 1e300, Y), r"channel 0 of x of .* single precision ends at 3.4e\+38"),
        ((X, LARGE), "y of .* from 1000000000 to 1000000019, which single precision cannot tell"),
        ((np.stack([X[:, 0], LARGE, X[:, 1]], 1), Y), "channel 1 of x of .* cannot tell apart"),
        ((X, {"y": Y}), "a ndarray is not a pair"),
        ({"x": X, "y": Y}, "data is a dict, which training cannot use"),
    ],
)
def test_data_from_python_that_would_be_misread_are_refused(data, message):
    with pytest.raises(TrainingError, match=message):
        python_data(data)


def test_large_numbers_that_single_precision_tells_apart_are_taken():
    python_data((X, 1e9 + 1e7 * Y))
    python_data((np.full((20, 1), 1234567891.0), Y))  # all the same: nothing to tell apart


def test_labels_too_large_for_signed_integers_do_not_become_negative(tmp_path):
    labels = np.uint64(2**63) + np.arange(20, dtype=np.uint64) * np.uint64(2**58)
    np.savez(tmp_path / "x.npz", x=X, y=labels)
    data = load_arrays(str(tmp_path / "x.npz"))
    assert data.train.labels.min() >= 2.0**63


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,y\n1,NA\n2,3\n3,4\n", '`y` of .* has numbers, and 1 cell of words, .* line 2: "NA"'),
        ("a,y\n1,2\n2,hi\n3,4\n", '`y` of .* has numbers, and 1 cell of words, .* line 3: "hi"'),
        ("a,y\n1_000,1\n2,2\n", '`a` of .* 1 cell that is not a number.*"1_000"'),
        ("a|y\n1|1\n2|2\n", "no column `y`"),
    ],
)
def test_tables_that_would_be_misread_are_refused(tmp_path, rows, message):
    (tmp_path / "x.csv").write_text(rows)
    with pytest.raises(TrainingError, match=message):
        load_table(str(tmp_path / "x.csv"), ["y"])


def test_a_table_without_a_target_has_samples_without_labels(tmp_path):
    (tmp_path / "x.csv").write_text("a,y\n1,1\n2,2\n")
    data = load_table(str(tmp_path / "x.csv"), [])
    assert data.train.inputs.shape == (1, 2)
    assert "is to be predicted" in data.unlabelled[0]


def test_cells_may_hold_line_breaks_and_targets_may_be_huge(tmp_path):
    lines = [f'"one\ntwo\u2028three",{i},{i}e20' for i in range(10)]
    (tmp_path / "x.csv").write_text("note,a,y\n" + "\n".join(lines), encoding="utf-8")
    x, y = all_samples(load_table(str(tmp_path / "x.csv"), ["y"], ["note"]))
    np.testing.assert_array_equal(x[:, 0], np.arange(10))
    np.testing.assert_allclose(y, np.arange(10) * 1e20, rtol=1e-6)


def write_class_maps(folder, values, ending="png"):
    """Write five pictures, and their class maps in a format; gives the folder."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(5):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(folder / f"images/{i}.png")
        Image.fromarray(np.resize(values, (4, 4))).save(folder / f"masks/{i}.{ending}")
    return str(folder)


def test_values_of_class_maps_may_be_huge(tmp_path):
    values = np.array([0, 2_000_000_000, 7], np.int32)
    data = load_masks(write_class_maps(tmp_path / "d", values, "tiff"), (1, 4, 4))
    net = "input(1, 4, 4) -> conv(3, 2) -> flow(1) -> conv(1, 3)"
    equations = "state Y\nparam K : conv(3)\nY' = K Y\ndiscretise euler(h = 0.1)\n"
    with_class_numbers = with_matching_labels(
        loads(f"{equations}net = {net}\ntrain {{ epochs = 1 }}\n"), data
    )
    assert with_class_numbers.classes == ("0", "7", "2000000000")
    expected = np.resize(np.array([0, 2, 1]), (4, 4))
    np.testing.assert_array_equal(with_class_numbers.test.labels[0].numpy(), expected)


def test_class_maps_in_a_lossy_format_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="is a JPEG"):
        load_masks(
            write_class_maps(tmp_path / "d", np.array([0, 1, 2], np.uint8), "jpg"), (1, 4, 4)
        )


@pytest.mark.parametrize(("folder", "name"), [("images", "3.bmp"), ("masks", "3_mask.png")])
def test_two_files_for_one_sample_are_refused(tmp_path, folder, name):
    path = write_class_maps(tmp_path / "d", np.array([0, 1, 2], np.uint8))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(f"{path}/{folder}/{name}")
    with pytest.raises(TrainingError, match=f"3.png and .*{name}|{name} and .*3.png"):
        load_masks(path, (1, 4, 4))


def test_a_run_is_not_measured_on_samples_of_another_kind(tmp_path):
    path = specs.write(tmp_path, specs.VECTOR_NET.format(2))
    x = RNG.normal(size=(20, 4))
    y = (x[:, 0] > 0).astype(int)
    run = odenet.train(path, data=(x, y), out=tmp_path / "run", epochs=1)
    with pytest.raises(TrainingError, match="are uint8, and the run was trained on float32"):
        odenet.evaluate(run.folder, data=((x * 20 + 100).astype(np.uint8), y))


def test_labels_of_real_numbers_are_refused_in_the_test_split_of_a_classifier(tmp_path):
    path = specs.write(tmp_path, specs.VECTOR_NET.format(2))
    x = RNG.normal(size=(20, 4))
    y = (x[:, 0] > 0).astype(int)
    with pytest.raises(SpecError, match="are numbers"):
        odenet.train(path, data=((x, y), (x, y.astype(float))), out=tmp_path / "run", epochs=1)
