"""Batches: augmentations, standardisation, and the samples and order of an epoch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import resized_crop

from odenet.model.tables.recipe import Call
from odenet.training.data.augmentations import Cutout, Flip, PadCrop, RandomResizedCrop
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.data_sets import load_data
from odenet.training.data.picture_folder import load_folder
from odenet.training.data.samples import Split
from odenet.training.data.transforms import (
    build_transforms,
    fit_pictures,
    mismatched_shape,
    pixel_statistics,
)
from odenet.training.errors import TrainingError

CPU = torch.device("cpu")
AUGMENT = (Call("pad_crop", (), {"n": 1}), Call("flip"), Call("cutout", (), {"n": 3}))


@pytest.fixture(scope="module")
def digits():
    return load_data(Call("digits"), (1, 8, 8)).train


def random_pictures(count=6, channels=3, size=(5, 4)):
    """Random pictures without a black pixel, so that blanked pixels can be told from the others."""
    return torch.randint(1, 256, (count, channels, *size), dtype=torch.uint8)


def test_every_image_is_cropped_at_its_own_offset():
    pad_crop, pictures = PadCrop(2), random_pictures()
    offsets = pad_crop.draw(np.random.default_rng(0), len(pictures))
    cropped = pad_crop(pictures, offsets)
    padded = torch.nn.functional.pad(pictures, (2, 2, 2, 2))
    for image, source, (row, column) in zip(cropped, padded, offsets.tolist(), strict=True):
        assert torch.equal(image, source[:, row : row + 5, column : column + 4])
    assert set(PadCrop(2).draw(np.random.default_rng(0), 500).flatten().tolist()) == set(range(5))


def test_the_chosen_images_are_mirrored():
    pictures = random_pictures(2)
    flipped = Flip()(pictures, torch.tensor([True, False]))
    assert torch.equal(flipped[0], pictures[0].flip(-1))
    assert torch.equal(flipped[1], pictures[1])


def test_cutout_blanks_a_square_around_its_centre():
    pictures = random_pictures(1, 2, (8, 8))
    # The centre, as shares of height and width: row 4 and column 0.
    blanked = Cutout(3)(pictures, torch.tensor([[0.5, 0.0]]))
    hidden = torch.zeros(8, 8, dtype=torch.bool)
    hidden[3:6, 0:2] = True
    assert torch.equal(blanked[0, 0] == 0, hidden)


def test_a_part_is_cut_out_and_scaled_as_torchvision_does():
    pictures = random_pictures(3, 3, (12, 8))
    # Height, width, top and left of each part, as shares of the picture.
    parts = torch.tensor([[6 / 12, 4 / 8, 3 / 12, 2 / 8], [9 / 12, 6 / 8, 0, 2 / 8], [1, 1, 0, 0]])
    cropped = RandomResizedCrop(least=0.1)(pictures, parts)
    assert torch.equal(cropped[2], pictures[2])
    for image, source, part in zip(cropped, pictures, parts.tolist(), strict=True):
        height, width, top, left = (round(p * s) for p, s in zip(part, (12, 8, 12, 8), strict=True))
        expected = resized_crop(source, top, left, height, width, [12, 8], antialias=False)
        # Beyond the part's edges torchvision repeats its pixels, and we read those of the picture.
        inner = (slice(None), slice(2, -2), slice(2, -2))
        difference = (image[inner].int() - expected[inner].int()).abs().max()
        assert difference <= 1


def test_random_parts_lie_inside_and_have_the_areas_and_proportions_asked_for():
    height, width, top, left = RandomResizedCrop(least=0.3).draw(np.random.default_rng(0), 2000).T
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 1 + 1e-6
    area, ratio = height * width, height / width
    assert 0.3 - 1e-6 <= area.min() < 0.32 and area.max() > 0.97
    assert 3 / 4 - 1e-6 <= ratio.min() and ratio.max() <= 4 / 3 + 1e-6


@pytest.mark.parametrize(
    ("image_shape", "input_shape"),
    [((1, 8, 8), (3, 8, 8)), ((3, 8, 8), (1, 4, 6)), ((1, 8, 8), (64,))],
)
def test_images_are_fitted_to_the_networks_input(image_shape, input_shape):
    split = Split(random_pictures(10, image_shape[0], image_shape[1:]), torch.zeros(10).long())
    batch = build_transforms(split, input_shape, ())(split.inputs)
    assert batch.shape == (10, *input_shape)
    assert batch.dtype == torch.float32


def test_the_training_split_is_standardised_by_its_own_statistics(digits):
    batch = build_transforms(digits, (1, 8, 8), ())(digits.inputs)
    deviation, mean = torch.std_mean(batch, correction=0)
    assert abs(mean) < 1e-5 and abs(deviation - 1) < 1e-5


def test_statistics_are_per_channel_after_fitting():
    split = Split(random_pictures(50, 3), torch.zeros(50).long())
    pixels = split.inputs.double() / 255
    mean, deviation = pixel_statistics(split, (3, 5, 4))
    torch.testing.assert_close(mean.flatten(), pixels.mean((0, 2, 3)).float())
    torch.testing.assert_close(deviation.flatten(), pixels.std((0, 2, 3), correction=0).float())
    grey, _ = pixel_statistics(split, (1, 5, 4))
    torch.testing.assert_close(
        grey.item(), (fit_pictures(split.inputs, (1, 5, 4)) / 255.0).mean().item()
    )


@pytest.mark.parametrize("over", ["none", "image"])
def test_standardisation_can_be_by_image_or_off(digits, over):
    transforms = build_transforms(digits, (1, 8, 8), (Call("standardise", (), {"over": over}),))
    batch = transforms(digits.inputs[:9])
    if over == "none":
        assert torch.equal(batch, digits.inputs[:9] / 255)
    else:
        assert batch.mean((1, 2, 3)).abs().max() < 1e-6


def test_samples_that_do_not_fit_the_network_are_found(digits):
    # Pictures are flattened to 64 numbers, or scaled to any size.
    assert mismatched_shape(digits, (63,)) == (1, 8, 8)
    assert mismatched_shape(digits, (64,)) is mismatched_shape(digits, (3, 9, 9)) is None
    points = load_data(Call("rings", (), {"n": 20, "noise": 0.0, "rings": 2}), (2,)).train
    with pytest.raises(TrainingError, match="flip changes images"):
        build_transforms(points, (2,), (Call("flip"),))


def training_batches(split, rank=0, world_size=1, epoch=0, batch=100):
    """The augmented batches that a process of a training gets in an epoch."""
    plan = BatchPlan(
        len(split), batch, seed=7, shuffle=True, rank=rank, world_size=world_size, epoch=epoch
    )
    return Batches(split, build_transforms(split, (1, 8, 8), AUGMENT), plan, CPU)


def test_an_epoch_depends_on_seed_and_epoch_alone(digits):
    first, again, other = (
        torch.cat([x for x, _ in training_batches(digits, epoch=e)]) for e in (2, 2, 3)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_epoch_visits_every_sample_at_most_once():
    plan = BatchPlan(250, 100, shuffle=True)
    visited = np.concatenate([plan.order()[positions] for positions in plan.positions()])
    assert len(visited) == len(set(visited)) == 200  # the incomplete last batch is left out


def test_an_epoch_can_go_through_few_samples_many_times():
    plan = BatchPlan(30, 50, shuffle=True, repeat=5)
    assert len(plan) == 3
    order = plan.order()
    assert np.bincount(order).tolist() == [5] * 30
    assert sorted(order[:30]) == sorted(order[30:60]) == list(range(30))
    assert order[:30].tolist() != order[30:60].tolist()


def test_evaluation_visits_every_sample_in_order():
    plan = BatchPlan(250, 100)
    assert np.concatenate(list(plan.positions())).tolist() == list(range(250))


def test_processes_together_see_the_batches_of_one(digits):
    of_one_process = list(training_batches(digits))
    of_two_processes = zip(*(training_batches(digits, rank, 2) for rank in range(2)), strict=True)
    for (x, y), ((x0, y0), (x1, y1)) in zip(of_one_process, of_two_processes, strict=True):
        assert torch.equal(x, torch.stack((x0, x1), 1).flatten(0, 1))
        assert torch.equal(y, torch.stack((y0, y1), 1).flatten())


def test_an_epoch_goes_on_where_it_was_stopped(digits):
    interrupted = training_batches(digits)
    iterator = iter(interrupted)
    for _ in range(5):
        next(iterator)
    resumed = training_batches(digits)
    resumed.load_state_dict(interrupted.state_dict())
    remaining, expected = list(resumed), list(training_batches(digits))[5:]
    assert len(remaining) == len(expected) == 9  # of 14 batches
    assert all(torch.equal(a[0], b[0]) for a, b in zip(remaining, expected, strict=True))
    assert len(list(resumed)) == 14


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_on_disk_give_the_batches_of_pictures_in_memory(tmp_path, workers):
    rng = np.random.default_rng(0)
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for number in range(10):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    in_memory, on_disk = (
        load_folder(str(tmp_path), (1, 8, 8), in_memory=max_bytes).train for max_bytes in (10**9, 0)
    )
    expected = list(training_batches(in_memory, batch=4))
    plan = BatchPlan(len(on_disk), 4, seed=7, shuffle=True)
    streamed = Batches(on_disk, build_transforms(on_disk, (1, 8, 8), AUGMENT), plan, CPU, workers)
    for (x, y), (expected_x, expected_y) in zip(streamed, expected, strict=True):
        assert torch.equal(x, expected_x) and torch.equal(y, expected_y)


def test_a_damaged_picture_on_disk_is_skipped_and_named(tmp_path):
    for picture in (f"{name}/{number}.png" for name in ("ants", "bees") for number in range(6)):
        (tmp_path / picture).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / picture)
    split = load_folder(str(tmp_path), (1, 8, 8), in_memory=0).train
    (tmp_path / "ants" / "3.png").write_bytes(b"broken")
    loader = Batches(split, build_transforms(split, (1, 8, 8), ()), BatchPlan(len(split), 2), CPU)
    assert sum(len(x) for x, _ in loader) == len(split) - 1
    assert [line.split(":")[0][-10:] for line in loader.damaged] == ["ants/3.png"]
