"""The user's own data: from Python, in folders beside a spec, in files too large for memory."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch.utils.data import Dataset, TensorDataset

import odenet
from odenet.diagnostics import SpecError
from odenet.training.data import arrays as arrays_module
from odenet.training.data import data_module, data_sets
from odenet.training.data.arrays import load_arrays
from odenet.training.data.class_maps import ClassMaps
from odenet.training.data.lazy_samples import LazySamples
from odenet.training.data.masks import load_masks
from odenet.training.data.picture_folder import load_folder
from odenet.training.data.pictures import Pictures
from odenet.training.data.python_data import python_data
from odenet.training.data.samples import label_counts
from odenet.training.data.statistics import channel_moments
from odenet.training.run_folder.records import RunFolder

from . import specs
from .test_commands import run_command

RNG = np.random.default_rng(1)
X = torch.from_numpy(RNG.normal(size=(60, 4))).float()
Y = (X[:, 0] > 0).long()
QUIET = Console(quiet=True)


class Pairs(Dataset):
    """A data set of pairs (x, y) that gives one item at a time."""

    def __init__(self, x=X, y=Y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError
        return self.x[index], int(self.y[index])


class ListDataset(Dataset):
    """A data set whose items are those of a list."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.fixture
def spec(tmp_path):
    return specs.write(tmp_path, specs.VECTOR_NET.format(2))


@pytest.mark.parametrize(
    "data",
    [
        ((X[:40], Y[:40]), (X[40:], Y[40:])),
        ((X[:40].numpy(), Y[:40].numpy()), (X[40:].numpy(), Y[40:].numpy())),
        (TensorDataset(X[:40], Y[:40]), TensorDataset(X[40:], Y[40:])),
        (Pairs(X[:40], Y[:40]), Pairs(X[40:], Y[40:])),
    ],
    ids=["tensors", "arrays", "TensorDataset", "Dataset"],
)
def test_tensors_arrays_and_data_sets_from_python_give_the_same_run(spec, tmp_path, data):
    result = specs.train(spec, data=data, epochs=2, seed=3)
    reference = ((X[:40], Y[:40]), (X[40:], Y[40:]))
    expected = specs.train(spec, data=reference, out=tmp_path / "expected", epochs=2, seed=3)
    assert result.test_loss == expected.test_loss
    assert (
        odenet.evaluate(result.folder, data=data[1])["loss"]
        == odenet.evaluate(result.folder, data=data)["loss"]
    )


def test_a_run_on_data_from_python_asks_for_them_when_it_is_resumed_or_measured(spec, tmp_path):
    data = ((X[:40], Y[:40]), (X[40:], Y[40:]))
    result = specs.train(spec, data=data, epochs=2, set={"schedule": "constant"})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "data=(train, test)" in record["data_from_python"]
    with pytest.raises(SpecError, match="trained on data from Python: give it again"):
        run_command("eval", tmp_path / "run")
    with pytest.raises(SpecError, match="give it again"):
        odenet.resume(result.folder, epochs=3, console=QUIET)
    longer = odenet.resume(result.folder, data=data, epochs=3, console=QUIET)
    uninterrupted = specs.train(
        spec, data=data, epochs=3, set={"schedule": "constant"}, out=tmp_path / "uninterrupted"
    )
    assert longer.epochs == 3 and longer.test_loss == uninterrupted.test_loss


def test_a_test_split_is_taken_from_a_single_data_set_and_samples_may_be_held_out_besides(spec):
    result = specs.train(spec, data=(X, Y), epochs=3, set={"holdout": 0.25})
    assert result.watched == "val" and result.test_loss is not None
    assert result.metrics["accuracy"] == result.test_accuracy


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X, "data from Python has no labels"),
        ((X, Y, X), "data is a tuple of 3"),
        (iter([]), "which training cannot use"),
        (((X, Y[:-1]), (X, Y)), "has 60 samples, and y 59 labels"),
        (((X, Y), (X[:, :3], Y)), "a sample of .* has the shape .* in the test split"),
        ((X, Y + 2), "go from 2 to 3: .* network of 2 classes"),
        (((X / 0, Y), (X, Y)), "x of .* NaN or infinite, the first at"),
        ((Pairs([X[0], X[0, :2]], [0, 1]), Pairs()), r"input 1 of a Pairs has the shape \(2,\)"),
        ((Pairs([Image.new("L", (4, 4))], [0]), Pairs()), "is a Image, not a tensor"),
    ],
)
def test_what_is_wrong_with_data_from_python_is_named(spec, data, message):
    with pytest.raises(SpecError, match=message):
        specs.train(spec, data=data)


