"""`center_crop`: pictures are scaled, and their middle is taken, as torchvision does."""

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import resized_crop

import odenet
from odenet.diagnostics import SpecError
from odenet.model.tables.recipe import Call
from odenet.training.data.augmentations import RandomResizedCrop
from odenet.training.data.samples import Split
from odenet.training.data.transforms import build_transforms
from odenet.training.errors import TrainingError
from odenet.training.runs import evaluation, run
from odenet.training.runs.preparation import scaling_note
from odenet.training.trained_runs.exporting import export_run

SPEC = """state x
map f = conv(3)
x' = f(x)
discretise euler(h = 0.1)
net = input(3, 8, 8) -> conv(3, 4) -> flow(1) -> mean -> dense(2)
train {{
    data    = folder("{}")
    augment = [random_resized_crop, flip, center_crop(10)]
    batch   = 4
    epochs  = 1
}}
"""
# The shorter side is scaled to 10, and the network takes the middle 8 x 8.
CENTER_CROP = Call("center_crop", (), {"resize": 10})
RAW_PIXELS = Call("standardise", (), {"over": "none"})


def split_of(pictures):
    """A split of these pictures, all of class 0."""
    return Split(pictures, torch.zeros(len(pictures)).long())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with pictures of two classes, 20 pixels high and 40 wide."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in (f"{kind}/{i}.png" for kind in ("ants", "bees") for i in range(8)):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)).save(root / name)
    return root


@pytest.fixture(scope="module")
def run_folder(folder, tmp_path_factory):
    """The folder of a short run of SPEC on these pictures."""
    parent = tmp_path_factory.mktemp("runs")
    (parent / "net.ode").write_text(SPEC.format(folder), "utf-8")
    run.train(parent / "net.ode", out=str(parent / "run"), console=Console(quiet=True))
    return parent / "run"


def test_pictures_are_evaluated_and_predicted_as_torchvision_would(run_folder, folder):
    paths = sorted(folder.glob("*/*.png"))
    torchvision_transform = v2.Compose([v2.PILToTensor(), v2.Resize(10), v2.CenterCrop(8)])
    expected = torch.stack([torchvision_transform(Image.open(path)) for path in paths])
    loaded_run = odenet.load_run(run_folder)
    transforms = loaded_run.model.transforms
    pixels = loaded_run.preprocess(paths) * transforms.deviation + transforms.mean  # 0 to 1
    assert pixels.shape == (16, 3, 8, 8)
    assert (255 * pixels - expected).abs().max() <= 2  # both round to whole numbers
    _, data, _ = evaluation.restore(run_folder)
    assert data.test.inputs.shape[1:] == (3, 10, 10)
    inputs = data.transforms(data.test.inputs)
    assert inputs.shape[1:] == (3, 8, 8)
    labels = [loaded_run.classes[i] for i in data.test.labels.tolist()]
    correct = [
        a == b for a, b in zip(loaded_run.predict(data.test.inputs).labels, labels, strict=True)
    ]
    assert evaluation.evaluate(run_folder)["accuracy"] == pytest.approx(sum(correct) / len(correct))


def test_an_exported_network_takes_the_larger_pictures(run_folder, tmp_path):
    loaded_run = odenet.load_run(run_folder)
    export = export_run(loaded_run, tmp_path / "net.pt2")
    assert export.input_text == "(batch, 3, 10, 10) uint8 pixels"
    pixels = torch.randint(256, (3, 3, 10, 10), dtype=torch.uint8)
    exported = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(exported(pixels), loaded_run.model(pixels))


def test_augmentations_apply_to_the_middle():
    pictures = torch.randint(256, (5, 3, 10, 10), dtype=torch.uint8)
    transforms = build_transforms(
        split_of(pictures), (3, 8, 8), [RAW_PIXELS, CENTER_CROP, Call("flip")]
    )
    middle = pictures[:, :, 1:9, 1:9] / 255
    draws = (torch.tensor([True, False, True, False, False]),)
    augmented = transforms(pictures, draws)
    assert torch.equal(transforms(pictures), middle)
    assert torch.equal(augmented[0], middle[0].flip(-1)) and torch.equal(augmented[1], middle[1])


def test_a_random_resized_crop_is_taken_from_all_of_the_larger_picture():
    pictures = torch.randint(256, (3, 3, 10, 10), dtype=torch.uint8)
    random_crop = Call("random_resized_crop", (), {"least": 0.1})
    transforms = build_transforms(
        split_of(pictures), (3, 8, 8), [RAW_PIXELS, random_crop, CENTER_CROP]
    )
    # Height, width, top and left of each crop, as shares of the picture.
    crops = torch.tensor([[0.8, 0.8, 0, 0], [0.8, 0.8, 0.2, 0.2], [1, 1, 0, 0]])
    first, last, whole = transforms(pictures, (crops,)) * 255
    torch.testing.assert_close(first, pictures[0, :, :8, :8].float())
    torch.testing.assert_close(last, pictures[1, :, 2:, 2:].float())
    scaled = resized_crop(pictures[2], 0, 0, 10, 10, [8, 8], antialias=False)
    assert (whole - scaled).abs().max() <= 1


def test_random_crops_of_floating_point_pictures_are_not_rounded():
    pictures = torch.rand(2, 1, 6, 6)
    whole = torch.tensor([[1.0, 1, 0, 0]] * 2)
    cropped = RandomResizedCrop(least=0.1)(pictures, whole)
    torch.testing.assert_close(cropped, pictures)


def test_pictures_that_are_not_square_keep_their_proportions():
    pictures = torch.randint(256, (2, 1, 12, 6), dtype=torch.uint8)
    transforms = build_transforms(
        split_of(pictures), (1, 8, 4), [RAW_PIXELS, Call("center_crop", (), {"resize": 6})]
    )
    assert transforms.scaled_shape == (1, 12, 6)
    assert torch.equal(transforms(pictures), pictures[:, :, 2:10, 1:5] / 255)
    note = scaling_note(split_of(pictures), (1, 16, 8), (1, 8, 4))
    assert note == "pictures of 12 x 6 are scaled to 16 x 8, whose middle is the network's 8 x 4"
    assert scaling_note(split_of(pictures), (1, 12, 6), (1, 8, 4)) == ""


def test_center_crop_is_refused_where_every_pixel_has_a_label():
    pictures = torch.zeros(2, 1, 10, 10, dtype=torch.uint8)
    with_class_maps = Split(pictures, torch.zeros(2, 10, 10, dtype=torch.uint8))
    with pytest.raises(TrainingError, match=r"center_crop.* would move the places"):
        build_transforms(with_class_maps, (1, 8, 8), [CENTER_CROP])


def test_center_crop_is_refused_for_inputs_that_are_not_pictures():
    text = SPEC.format("x").replace("input(3, 8, 8)", "input(8)").replace("conv(3)", "dense")
    text = text.replace("conv(3, 4)", "dense(4)").replace(" -> mean", "")
    with pytest.raises(SpecError, match="takes the middle of pictures, and this net takes none"):
        odenet.loads(text)
