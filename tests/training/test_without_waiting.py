"""No training step waits for a GPU, as far as the device `meta` can show (tests/device_copies.py).

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from odenet.model.tables.recipe import OPTIMIZERS, Call, Recipe
from odenet.training.callbacks.averaging import MovingAverage
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.picture_reader import PictureReader
from odenet.training.data.samples import LabelInfo, Split
from odenet.training.data.transforms import build_transforms
from odenet.training.learning.optim import build_optimizer
from odenet.training.learning.task import Task
from tests.device_copies import DeviceCopies

from . import stub_program
from .train_and_compare import train

META = torch.device("meta")


def moving_average(task, device):
    """A moving average as Lightning sets it up for training on a device."""
    average = MovingAverage(0.9)
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=device))
    average.setup(trainer, task, "fit")
    return average


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_step_with_metrics_a_penalty_and_a_moving_average_waits_for_nothing(name):
    recipe = Recipe(smooth=1e-3, label_smoothing=0.1, ema=0.9)
    with META:
        task = Task(stub_program.Network(10), recipe, LabelInfo(10))
        batch = torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.long)
    optimizer = build_optimizer(task.network, OPTIMIZERS.default(name, lr=0.1))
    average = moving_average(task, META)
    with DeviceCopies() as copies:
        for _ in range(3):
            optimizer.zero_grad()
            task.training_step(batch, 0).backward()
            nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimizer.step()
            average._averaged.update_parameters(task)
        task.validation_step(batch, 0)
    assert copies.descriptions == []


@pytest.mark.parametrize("batch_size", [10, 50])
def test_the_number_of_copies_to_the_device_does_not_depend_on_the_number_of_batches(batch_size):
    images = torch.randint(0, 256, (100, 3, 8, 8), dtype=torch.uint8)
    split = Split(images, torch.zeros(100, dtype=torch.long))
    augment = (Call("pad_crop", (), {"n": 1}), Call("flip"), Call("cutout", (), {"n": 3}))
    transforms = build_transforms(split, (3, 8, 8), augment)
    loader = Batches(split, transforms, BatchPlan(100, batch_size, shuffle=True), META)
    with DeviceCopies() as copies:
        assert sum(len(labels) for _, labels in loader) == 100
    # the order of the samples, the positions in it, and the random numbers of three augmentations
    assert len(copies.descriptions) == 5


def test_batches_on_a_gpu_have_their_channels_innermost(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    split = Split(images, torch.zeros(20, dtype=torch.long))
    transforms = build_transforms(split, (3, 8, 8), (Call("flip"),))
    with FakeTensorMode(allow_non_fake_inputs=True):
        loader = Batches(split, transforms, BatchPlan(20, 10, shuffle=True), torch.device("cuda"))
        for batch, labels in loader:
            assert batch.is_cuda and labels.is_cuda
            assert batch.is_contiguous(memory_format=torch.channels_last)


def test_the_moving_average_is_made_on_the_device_of_training():
    average = moving_average(Task(stub_program.Network(10), Recipe(), LabelInfo(10)), META)
    assert all(p.is_meta for p in average.average.parameters())


def test_the_moving_average_is_torchs_bit_for_bit():
    torch.manual_seed(0)
    task = Task(stub_program.Network(10), Recipe(), LabelInfo(10))
    average = moving_average(task, torch.device("cpu"))
    torch_average = AveragedModel(task, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(4):
        for tensor in (*task.parameters(), *task.buffers()):
            tensor.data.copy_(torch.randn(tensor.shape) * 5)
        average._averaged.update_parameters(task)
        torch_average.update_parameters(task)
    actual, expected = average._averaged.state_dict(), torch_average.state_dict()
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in actual)


@pytest.mark.parametrize(("scaled_and_clipped", "fused"), [(False, True), (True, None)])
def test_on_a_gpu_one_kernel_moves_all_weights(scaled_and_clipped, fused):
    with FakeTensorMode(), torch.device("cuda"):
        network = nn.Linear(3, 3)
        for call in map(OPTIMIZERS.default, ("adam", "adamw")):
            optimizer = build_optimizer(network, call, scaled_and_clipped)
            assert optimizer.defaults["fused"] is fused
            if not fused:
                continue  # other kernels count steps on the host: fake tensors have none there
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter)
            optimizer.step()
            assert optimizer.state[network.weight]["exp_avg"].is_cuda
    assert build_optimizer(nn.Linear(3, 3), call).defaults["fused"] is None


def test_the_processes_that_decode_pictures_are_used_again():
    class ProcessIds:
        """Pictures whose only pixel is the id of the process that reads them."""

        shape, dtype = (1,), torch.int64

        def __getitem__(self, index):
            return torch.tensor([os.getpid()])

    reader = PictureReader(ProcessIds(), workers=1)
    first, second = (
        {int(p) for read in reader.read([[0, 1], [2]]) for p in read.images} for _ in range(2)
    )
    assert first == second and os.getpid() not in first


def test_a_reader_reads_what_is_asked_for_after_it_was_left_in_the_middle():
    class Indices:
        """Pictures whose only pixel is their index."""

        shape, dtype = (1,), torch.int64

        def __getitem__(self, index):
            return torch.tensor([index])

    reader = PictureReader(Indices(), workers=1)
    next(reader.read([[0], [1], [2], [3]]))
    assert [read.images.flatten().tolist() for read in reader.read([[7, 8], [9]])] == [[7, 8], [9]]


def test_tf32_holds_while_a_run_trains_and_no_longer(stub_spec, monkeypatch):
    def tf32_settings():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    settings_seen, forward = set(), stub_program.Network.forward

    def recording_forward(self, x):
        settings_seen.add(tf32_settings())
        return forward(self, x)

    monkeypatch.setattr(stub_program.Network, "forward", recording_forward)
    train(stub_spec, epochs=1, precision="tf32", fraction=0.1)
    assert settings_seen == {("high", True)}
    assert tf32_settings() == ("highest", False)
