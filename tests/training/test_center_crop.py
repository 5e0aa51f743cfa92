"""`center_crop`: the middle of larger pictures, beside what torchvision gives."""

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
CROP = Call("center_crop", (), {"resize": 10})
WHOLE = Call("standardise", (), {"over": "none"})


def split(pictures):
    return Split(pictures, torch.zeros(len(pictures)).long())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of 40 x 20 in two classes."""
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in (f"{kind}/{i}.png" for kind in ("ants", "bees") for i in range(8)):
        (place / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)).save(place / name)
    return place


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """A short run with that recipe."""
    place = tmp_path_factory.mktemp("runs")
    (place / "net.ode").write_text(SPEC.format(folder), "utf-8")
    run.train(place / "net.ode", out=str(place / "run"), console=Console(quiet=True))
    return place / "run"


def test_pictures_are_evaluated_and_predicted_as_torchvision_would(finished, folder):
    paths = sorted(folder.glob("*/*.png"))
    usual = v2.Compose([v2.PILToTensor(), v2.Resize(10), v2.CenterCrop(8)])
    wanted = torch.stack([usual(Image.open(path)) for path in paths])
    trained = odenet.load_run(finished)
    transforms = trained.model.transforms
    taken = trained.preprocess(paths) * transforms.deviation + transforms.mean
    assert taken.shape == (16, 3, 8, 8)
    assert (255 * taken - wanted).abs().max() <= 2  # both round
    _, data, _ = evaluation.restore(finished)
    assert data.test.inputs.shape[1:] == (3, 10, 10)
    measured = data.transforms(data.test.inputs)
    assert measured.shape[1:] == (3, 8, 8)
    names = [trained.classes[i] for i in data.test.labels.tolist()]
    right = [a == b for a, b in zip(trained.predict(data.test.inputs).labels, names, strict=True)]
    assert evaluation.evaluate(finished)["accuracy"] == pytest.approx(sum(right) / len(right))


def test_an_exported_network_takes_the_larger_pictures(finished, tmp_path):
    trained = odenet.load_run(finished)
    written = export_run(trained, tmp_path / "net.pt2")
    assert written.input_text == "(batch, 3, 10, 10) uint8 pixels"
    pixels = torch.randint(256, (3, 3, 10, 10), dtype=torch.uint8)
    exported = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(exported(pixels), trained.model(pixels))


def test_training_changes_the_middle():
    pictures = torch.randint(256, (5, 3, 10, 10), dtype=torch.uint8)
    transforms = build_transforms(split(pictures), (3, 8, 8), [WHOLE, CROP, Call("flip")])
    plain = pictures[:, :, 1:9, 1:9] / 255
    draws = (torch.tensor([True, False, True, False, False]),)
    changed = transforms(pictures, draws)
    assert torch.equal(transforms(pictures), plain)
    assert torch.equal(changed[0], plain[0].flip(-1)) and torch.equal(changed[1], plain[1])


def test_beside_a_random_part_training_sees_all_of_the_larger_picture():
    pictures = torch.randint(256, (3, 3, 10, 10), dtype=torch.uint8)
    part = Call("random_resized_crop", (), {"least": 0.1})
    transforms = build_transforms(split(pictures), (3, 8, 8), [WHOLE, part, CROP])
    corners = torch.tensor([[0.8, 0.8, 0, 0], [0.8, 0.8, 0.2, 0.2], [1, 1, 0, 0]])
    first, last, whole = transforms(pictures, (corners,)) * 255
    torch.testing.assert_close(first, pictures[0, :, :8, :8].float())
    torch.testing.assert_close(last, pictures[1, :, 2:, 2:].float())
    scaled = resized_crop(pictures[2], 0, 0, 10, 10, [8, 8], antialias=False)
    assert (whole - scaled).abs().max() <= 1


def test_parts_of_pictures_of_real_numbers_are_not_rounded():
    pictures = torch.rand(2, 1, 6, 6)
    cut = RandomResizedCrop(0.1)(pictures, torch.tensor([[1.0, 1, 0, 0]] * 2))
    torch.testing.assert_close(cut, pictures)


def test_pictures_that_are_not_square_keep_their_proportions():
    pictures = torch.randint(256, (2, 1, 12, 6), dtype=torch.uint8)
    transforms = build_transforms(
        split(pictures), (1, 8, 4), [WHOLE, Call("center_crop", (), {"resize": 6})]
    )
    assert transforms.scaled_shape == (1, 12, 6)
    assert torch.equal(transforms(pictures), pictures[:, :, 2:10, 1:5] / 255)
    said = scaling_note(split(pictures), (1, 16, 8), (1, 8, 4))
    assert said == "pictures of 12 x 6 are scaled to 16 x 8, whose middle is the network's 8 x 4"
    assert scaling_note(split(pictures), (1, 12, 6), (1, 8, 4)) == ""


def test_the_middle_of_pictures_in_labels_of_places_is_refused():
    pictures = torch.zeros(2, 1, 10, 10, dtype=torch.uint8)
    maps = Split(pictures, torch.zeros(2, 10, 10, dtype=torch.uint8))
    with pytest.raises(TrainingError, match=r"center_crop.* would move the places"):
        build_transforms(maps, (1, 8, 8), [CROP])


def test_points_have_no_middle():
    text = SPEC.format("x").replace("input(3, 8, 8)", "input(8)").replace("conv(3)", "dense")
    text = text.replace("conv(3, 4)", "dense(4)").replace(" -> mean", "")
    with pytest.raises(SpecError, match="takes the middle of pictures, and this net takes none"):
        odenet.loads(text)
