"""`odenet.advise` predicts what training steps take, and recommends the way that suits.

The oracle is the allocator, in another process: `measure_peaks.py`.
"""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
import typer
from torch import nn
from torchvision import models
from typer.testing import CliRunner

import odenet
from odenet.cli.converting import convert
from tests.footprint.measure_peaks import MODELS

app = typer.Typer()
app.command()(convert)


@pytest.fixture
def one_thread():
    """Run torch on one thread: the memory that convolutions take depends on how many there are."""
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)


def test_peaks_are_those_that_the_allocator_sees_in_another_process(one_thread):
    process = subprocess.run(
        [sys.executable, "-m", "tests.footprint.measure_peaks"],
        env=os.environ | {"KINETO_LOG_LEVEL": "99"},  # torch's profiler logs nothing
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    measured = json.loads(process.stdout)
    for name, build in MODELS.items():
        model, inputs = build()
        for way in odenet.advise(model, inputs).ways:
            plain_peak, in_backward_peak = measured.pop(f"{name}, {way.name}")
            assert abs(way.peak - plain_peak) <= 0.04 * plain_peak, (name, way)
            assert abs(way.in_backward - in_backward_peak) <= 0.04 * in_backward_peak, (name, way)
    # All of the encoder is converted: there is no rest.
    assert set(measured) == {"encoder, converted, the rest checkpointed"}


def test_advice_says_where_conversion_saves_nothing():
    advice = odenet.advise(models.resnet18(), torch.empty(8, 3, 64, 64, device="meta"))
    assert advice.way("converted").peak > advice.way("original").peak
    assert advice.recommended.name in ("original", "checkpointed")
    assert "converted saves nothing" in str(advice)
    # Each of these becomes a flow of one step: the other block of its stage changes the shape.
    assert advice.single == ("layer2.1", "layer3.1", "layer4.1")


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        """x + f(x)."""
        return x + self.last(torch.tanh(self.first(x)))


def test_conversion_is_recommended_where_it_saves_most():
    model = nn.Sequential(*[Block() for _ in range(24)])
    advice = odenet.advise(model, torch.empty(2000, 16))
    assert advice.recommended.name == "converted"
    # By more than a tenth: within a tenth the simpler way is recommended.
    assert advice.way("converted").peak < advice.way("checkpointed").peak / 1.1


def test_neither_the_model_nor_the_random_state_is_changed():
    model = nn.Sequential(*[Block() for _ in range(2)], nn.BatchNorm1d(16), nn.Dropout()).eval()
    state = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    odenet.advise(model, torch.empty(2, 16))
    assert torch.rand(()) == expected
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_a_batch_that_does_not_fit_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="ResNet does not run on the example"):
        odenet.advise(models.resnet18(), torch.empty(2, 5, 32, 32))


class RepeatedBlock(nn.Module):
    """Calls one block twenty times, and keeps its output."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block()])
        self.outputs = [torch.ones(16)]

    def forward(self, x):
        """The output of the last call."""
        for _ in range(20):
            x = self.blocks[0](x)
        self.outputs = [x]
        return x


def test_checkpointing_is_considered_where_nothing_can_be_converted():
    model, x = RepeatedBlock(), torch.randn(500, 16)
    model(x)  # now the output that it keeps has an autograd graph
    advice = odenet.advise(model, x)
    assert [way.name for way in advice.ways] == ["original", "checkpointed"]
    assert "called 20 times" in advice.unsuited
    # Checkpointing keeps the input of each call, the original its tanh as well, both of the size
    # of x, and little else.
    assert advice.recommended.name == "checkpointed"
    assert 20 * x.nbytes < advice.way("checkpointed").peak < 25 * x.nbytes
    assert 40 * x.nbytes < advice.way("original").peak < 45 * x.nbytes
    single_layer = odenet.advise(nn.Linear(16, 3), x)
    assert str(single_layer).endswith("recommended: original: no other way was found")


def test_with_the_optimizer_in_the_backward_pass_another_way_may_be_recommended():
    advice = odenet.advise(nn.Sequential(*[Block() for _ in range(16)]), torch.empty(8, 16))
    assert advice.recommended.name == "original"  # most of the memory is that of gradients
    assert advice.recommended_in_backward.name == "converted"
    assert "with the update in the backward pass: converted, " in str(advice)
    assert json.loads(advice.to_json())["recommended_in_backward"] == "converted"


def test_checkpointing_does_not_fill_a_key_value_cache_twice():
    transformers = pytest.importorskip("transformers")
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": 30}
    special_tokens = {"bos_token_id": 0, "eos_token_id": 1}
    inputs = {"input_ids": torch.zeros(2, 16, dtype=torch.long)}
    advices = []
    for use_cache in (True, False):
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(**sizes, **special_tokens, use_cache=use_cache)
        )
        advices.append(odenet.advise(model, inputs))
        assert model.config.use_cache is use_cache
    cached, plain = advices
    assert not cached.not_run
    assert cached.way("checkpointed") == plain.way("checkpointed")
    assert cached.way("checkpointed").peak < plain.way("original").peak


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python"])
def test_advice_says_that_kernels_could_not_be_measured(monkeypatch, executable):
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()), torch.empty(2, 3, 8, 8)
    monkeypatch.setattr(sys, "executable", executable)
    advice = odenet.advise(model, x)
    assert advice.ways and advice.unmeasured
    assert "without what convolutions and batch norms need within: " in str(advice)


class InPlace(Block):
    """A block that overwrites what tanh needs in its backward pass."""

    def forward(self, x):
        """A value whose gradient cannot be computed."""
        return torch.tanh(self.first(x)).mul_(2)


class Masked(Block):
    """A block whose output has a shape that depends on values."""

    def forward(self, x):
        """The numbers where x is positive."""
        return super().forward(x)[x > 0]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (InPlace(), "has no backward pass here: .*inplace"),
        (Masked(), "nonzero.* depends on values"),
        (nn.LazyLinear(3), "has lazy layers"),
        (torch.tanh, "convert takes a torch.nn.Module, not a builtin"),
    ],
)
def test_a_model_whose_training_step_cannot_be_simulated_is_refused_with_the_reason(
    model, message, capfd
):
    with pytest.raises(ValueError, match=message):
        odenet.advise(model, torch.empty(4, 16))
    assert not capfd.readouterr().err


def test_the_command_prints_the_advice_as_text_or_json():
    result = CliRunner().invoke(app, ["resnet18", "--batch", "2", "--size", "32"])
    assert result.exit_code == 0, result.output
    assert "resnet18, pictures of 32x32, batch 2" in result.output
    assert "recommended: original" in result.output
    result = CliRunner().invoke(app, ["alexnet", "--batch", "2", "--size", "64", "--json"])
    assert result.exit_code == 0, result.output
    advice = json.loads(result.output)
    assert [way["name"] for way in advice["ways"]] == ["original"]
    assert advice["recommended"] == "original" and "nothing can be converted" in advice["unsuited"]