def test_options_are_those_of_the_command_line(spec):
    with pytest.raises(SpecError, match="there is no option `epoch`"):
        specs.train(spec, data=(X, Y), epoch=2)
    with pytest.raises(SpecError, match="memory is lots"):
        specs.train(spec, data=(X, Y), memory="lots")
    specs.train(spec, data=(X, Y), memory="2MB", fraction=0.5, precision="float64")
    options = RunFolder(spec.parent / "run").read_record().options
    assert options.memory == 2 * 10**6
    with pytest.raises(SpecError, match="epochs is a key of the recipe"):
        odenet.train(odenet.load(spec), epochs=2)


def test_classes_that_a_split_lacks_are_named(spec):
    console = Console(record=True, width=200)
    data = ((X, Y), (X[Y == 1], Y[Y == 1]))
    odenet.train(spec, data=data, out=spec.parent / "run", console=console)
    assert (
        "the test split of data from Python has no sample of the class 0" in console.export_text()
    )


def test_paths_in_a_spec_are_relative_to_it_and_others_to_the_working_directory(
    tmp_path, monkeypatch
):
    (tmp_path / "specs").mkdir()
    (tmp_path / "working").mkdir()
    np.savez(tmp_path / "specs" / "x.npz", x=X, y=Y)
    np.savez(tmp_path / "working" / "y.npz", x=X[:30], y=Y[:30])
    spec = specs.write(tmp_path / "specs", specs.VECTOR_NET.format(2), 'data = arrays("x.npz")')
    monkeypatch.chdir(tmp_path / "working")
    run_command("train", spec, "--out", "run", "--epochs", 1)
    run_command("eval", "run")
    assert odenet.evaluate("run", data="arrays:y.npz")["data"] == "arrays:y.npz"
    monkeypatch.chdir(tmp_path)
    assert "accuracy" in odenet.evaluate("working/run")


def test_a_large_array_is_mapped_and_gives_the_same_run(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", x=X.numpy(), y=Y.numpy())
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(2), 'data = arrays("x.npz")')
    in_memory = specs.train(spec)
    monkeypatch.setattr(arrays_module, "MAPPED_FROM", 0)
    data = load_arrays(str(tmp_path / "x.npz"))
    assert isinstance(data.train.inputs, LazySamples)
    assert isinstance(data.train.inputs.source, np.memmap)
    mapped = specs.train(spec, out=tmp_path / "mapped")
    assert (mapped.test_loss, mapped.accuracy) == (in_memory.test_loss, in_memory.accuracy)


def test_labels_may_be_words_and_the_last_layer_is_fitted_to_their_number(tmp_path):
    np.savez(tmp_path / "x.npz", x=X, y=np.where(Y == 1, "cat", "ant"))
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(10), 'data = arrays("x.npz")')
    console = Console(record=True, width=200)
    odenet.train(spec, out=tmp_path / "run", console=console)
    assert "the last layer gives 2 scores" in console.export_text()
    run = odenet.load_run(tmp_path / "run")
    assert set(run.predict(X).labels) <= {"ant", "cat"} and run.classes == ("ant", "cat")


def write_picture_and_map(folder, name, suffix=""):
    """Write a picture and its class map; gives the map.

    The map lies beside the picture if its name has a suffix, and in a folder of its own if not.
    """
    pixels = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    mask = np.where(pixels > 127, 255, 0).astype(np.uint8)
    pictures, maps = (folder, folder) if suffix else (folder / "images", folder / "masks")
    for directory in (pictures, maps):
        directory.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(pictures / f"{name}.png")
    Image.fromarray(mask).save(maps / f"{name}{suffix}.png")
    return mask


@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_class_maps_are_found_in_their_own_folder_or_by_the_suffix_of_their_names(tmp_path, suffix):
    masks = {
        f"p{i}": write_picture_and_map(tmp_path / "m", f"p{i}", suffix=suffix) for i in range(10)
    }
    data = load_masks(str(tmp_path / "m"), (1, 8, 8))
    assert len(data.train) == 8 and data.test.labels.shape == (2, 8, 8)
    assert any(np.array_equal(m, data.test.labels[0].numpy()) for m in masks.values())
    spec = specs.write(tmp_path, specs.CLASS_MAP_NET.format(2), 'data = masks("m")', epochs=3)
    assert specs.train(spec).measure == "mean_iou"
    assert RunFolder(tmp_path / "run").read_record().classes == ("0", "255")


