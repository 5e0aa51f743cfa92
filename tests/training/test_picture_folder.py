"""`folder(…)`: pictures in folders, one for each class."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from odenet.model.tables.recipe import Call
from odenet.training.data.data_sets import load_data
from odenet.training.data.picture_folder import load_folder
from odenet.training.data.samples import Split
from odenet.training.errors import TrainingError
from odenet.training.runs.preparation import scaling_note


def save_picture(path, size=(20, 10), mode="RGB", colour=0):
    """Save a picture of one colour, black by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_a_folder_with_train_and_val_keeps_its_split(tmp_path):
    for number in range(3):
        save_picture(tmp_path / "train" / "ants" / f"{number}.png", colour=(255, 0, 0))
        save_picture(tmp_path / "train" / "bees" / f"{number}.jpg", mode="L")
    save_picture(tmp_path / "val" / "bees" / "x.png", colour=(0, 255, 0))
    (tmp_path / "train" / ".cache").mkdir()
    data = load_folder(str(tmp_path), (3, 8, 6))
    assert data.classes == ("ants", "bees")
    assert data.train.inputs.shape == (6, 3, 8, 6)
    assert data.train.inputs[0, :, 0, 0].tolist() == [255, 0, 0]
    assert data.test.labels.tolist() == [1]


def test_a_folder_of_classes_is_split_by_class(tmp_path):
    for name, count in (("ants", 10), ("bees", 20)):
        for number in range(count):
            save_picture(tmp_path / name / f"{number}.png")
    data = load_folder(str(tmp_path), (1, 8, 8))
    assert torch.bincount(data.test.labels).tolist() == [2, 4]
    assert data.train.inputs.shape == (24, 1, 8, 8)


@pytest.mark.parametrize("in_memory", [10**9, 0])
def test_a_damaged_picture_is_named_and_left_out(tmp_path, in_memory):
    for name in ("ants", "bees"):
        for number in range(5):
            save_picture(tmp_path / "train" / name / f"{number}.png")
            save_picture(tmp_path / "test" / name / f"{number}.png")
    content = (tmp_path / "train" / "ants" / "0.png").read_bytes()
    (tmp_path / "train" / "ants" / "1.png").write_bytes(content[:30])
    (tmp_path / "train" / "bees" / "2.png").write_bytes(b"")
    data = load_folder(str(tmp_path), (3, 8, 8), in_memory)
    if in_memory:
        assert len(data.train) == 8
        assert [line.split(":")[0][-10:] for line in data.damaged] == ["ants/1.png", "bees/2.png"]
    else:
        images = [data.train.inputs[i] for i in range(10)]
        damaged = [i for i, image in enumerate(images) if isinstance(image, str)]
        assert damaged == [1, 7]  # ants/1.png, and bees/2.png after the five ants


def test_a_class_without_a_readable_picture_is_an_error(tmp_path):
    for number in range(5):
        save_picture(tmp_path / "ants" / f"{number}.png")
        save_picture(tmp_path / "bees" / f"{number}.png")
        (tmp_path / "bees" / f"{number}.png").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="class bees"):
        load_folder(str(tmp_path), (3, 8, 8))


def test_a_test_class_unknown_to_training_is_an_error(tmp_path):
    save_picture(tmp_path / "train" / "ants" / "0.png")
    save_picture(tmp_path / "test" / "wasps" / "0.png")
    with pytest.raises(TrainingError, match="wasps is a class"):
        load_folder(str(tmp_path), (3, 8, 8))


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_is_missing_or_empty_says_how_to_lay_it_out(tmp_path, exists):
    root = tmp_path / "pictures"
    if exists:
        root.mkdir()
    with pytest.raises(TrainingError) as error:
        load_folder(str(root), (3, 8, 8))
    assert "CLASS" in error.value.help


def test_pictures_need_a_network_that_takes_pictures(tmp_path):
    with pytest.raises(TrainingError, match="1 or 3 channels"):
        load_folder(str(tmp_path), (2,))


def test_a_note_says_that_pictures_in_memory_are_scaled():
    digits = load_data(Call("digits"), (1, 8, 8)).train
    assert (
        scaling_note(digits, (3, 32, 32), (3, 32, 32))
        == "pictures of 8 x 8 are scaled to the network's 32 x 32"
    )
    assert scaling_note(digits, (3, 8, 8), (3, 8, 8)) == scaling_note(digits, (64,), (64,)) == ""


def test_a_note_says_that_pictures_in_files_are_scaled(tmp_path):
    for i, size in enumerate([(96, 96), (96, 96), (48, 96)]):
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 2 else 1  # the orientation: turned by a quarter, or upright
        Image.new("RGB", size).save(tmp_path / f"{i}.png", exif=exif)
    (tmp_path / "x.png").write_bytes(b"not a picture")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    # Two square pictures, or one that is 48 high and 96 wide, each with the file that is no picture.
    square, wide = (
        Split(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2), tuple(files))
        for files in (paths[:2] + paths[3:], paths[2:])
    )
    shape = (3, 32, 32)
    note = "pictures of 96 x 96 are scaled to the network's 32 x 32"
    assert scaling_note(square, shape, shape) == note
    assert (
        scaling_note(square, (3, 96, 96), (3, 96, 96))
        == scaling_note(wide, (3, 48, 96), (3, 48, 96))
        == ""
    )
    note = "pictures of 48 x 96 are cut and scaled to the network's 32 x 32"
    assert scaling_note(wide, shape, shape) == note
    mixed = replace(wide, files=tuple(paths))
    assert scaling_note(mixed, shape, shape).startswith(
        "pictures of several sizes are cut and scaled to"
    )
