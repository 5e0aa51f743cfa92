"""Augmentations of torchvision: what they do, and that they depend on seed and epoch alone.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import re
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn import functional as F
from torchvision.transforms import v2

import odenet
from odenet.diagnostics import SpecError
from odenet.model.tables.recipe import AUGMENTATIONS, Call
from odenet.training.callbacks.stopping import Stopped
from odenet.training.data.samples import LabelInfo, Split
from odenet.training.data.transforms import build_transforms
from odenet.training.errors import TrainingError
from odenet.training.learning.losses import objective_of
from odenet.training.runs import run

from . import specs
from .test_resume import stop_at_step
from .train_and_compare import assert_same_run, train

JITTER = Call(
    "color_jitter", (), {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
)
RANDAUGMENT = Call("randaugment", (), {"n": 2, "m": 9})
MIXUP, CUTMIX = (Call(name, (), {"alpha": 1.0}) for name in ("mixup", "cutmix"))
RAW_PIXELS = Call("standardise", (), {"over": "none"})
LABELS = torch.arange(6) % 3


def random_pictures(channels=3):
    """Six random pictures, the same at every call."""
    return torch.randint(0, 256, (6, channels, 8, 8), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(0))  # fmt: skip


def augmented_batch(*augment, epoch=0, channels=3, chosen=slice(None)):
    """Random pictures and LABELS, augmented with the random numbers of an epoch; gives both.

    `chosen` selects the samples of the batch.
    """
    inputs = random_pictures(channels)
    transforms = build_transforms(
        Split(inputs, LABELS), (channels, 8, 8), [*augment, RAW_PIXELS], classes=3
    )
    draws = tuple(
        numbers[chosen] for numbers in transforms.draw(seed=7, epoch=epoch, count=len(inputs))
    )
    return transforms.with_labels(inputs[chosen], LABELS[chosen], draws)


@pytest.mark.parametrize("augment", [JITTER, RANDAUGMENT], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_change_by_seed_and_epoch_alone(augment, channels):
    torch.manual_seed(1)
    random_state = torch.get_rng_state()
    first, labels = augmented_batch(augment, channels=channels)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not torch.equal(first, random_pictures(channels) / 255) and torch.equal(labels, LABELS)
    torch.manual_seed(2)
    again, _ = augmented_batch(augment, channels=channels)
    single, _ = augmented_batch(augment, channels=channels, chosen=slice(4, 5))
    assert torch.equal(first, again) and torch.equal(first[4:5], single)
    assert not torch.equal(augmented_batch(augment, epoch=1, channels=channels)[0], first)


def test_torchvision_gets_the_arguments_of_the_spec():
    transforms = build_transforms(
        Split(random_pictures(), LABELS), (3, 8, 8), [JITTER, RANDAUGMENT]
    )
    jitter, randaugment = (step.transform for step in transforms.augmentations)
    assert (jitter.brightness, jitter.hue) == ((0.6, 1.4), (-0.1, 0.1))
    assert isinstance(randaugment, v2.RandAugment)
    assert (randaugment.num_ops, randaugment.magnitude) == (2, 9)


def test_mixup_is_a_weighted_sum_of_neighbours_and_of_their_classes():
    mixed, shares = augmented_batch(MIXUP)
    plain = random_pictures() / 255
    share = shares[0, 0]
    assert 0 < share < 1
    torch.testing.assert_close(mixed, share * plain + (1 - share) * plain.roll(1, 0))
    one_hot = F.one_hot(LABELS, 3)
    torch.testing.assert_close(shares, share * one_hot + (1 - share) * one_hot.roll(1, 0))


def test_cutmix_takes_a_box_from_the_neighbour():
    mixed, shares = augmented_batch(CUTMIX, epoch=2)
    plain = random_pictures() / 255
    from_neighbour = (mixed != plain).any(1)
    assert torch.equal(mixed, torch.where(from_neighbour[:, None], plain.roll(1, 0), plain))
    torch.testing.assert_close(1 - shares[0, 0], from_neighbour[0].float().mean())


def test_with_mixup_and_cutmix_each_batch_uses_one_of_them():
    kinds = set()
    for epoch in range(8):
        mixed, shares = augmented_batch(MIXUP, CUTMIX, epoch=epoch)
        plain = random_pictures() / 255
        is_copied = (mixed == plain) | (mixed == plain.roll(1, 0))
        kinds.add("cutmix" if is_copied.all() else "mixup")
        torch.testing.assert_close(shares.sum(1), torch.ones(6))
    assert kinds == {"mixup", "cutmix"}


def test_the_loss_of_mixed_classes_is_the_mixture_of_losses(tmp_path):
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(3), "label_smoothing = 0.1")
    objective = objective_of(odenet.load(spec).recipe, LabelInfo(3))
    output = torch.randn(6, 3, dtype=torch.float64)
    shares = 0.3 * F.one_hot(LABELS, 3) + 0.7 * F.one_hot(LABELS.roll(1), 3)
    expected = sum(weight * objective.training_loss(output, labels)
                   for weight, labels in ((0.3, LABELS), (0.7, LABELS.roll(1))))  # fmt: skip
    torch.testing.assert_close(objective.training_loss(output, shares), expected)
    # Metrics take the class with the larger share.
    assert torch.equal(objective.metric_inputs(output, shares)[1], LABELS.roll(1))


@pytest.mark.parametrize("loss", ["bce", "mse", "huber", "next_token", "likelihood"])
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_losses_that_cannot_take_mixed_classes_refuse_them(tmp_path, loss, name):
    spec = specs.write(
        tmp_path, specs.CLASS_MAP_NET.format(3), f"loss = {loss}", f"augment = [{name}]"
    )
    with pytest.raises(SpecError, match=f"{name} mixes classes, and loss = {loss} has none"):
        odenet.load(spec)


@pytest.mark.parametrize("augment", [JITTER, RANDAUGMENT], ids=str)
def test_colours_are_changed_only_in_pictures_of_bytes_with_1_or_3_channels(augment):
    with pytest.raises(TrainingError, match="and these are of real numbers"):
        build_transforms(Split(torch.rand(6, 3, 8, 8), LABELS), (3, 8, 8), [augment])
    with pytest.raises(TrainingError, match="and these are with 4 channels"):
        build_transforms(Split(random_pictures(4), LABELS), (4, 8, 8), [augment])


def test_class_maps_allow_changes_of_colour_but_neither_moving_nor_mixing():
    with_class_maps = Split(random_pictures(), torch.zeros(6, 8, 8).long())
    assert build_transforms(with_class_maps, (3, 8, 8), [JITTER]).augmentations
    for augment in (RANDAUGMENT, MIXUP):
        with pytest.raises(TrainingError, match="would move the places"):
            build_transforms(with_class_maps, (3, 8, 8), [augment])


def test_a_stopped_run_with_all_augmentations_resumes_bit_for_bit(stub_spec, monkeypatch):
    settings = {"augment": "[flip, color_jitter, randaugment(1, 5), mixup, cutmix(0.5)]"}
    train(stub_spec, "uninterrupted", epochs=2, **settings)
    with monkeypatch.context() as patch:
        stop_at_step(patch, 3, signal.SIGTERM)
        with pytest.raises(Stopped):
            train(stub_spec, "run", epochs=2, **settings)
    run.resume("run", console=Console(quiet=True))
    assert_same_run("run", "uninterrupted")


def test_every_augmentation_is_in_the_documentation_with_its_defaults():
    text = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    for name, arguments in AUGMENTATIONS.forms.items():
        (row,) = re.findall(rf"^\| `({name}\b[^`]*)`", text, re.MULTILINE)
        for argument, parameter in arguments.items():
            default = "" if parameter.default is None else f" = {parameter.default}"
            assert f"{argument}{default}" in row, (name, argument)