def test_class_maps_take_a_byte_for_each_pixel_unless_a_value_needs_more(tmp_path):
    for i in range(6):
        write_picture_and_map(tmp_path / "m", f"p{i}")
    assert load_masks(str(tmp_path / "m"), (1, 8, 8)).train.labels.dtype == torch.uint8
    Image.new("I;16", (8, 8), 999).save(tmp_path / "m" / "masks" / "p5.png")
    data = load_masks(str(tmp_path / "m"), (1, 8, 8))
    values = {int(v) for split in (data.train, data.test) for v in split.labels.unique()}
    assert values == {0, 255, 999}


def test_what_is_wrong_with_class_maps_is_named(tmp_path):
    spec = specs.write(tmp_path, specs.CLASS_MAP_NET.format(2), 'data = masks("m")')
    write_picture_and_map(tmp_path / "m", "a")
    write_picture_and_map(tmp_path / "m", "b")
    (tmp_path / "m" / "masks" / "b.png").unlink()
    with pytest.raises(SpecError, match=r"b\.png has no class map"):
        specs.train(spec)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "m" / "masks" / "b.png")
    with pytest.raises(SpecError, match=r"b\.png is not a class map"):
        specs.train(spec)
    Image.new("L", (4, 8)).save(tmp_path / "m" / "masks" / "b.png")
    with pytest.raises(SpecError, match="has 4 x 8 pixels, and its picture 8 x 8"):
        specs.train(spec)


def test_pictures_of_16_bits_keep_their_values(tmp_path):
    values = {}
    for name, low in (("dark", 1000), ("light", 30000)):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for i in range(5):
            pixels = RNG.integers(low, low + 20000, (8, 8)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / "deep" / name / f"{i}.png")
            values[name, i] = pixels
    (tmp_path / "deep" / "dark" / "#.png").write_bytes(b"")  # the first by name cannot be read
    data = load_folder(str(tmp_path / "deep"), (1, 8, 8))
    assert data.train.inputs.dtype == torch.float32 and len(data.damaged) == 1
    pictures_read = {
        tuple(x.flatten().tolist()) for x in torch.cat([data.train.inputs, data.test.inputs])
    }
    assert pictures_read == {tuple(v.flatten().astype(float).tolist()) for v in values.values()}
    net = specs.CLASS_MAP_NET.replace("conv(1, {})", "mean -> dense(2)")
    result = specs.train(specs.write(tmp_path, net, 'data = folder("deep")'))
    run = odenet.load_run(result.folder)
    predicted = run.predict([str(tmp_path / "deep" / "dark" / "0.png")])
    pixels = torch.from_numpy(values["dark", 0].astype(np.float32))[None, None]
    torch.testing.assert_close(predicted.values, run.predict(pixels).values)


def test_mean_and_deviation_are_as_exact_as_in_double_precision():
    values = torch.from_numpy(RNG.normal(size=(500, 3)) * [1, 1e-3, 0] + [1e4, 0, 7]).float()
    mean, deviation = channel_moments(values.split(64))
    torch.testing.assert_close(mean.double(), values.double().mean(0), rtol=1e-6, atol=1e-9)
    expected = values.double().std(0, correction=0)
    torch.testing.assert_close(deviation.double()[:2], expected[:2], rtol=1e-5, atol=0)
    assert deviation[2] == 1  # of a constant channel, which is not scaled


