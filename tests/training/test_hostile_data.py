"""Hostile or damaged pictures, paths and options: refused with a message, or read without harm."""

import json
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from odenet.byte_sizes import parse_size
from odenet.cli import app
from odenet.compiler import loads
from odenet.diagnostics import SpecError
from odenet.model.tables.recipe import Call
from odenet.training.callbacks.trainer import build_trainer
from odenet.training.checksums import sealed_json
from odenet.training.data.picture_folder import load_folder
from odenet.training.data.pictures import decode
from odenet.training.data.samples import Split
from odenet.training.data.transforms import build_transforms
from odenet.training.errors import TrainingError
from odenet.training.run_folder.records import Options, Record, RunFolder

SPEC = "state Y\nparam K : conv(3)\nY' = K Y\n"


def write_classes(folder, *names, each=3):
    """Write a folder of `each` small pictures for every class into `folder`; gives `folder`."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(np.full((4, 4), 40 * i, np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize("path", ['p") # v2', "a\nb", "it's", "ü  ü", "{x}", "\\n"])
def test_a_path_is_taken_literally_whatever_characters_it_has(path):
    recipe = loads(SPEC, set={"data": {"folder": [path]}}).recipe
    assert recipe.data is not None and recipe.data["path"] == path


def test_a_data_set_on_the_command_line_is_not_parsed_as_the_language(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = "discretise euler(h = 0.1)\nnet = input(1, 4, 4) -> conv(3, 2) -> flow(1) -> mean -> dense(2)\n"
    (tmp_path / "net.ode").write_text(SPEC + net)
    write_classes(tmp_path / "p", "cat", "dog")
    result = CliRunner().invoke(app, ["train", "net.ode", "--data", 'folder:p") # v2'])
    assert isinstance(result.exception, TrainingError | SpecError)
    assert 'p") # v2 does not exist' in str(result.exception)


@pytest.mark.parametrize("value", ["digits # no", 'folder("p") # v2', "digits\n# no"])
def test_a_value_from_outside_with_a_comment_is_refused(value):
    with pytest.raises(SpecError, match="a value from outside has no comment"):
        loads(SPEC, set={"data": value})


def test_a_pipe_in_the_place_of_a_picture_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert decode(str(tmp_path / "pipe.png"), (1, 4, 4)) == f"{tmp_path / 'pipe.png'}: not a file"


def test_a_postscript_program_named_like_a_picture_is_not_run(tmp_path):
    (tmp_path / "x.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"
    )
    assert "cannot identify image file" in str(decode(str(tmp_path / "x.png"), (1, 4, 4)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32768], [65535, 257]], np.uint16), [0, 128, 255, 1]),
        (np.array([[0, 2**30], [2**31 - 1, 2**24]], np.int32), [0, 128, 255, 2]),
        (np.array([[0.0, 0.5], [1.0, 0.25]], np.float32), [0, 128, 255, 64]),
        (np.array([[0.0, 100.0], [255.0, 7.0]], np.float32), [0, 100, 255, 7]),
    ],
)
def test_grey_pictures_of_16_and_32_bits_become_the_nearest_grey_of_8_bits(
    tmp_path, values, expected
):
    Image.fromarray(values).save(tmp_path / "x.tif")
    image = decode(str(tmp_path / "x.tif"), (1, 2, 2))
    assert isinstance(image, torch.Tensor)
    assert image.flatten().tolist() == expected


def test_a_class_folder_that_is_a_link_to_its_parent_is_refused(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(TrainingError, match="again leads to a folder that is read already"):
        load_folder(str(tmp_path), (1, 4, 4))


def test_a_class_folder_with_a_link_to_itself_is_read_once(tmp_path):
    write_classes(tmp_path, "cat", "dog")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path / "cat")
    data = load_folder(str(tmp_path), (1, 4, 4))
    assert len(data.train) + len(data.test) == 6


def test_a_class_folder_that_is_a_link_to_elsewhere_is_read(tmp_path):
    write_classes(tmp_path / "data", "cat")
    write_classes(tmp_path / "elsewhere", "dogs")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere" / "dogs")
    assert load_folder(str(tmp_path / "data"), (1, 4, 4)).classes == ("cat", "dog")


def test_one_class_and_a_class_of_one_picture_are_refused(tmp_path):
    write_classes(tmp_path / "one", "cat")
    with pytest.raises(TrainingError, match="has one class, cat"):
        load_folder(str(tmp_path / "one"), (1, 4, 4))
    write_classes(write_classes(tmp_path / "few", "cat"), "dog", each=1)
    with pytest.raises(TrainingError, match=r"class dog in .* has one picture"):
        load_folder(str(tmp_path / "few"), (1, 4, 4))


@pytest.mark.parametrize("name", ["pad_crop", "cutout"])
def test_an_augmentation_by_more_pixels_than_the_side_of_an_image_is_refused(name):
    split = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    build_transforms(split, (1, 8, 8), [Call(name, (), {"n": 8})])
    with pytest.raises(TrainingError, match="larger than the images"):
        build_transforms(split, (1, 8, 8), [Call(name, (), {"n": 10**6})])


def test_a_record_that_is_read_never_asks_for_a_download(tmp_path):
    record = Record("x", {}, Options(download=True), ["a"], [0.0], [1.0])
    folder = RunFolder(tmp_path)
    folder.write_record(record)
    assert json.loads(folder.record.read_text())["options"]["download"] is True
    assert folder.read_record().options.download is False


@pytest.mark.parametrize(
    ("name", "value"), [("nodes", 10**30), ("nodes", 0), ("nodes", -1), ("memory", -5)]
)
def test_an_impossible_option_in_a_record_is_named(tmp_path, name, value):
    folder = RunFolder(tmp_path)
    options = vars(Options()) | {name: value}
    record = {"name": "x", "settings": {}, "options": options}
    record |= {"classes": ["a"], "mean": [0.0], "deviation": [1.0]}
    folder.record.write_text(sealed_json(record))
    with pytest.raises(TrainingError, match=rf"run\.json cannot be used: `{name}` is {value}"):
        folder.read_record()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_with_a_pixel_that_is_not_finite_is_damaged(tmp_path, value):
    pixels = np.full((4, 4), 0.5, np.float32)
    pixels[1, 2] = value
    Image.fromarray(pixels).save(tmp_path / "x.tif")
    assert decode(str(tmp_path / "x.tif"), (1, 4, 4)) == (
        f"{tmp_path / 'x.tif'}: a pixel is not a finite number"
    )


# Pillow does not close the file that it refuses; the garbage collector does, with this warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_picture_above_the_limit_of_pillow_is_read_and_one_above_twice_the_limit_named(
    tmp_path, monkeypatch
):
    path = str(tmp_path / "x.png")
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(path)
    # For pictures above this limit Pillow warns; those above twice the limit it refuses.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (decode(path, (1, 4, 4)) == 7).all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    message = decode(path, (1, 4, 4))
    assert message.startswith(f"{path}: it has more than the ") and "DOS" not in message


@pytest.mark.parametrize("raw_values", [False, True])
def test_a_grey_picture_in_lab_is_read_by_its_lightness(tmp_path, raw_values):
    path = str(tmp_path / "x.tif")
    lab = np.zeros((4, 4, 3), np.uint8)  # grey: a* = b* = 0
    lab[..., 0] = 136  # L* = 53.33, half of white in sRGB but for rounding
    Image.fromarray(lab, "LAB").save(path)
    assert (decode(path, (1, 4, 4), raw_values).float() - 127.5).abs().max() < 2.5
    assert (decode(path, (3, 4, 4)).float() - 127.5).abs().max() < 2.5


# The first has too many digits, and that of the second is an Arabic 3.
@pytest.mark.parametrize(("text", "size"), [("9" * 320, None), ("٣GB", None), ("1.5KiB", 1536)])
def test_a_size_is_a_number_of_bytes_or_refused(text, size):
    assert parse_size(text) == size


@pytest.mark.skipif(torch.cuda.is_available(), reason="Lightning counts GPUs itself")
def test_too_many_devices_and_unknown_strategies_are_refused(tmp_path):
    recipe = loads(SPEC).recipe
    for options, message in (
        (Options(devices=10**9), "this machine has"),
        (Options(strategy="xla"), "there is no strategy xla"),
        (Options(strategy="ddp_spawn"), "there is no strategy ddp_spawn"),
        (Options(strategy="ddp_fork"), "there is no strategy ddp_fork"),
        (Options(strategy="ddp_notebook"), "there is no strategy ddp_notebook"),
    ):
        with pytest.raises(TrainingError, match=message):
            build_trainer(RunFolder(tmp_path), recipe, options)
