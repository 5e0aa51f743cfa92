"""Data sets by name, read from small files in the published formats, and how they are split."""

import gzip
import hashlib
import pickle
import re
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from odenet.model.tables.data_sets import DATA_SETS
from odenet.model.tables.recipe import Call
from odenet.training.data.archives import load_archive
from odenet.training.data.data_sets import load_data
from odenet.training.data.samples import (
    RandomStream,
    fraction_of,
    hold_out,
    random_generator,
    stratified_choice,
)
from odenet.training.errors import TrainingError

RNG = np.random.default_rng(0)


def write_file(path, content):
    """Write a file with its folders; gives the MD5 of the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def fake_cifar(monkeypatch, root, dataset_class, labels_key):
    """Write a CIFAR folder with three training and two test images; gives the test pixels."""
    folder = root / dataset_class.base_folder
    checksums = {}
    for name, count in (("train", 3), ("test", 2)):
        pixels = RNG.integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)
        batch = {"data": pixels, labels_key: list(range(count))}
        checksums[name] = write_file(folder / name, pickle.dumps(batch))
    names_key = dataset_class.meta["key"]
    meta = write_file(folder / "meta", pickle.dumps({names_key: ["ape", "bee", "cat"]}))
    monkeypatch.setattr(dataset_class, "train_list", [["train", checksums["train"]]])
    monkeypatch.setattr(dataset_class, "test_list", [["test", checksums["test"]]])
    monkeypatch.setattr(dataset_class, "meta", {"filename": "meta", "key": names_key, "md5": meta})
    return pixels


@pytest.mark.parametrize(
    ("name", "dataset_class", "labels_key"),
    [
        ("cifar10", datasets.CIFAR10, "labels"),
        ("cifar100", datasets.CIFAR100, "fine_labels"),
    ],
)
def test_cifar_is_read_channels_first(monkeypatch, tmp_path, name, dataset_class, labels_key):
    pixels = fake_cifar(monkeypatch, tmp_path, dataset_class, labels_key)
    data = load_archive(name, DATA_SETS[name].source, tmp_path, download=False)
    assert data.train.inputs.shape == (3, 3, 32, 32)
    assert torch.equal(data.test.inputs, torch.from_numpy(pixels).view(-1, 3, 32, 32))
    assert data.test.labels.tolist() == [0, 1]
    assert data.classes == ("ape", "bee", "cat")


def test_an_archive_that_is_not_the_published_one_is_not_unpacked(monkeypatch, tmp_path):
    dataset_class = datasets.CIFAR10
    fake_cifar(monkeypatch, tmp_path, dataset_class, "labels")
    archive = tmp_path / dataset_class.filename
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / dataset_class.base_folder, dataset_class.base_folder)
    # For torchvision, which compares the MD5, it is the published one.
    monkeypatch.setattr(dataset_class, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    shutil.rmtree(tmp_path / dataset_class.base_folder)
    with pytest.raises(TrainingError, match="is not the published file"):
        load_archive("cifar10", DATA_SETS["cifar10"].source, tmp_path, download=True)
    assert not (tmp_path / dataset_class.base_folder).exists()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    source = replace(DATA_SETS["cifar10"].source, sha256=digest)
    assert load_archive("cifar10", source, tmp_path, download=True).classes == ("ape", "bee", "cat")


def test_stl10_is_read_column_by_column(monkeypatch, tmp_path):
    dataset_class = datasets.STL10
    folder = tmp_path / dataset_class.base_folder
    pixels = RNG.integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)
    contents = {
        "train_X.bin": pixels.transpose(0, 1, 3, 2).tobytes(),
        "train_y.bin": bytes([1, 10]),
        "unlabeled_X.bin": b"",
        "test_X.bin": pixels[:1].transpose(0, 1, 3, 2).tobytes(),
        "test_y.bin": bytes([3]),
    }
    checksums = {name: write_file(folder / name, content) for name, content in contents.items()}
    write_file(folder / "class_names.txt", b"airplane\nbird\n")
    file_list = [[name, md5] for name, md5 in checksums.items()]
    monkeypatch.setattr(dataset_class, "train_list", file_list[:3])
    monkeypatch.setattr(dataset_class, "test_list", file_list[3:])
    data = load_archive("stl10", DATA_SETS["stl10"].source, tmp_path, download=False)
    assert torch.equal(data.train.inputs, torch.from_numpy(pixels))
    assert data.train.labels.tolist() == [0, 9]
    assert data.test.labels.tolist() == [2]


def idx_bytes(values):
    """An array of bytes in the IDX format of MNIST."""
    unsigned_bytes = 8  # code of the type
    header = struct.pack(">HBB", 0, unsigned_bytes, values.ndim)
    header += struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def fake_fashion_mnist():
    """The four files of Fashion-MNIST by name, with four training and two test images."""
    images = RNG.integers(0, 256, (4, 28, 28))
    return {
        "train-images-idx3-ubyte": idx_bytes(images),
        "train-labels-idx1-ubyte": idx_bytes(np.arange(4)),
        "t10k-images-idx3-ubyte": idx_bytes(images[:2]),
        "t10k-labels-idx1-ubyte": idx_bytes(np.array([7, 8])),
    }


def test_fashion_mnist_is_read_unpacked(tmp_path):
    for name, content in fake_fashion_mnist().items():
        write_file(tmp_path / "FashionMNIST" / "raw" / name, content)
    data = load_archive(
        "fashion_mnist", DATA_SETS["fashion_mnist"].source, tmp_path, download=False
    )
    assert data.train.inputs.shape == (4, 1, 28, 28)
    assert data.test.labels.tolist() == [7, 8]


def test_complete_archives_of_fashion_mnist_are_unpacked_and_not_downloaded_again(
    monkeypatch, tmp_path
):
    raw = tmp_path / "FashionMNIST" / "raw"
    resources = [
        (f"{name}.gz", write_file(raw / f"{name}.gz", gzip.compress(content)))
        for name, content in fake_fashion_mnist().items()
    ]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["nowhere://"])
    source = DATA_SETS["fashion_mnist"].source
    assert len(load_archive("fashion_mnist", source, tmp_path, download=False).train) == 4


def test_a_truncated_file_is_named(tmp_path):
    for name, content in fake_fashion_mnist().items():
        cut = content[:-5] if name.startswith("t10k-images") else content
        write_file(tmp_path / "FashionMNIST" / "raw" / name, cut)
    with pytest.raises(TrainingError, match=r"t10k-images-idx3-ubyte is damaged"):
        load_archive("fashion_mnist", DATA_SETS["fashion_mnist"].source, tmp_path, download=False)


def test_a_changed_or_missing_file_is_named(monkeypatch, tmp_path):
    fake_cifar(monkeypatch, tmp_path, datasets.CIFAR10, "labels")
    batch = tmp_path / datasets.CIFAR10.base_folder / "train"
    batch.write_bytes(b"not what was published")
    with pytest.raises(TrainingError, match=r"cifar-10-batches-py/train is damaged"):
        load_archive("cifar10", DATA_SETS["cifar10"].source, tmp_path, download=False)
    batch.unlink()
    with pytest.raises(TrainingError, match=r"cifar-10-batches-py/train is missing"):
        load_archive("cifar10", DATA_SETS["cifar10"].source, tmp_path, download=False)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "fashion_mnist"])
def test_a_missing_data_set_says_which_option_fetches_it(tmp_path, name):
    with pytest.raises(TrainingError) as error:
        load_data(Call(name), (3, 32, 32), root=str(tmp_path))
    assert f"--download --data-root {tmp_path}" in error.value.help


def test_digits_have_a_fixed_stratified_split():
    data = load_data(Call("digits"), (1, 8, 8))
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.train.inputs.dtype == torch.uint8
    assert int(data.train.inputs.max()) == 255
    counts = torch.bincount(data.test.labels)
    assert counts.min() >= 34 and counts.max() <= 37
    again = load_data(Call("digits"), (1, 8, 8))
    assert torch.equal(again.test.inputs, data.test.inputs)


def test_four_rings_have_evenly_spaced_radii_and_alternating_classes():
    call = Call("rings", (), {"n": 400, "noise": 0.0, "rings": 4})
    data = load_data(call, (2,))
    points = torch.cat([data.train.inputs, data.test.inputs])
    labels = torch.cat([data.train.labels, data.test.labels])
    ring = 4 - (4 * points.norm(dim=1)).round()  # 0 is the outermost, of radius 1
    assert sorted(set(ring.tolist())) == [0, 1, 2, 3]
    assert torch.allclose(points.norm(dim=1), (4 - ring) / 4, atol=1e-6)
    assert torch.equal(labels, (ring % 2).long())
    assert ring.long().bincount().tolist() == [100] * 4


@pytest.mark.parametrize(("name", "arguments"), [("rings", {"rings": 2}), ("moons", {})])
def test_point_sets_have_two_classes_in_the_plane(name, arguments):
    data = load_data(Call(name, (), {"n": 100, "noise": 0.1} | arguments), (2,))
    assert data.train.inputs.shape == (80, 2)
    assert data.test.labels.bincount().tolist() == [10, 10]


def test_a_fraction_keeps_the_shares_of_the_classes_and_one_sample_of_each_at_least():
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 3)
    chosen, others = stratified_choice(labels, 15, random_generator(RandomStream.FRACTION, 0))
    assert torch.bincount(labels[torch.from_numpy(chosen)]).tolist() == [9, 5, 1]
    assert sorted([*chosen, *others]) == list(range(153))


def test_a_fraction_depends_on_its_seed_alone():
    split = load_data(Call("digits"), (1, 8, 8)).train
    first, again, other = (fraction_of(split, 0.05, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)
    assert len(first) == round(0.05 * len(split))


def test_samples_are_either_kept_for_training_or_held_out():
    split = load_data(Call("digits"), (1, 8, 8)).train
    kept, held_out = hold_out(split, 0.1, seed=0)
    assert len(kept) + len(held_out) == len(split)
    assert len(held_out) == round(0.1 * len(split))


def test_every_data_set_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `data` |")]
    assert {re.match(r"\w+", name)[0] for name in re.findall(r"`([^`]+)`", line)} == {
        "data",
        *DATA_SETS,
    }


def test_discs_are_lighter_and_squares_darker_than_the_ground_in_pictures_of_the_networks_size():
    data = load_data(Call("shapes", (), {"n": 20, "noise": 0.0}), (3, 12, 16))
    for split, count in ((data.train, 16), (data.test, 4)):
        assert split.inputs.shape == (count, 3, 12, 16)
        assert split.labels.shape == (count, 12, 16)
        for picture, class_map in zip(split.inputs[:, 0], split.labels, strict=True):
            ground = picture[class_map == 0].unique()
            assert len(ground) == 1
            assert (picture[class_map == 1] > ground).all()
            assert (picture[class_map == 2] < ground).all()
    assert data.classes == ("ground", "disc", "square")


def test_shapes_are_refused_for_a_network_that_takes_no_pictures():
    with pytest.raises(TrainingError, match="8 x 8"):
        load_data(Call("shapes", (), {"n": 20, "noise": 0.0}), (2,))
