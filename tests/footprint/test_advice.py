"""What `odenet.advise` predicts is what training steps take, and it recommends what suits."""

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
from tests.footprint.measured_ways import MODELS

app = typer.Typer()
app.command()(convert)


@pytest.fixture
def one_thread():
    """What convolutions hold while they run depends on how many threads they run on."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_peaks_are_those_that_the_allocator_sees_in_another_process(one_thread):
    child = subprocess.run(
        [sys.executable, "-m", "tests.footprint.measured_ways"],
        capture_output=True, text=True, check=True, env=os.environ | {"KINETO_LOG_LEVEL": "99"},
    )  # fmt: skip
    measured = json.loads(child.stdout)
    for name, make in MODELS.items():
        model, given = make()
        for way in odenet.advise(model, given).ways:
            plain, in_backward = measured.pop(f"{name}, {way.name}", (None, None))
            if plain is None:  # an encoder has nothing beside its layers
                continue
            assert abs(way.peak - plain) <= 0.04 * plain, (name, way)
            assert abs(way.in_backward - in_backward) <= 0.04 * in_backward, (name, way)
    alone = {f"{name}, converted, the rest checkpointed" for name in ("encoder", "patches")}
    assert set(measured) <= alone  # they have no other blocks


def test_a_model_that_conversion_does_not_help_is_told_so():
    advice = odenet.advise(models.resnet18(), torch.empty(8, 3, 64, 64, device="meta"))
    assert advice.way("converted").peak > advice.way("original").peak
    assert advice.recommended.name in ("original", "checkpointed")
    assert "converted saves nothing" in str(advice)
    assert advice.single == ("layer2.1", "layer3.1", "layer4.1")


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        """As every residual block."""
        return x + self.last(torch.tanh(self.first(x)))


def test_where_conversion_saves_most_it_is_recommended():
    model = nn.Sequential(*[Block() for _ in range(24)])
    advice = odenet.advise(model, torch.empty(2000, 16))
    assert advice.recommended.name == "converted"
    assert advice.way("converted").peak < advice.way("checkpointed").peak / 1.1


def test_neither_the_model_nor_the_random_numbers_are_touched():
    model = nn.Sequential(*[Block() for _ in range(2)], nn.BatchNorm1d(16), nn.Dropout()).eval()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    wanted = torch.rand(())
    torch.manual_seed(3)
    odenet.advise(model, torch.empty(2, 16))
    assert torch.rand(()) == wanted
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_batch_that_does_not_fit_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="ResNet does not run on the example"):
        odenet.advise(models.resnet18(), torch.empty(2, 5, 32, 32))


class Often(nn.Module):
    """One block, called again and again, which notes what it gave."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block()])
        self.given = [torch.ones(16)]

    def forward(self, x):
        """Twenty calls."""
        for _ in range(20):
            x = self.blocks[0](x)
        self.given = [x]
        return x


def test_a_checkpoint_is_weighed_where_nothing_can_be_converted():
    model, x = Often(), torch.randn(500, 16)
    model(x)  # what it keeps has a graph
    advice = odenet.advise(model, x)
    assert [way.name for way in advice.ways] == ["original", "checkpointed"]
    assert "called 20 times" in advice.unsuited
    # Of each call the state, or the state and its tanh, both as large as x; and little beside.
    assert advice.recommended.name == "checkpointed"
    assert 20 * x.nbytes < advice.way("checkpointed").peak < 25 * x.nbytes
    assert 40 * x.nbytes < advice.way("original").peak < 45 * x.nbytes
    lone = odenet.advise(nn.Linear(16, 3), x)
    assert str(lone).endswith("recommended: original: no other way was found")


def test_the_optimizer_in_the_backward_pass_has_a_recommendation_of_its_own():
    advice = odenet.advise(nn.Sequential(*[Block() for _ in range(16)]), torch.empty(8, 16))
    assert advice.recommended.name == "original"  # most of it is gradients
    assert advice.recommended_in_backward.name == "converted"
    assert "with the update in the backward pass: converted, " in str(advice)
    assert json.loads(advice.to_json())["recommended_in_backward"] == "converted"


def test_a_checkpoint_does_not_fill_a_cache_twice():
    hf = pytest.importorskip("transformers")
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": 30}
    special = {"bos_token_id": 0, "eos_token_id": 1}
    given = {"input_ids": torch.zeros(2, 16, dtype=torch.long)}
    found = []
    for cached in (True, False):
        model = hf.GPT2LMHeadModel(hf.GPT2Config(**sizes, **special, use_cache=cached))
        found.append(odenet.advise(model, given))
        assert model.config.use_cache is cached
    cached, plain = found
    assert not cached.not_run
    assert cached.way("checkpointed") == plain.way("checkpointed")
    assert cached.way("checkpointed").peak < plain.way("original").peak


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python"])
def test_it_is_said_where_kernels_cannot_be_measured(monkeypatch, executable):
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()), torch.empty(2, 3, 8, 8)
    monkeypatch.setattr(sys, "executable", executable)
    advice = odenet.advise(model, x)
    assert advice.ways and advice.unmeasured
    assert "without what convolutions and batch norms need within: " in str(advice)


class InPlace(Block):
    """Changes what tanh needs in its backward pass."""

    def forward(self, x):
        """A step that cannot be differentiated."""
        return torch.tanh(self.first(x)).mul_(2)


class Masked(Block):
    """Gives as many numbers as are positive."""

    def forward(self, x):
        """Some of them."""
        return super().forward(x)[x > 0]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (InPlace(), "has no backward pass here: .*inplace"),
        (Masked(), "nonzero.* depends on values"),
        (nn.LazyLinear(3), "has lazy layers"),
        (torch.tanh, "a torch.nn.Module is converted, not a builtin"),
    ],
)
def test_what_cannot_be_walked_through_is_refused_in_words(model, said, capfd):
    with pytest.raises(ValueError, match=said):
        odenet.advise(model, torch.empty(4, 16))
    assert not capfd.readouterr().err


def test_the_command_prints_it_and_gives_it_to_programs():
    done = CliRunner().invoke(app, ["resnet18", "--batch", "2", "--size", "32"])
    assert done.exit_code == 0, done.output
    assert "resnet18, pictures of 32x32, batch 2" in done.output
    assert "recommended: original" in done.output
    done = CliRunner().invoke(app, ["alexnet", "--batch", "2", "--size", "64", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [way["name"] for way in found["ways"]] == ["original"]
    assert found["recommended"] == "original" and "nothing can be converted" in found["unsuited"]