def write_maps_of_three_classes(folder, count):
    """Write pictures, and class maps of the values 0, 7 and 40; gives the maps by their numbers."""
    maps = {}
    for i in range(count):
        pixels = RNG.integers(0, 256, (10, 14), dtype=np.uint8)
        mask = np.select([pixels > 200, pixels > 90], [np.uint8(40), np.uint8(7)], np.uint8(0))
        for kind, values in (("images", pixels), ("masks", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / kind / f"{i:02}.png")
        maps[i] = mask
    return maps


def test_class_maps_that_do_not_fit_the_memory_are_read_with_their_pictures(tmp_path, monkeypatch):
    write_maps_of_three_classes(tmp_path / "m", 12)
    recipe = 'data = masks("m")', "loss = cross_entropy(weights = balanced)", "holdout = 0.25"
    spec = specs.write(
        tmp_path, specs.CLASS_MAP_NET.format(3), *recipe, "augment = [flip]", epochs=1
    )
    in_memory = specs.train(spec)
    maps_in_memory = load_masks(str(tmp_path / "m"), (1, 8, 8))
    monkeypatch.setattr(data_sets, "load_masks", partial(load_masks, in_memory=0))
    # Files are read in this process, in which the function is replaced.
    monkeypatch.setattr(data_module, "reading_processes", lambda devices: 0)
    streamed = load_masks(str(tmp_path / "m"), (1, 8, 8), in_memory=0)
    assert isinstance(streamed.train.labels, ClassMaps) and isinstance(
        streamed.train.inputs, Pictures
    )
    maps_read = torch.stack([streamed.test.labels[i] for i in range(len(streamed.test))])
    assert torch.equal(maps_read, maps_in_memory.test.labels)
    assert label_counts(streamed.train.labels) == dict(
        zip(*np.unique(maps_in_memory.train.labels.numpy(), return_counts=True), strict=True)
    )
    streamed_run = specs.train(spec, out=tmp_path / "streamed")
    assert (streamed_run.test_loss, streamed_run.metrics) == (
        in_memory.test_loss,
        in_memory.metrics,
    )
    scores = odenet.evaluate(streamed_run.folder)
    assert sum(map(sum, scores["confusion"])) == 2 * 8 * 8  # the pixels of two test pictures
    assert scores["worst"][0]["file"].endswith(".png")


def test_a_damaged_class_map_that_stays_in_its_file_is_named_before_training(tmp_path):
    write_maps_of_three_classes(tmp_path / "m", 12)
    load = partial(load_masks, str(tmp_path / "m"), (1, 8, 8), in_memory=0)
    class_map = tmp_path / "m" / "masks" / "05.png"
    intact = class_map.read_bytes()
    for content, message in (
        (b"", "cannot identify image file"),
        (intact[: len(intact) // 2], "truncated"),
        (b"text", "cannot identify image file"),
        # A PNG whose pixels are in a chunk of unknown type.
        (intact.replace(b"IDAT", b"IDBT"), r"class map .*05\.png cannot be read: \S"),
    ):
        class_map.write_bytes(content)
        with pytest.raises(SpecError, match=message) as error:
            load()
        assert "05.png" in str(error.value)
    class_map.write_bytes(intact)
    (tmp_path / "m" / "images" / "05.png").write_bytes(b"text")
    data = load()
    assert len(data.train) + len(data.test) == 11
    assert len(data.damaged) == 1 and "05.png: cannot identify" in data.damaged[0]


def test_a_run_on_class_maps_is_measured_on_maps_with_fewer_classes(tmp_path):
    write_maps_of_three_classes(tmp_path / "m", 8)
    spec = specs.write(tmp_path, specs.CLASS_MAP_NET.format(3), 'data = masks("m")', epochs=1)
    specs.train(spec)
    for i, mask in write_maps_of_three_classes(tmp_path / "few", 8).items():
        two_classes = np.where(mask == 7, 0, mask)
        Image.fromarray(two_classes).save(tmp_path / "few" / "masks" / f"{i:02}.png")
    scores = odenet.evaluate(tmp_path / "run", set={"data": {"masks": [str(tmp_path / "few")]}})
    support = [row["support"] for row in scores["per_class"].values()]
    assert list(scores["per_class"]) == ["0", "7", "40"]
    assert support[1] == 0 and support[0] > support[2] > 0


def test_class_maps_are_refused_under_losses_of_other_labels(tmp_path):
    write_maps_of_three_classes(tmp_path / "m", 8)
    for loss in ("bce", "mse"):
        spec = specs.write(
            tmp_path, specs.CLASS_MAP_NET.format(3), 'data = masks("m")', f"loss = {loss}"
        )
        with pytest.raises(SpecError, match=rf"a class for every pixel, and {loss} takes other"):
            specs.train(spec)


def test_class_maps_from_python_are_kept_in_bytes_if_their_values_fit():
    x, maps = torch.zeros(10, 1, 4, 4), torch.arange(160).view(10, 4, 4)
    for samples in ((x, maps), list(zip(x, maps, strict=True))):
        data = python_data(ListDataset(samples) if isinstance(samples, list) else samples)
        assert data.train.labels.dtype == data.test.labels.dtype == torch.uint8
        labels = torch.cat([data.train.labels, data.test.labels]).flatten().sort().values
        assert labels.tolist() == list(range(160))
    beyond_bytes = python_data((x, maps + 200))
    assert beyond_bytes.train.labels.dtype == torch.int64
