"""Blocks that give in a call what was not found when they were asked are refused, never wrong."""

import pytest
import torch
from torch import nn

from odenet.conversion import convert

pytestmark = pytest.mark.filterwarnings("ignore:the converted model is not reversible")

DEPENDS = {
    "in training only": lambda layer, x, y, side: (y, layer.table if layer.training else None),
    "a tuple in training only": lambda layer, x, y, side: (
        (y, layer.table) if layer.training else y
    ),
    "a number of the state": lambda layer, x, y, side: (y, y.detach().abs().mean().item()),
    "by the shape": lambda layer, x, y, side: (
        y, layer.table * (1 if len(x) < 3 else x.mean()) if side is None else side,
    ),
    "at random, rarely": lambda layer, x, y, side: (
        y, layer.table * (torch.rand(()) >= 0.2 * layer.training) if side is None else side,
    ),
}  # fmt: skip


class Layer(nn.Module):
    """Adds what the layer before it gave beside its value."""

    def __init__(self, index, make):
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)
        self.table = nn.Parameter(torch.randn(4, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.index, self.make = index, make

    def forward(self, x, side=None):
        """x + f(x), and something."""
        self.count += 1
        y = x + torch.tanh(self.linear(x) + (0 if side is None else side))
        return self.make(self, x, y, side)


class Layers(nn.Module):
    """Hands on what its layers give; changes it in place where it is told to."""

    def __init__(self, make, factor=None, autocast=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Layer(index, make) for index in range(4)])
        self.factor, self.autocast = factor, autocast

    def forward(self, x):
        """The last value."""
        side = None
        for layer in self.layers:
            with torch.autocast("cpu", torch.bfloat16, layer.index == self.autocast):
                given = layer(x, side)
            x, side = given if isinstance(given, tuple) else (given, None)
            if self.factor is not None and layer.index == 0:
                side.mul_(self.factor)
        return x


def batch(size):
    return torch.randn(size, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def first_only(layer, x, y, side):
    """What may be handed on."""
    return y, layer.table * 2 if side is None else side


@pytest.mark.parametrize("kind", DEPENDS)
def test_what_was_not_so_when_it_was_asked_is_refused_by_name(kind):
    original = Layers(DEPENDS[kind])
    model = convert(original, gamma=0, example=batch(2)).train()
    with pytest.raises(RuntimeError, match=r"beside its value"):
        for seed, size in enumerate((2, 3, *[2] * 40)):
            torch.manual_seed(seed)
            expected = original(batch(size))
            torch.manual_seed(seed)
            assert torch.equal(model(batch(size)), expected)


def second_only(layer, x, y, side):
    """The same of a later layer, while those before it give nothing."""
    return y, layer.table if layer.index == 1 else side


@pytest.mark.parametrize("make", [first_only, second_only])
def test_what_may_be_handed_on_is_right_and_counts_once(make):
    original = Layers(make)
    model = convert(original, gamma=0, example=batch(2)).train()
    assert [int(layer.count) for layer in original.layers] == [0] * 4
    for _ in range(2):
        assert torch.equal(model(batch(2)), Layers(make)(batch(2)))
    assert [int(layer.count) for layer in model.layers] == [2] * 4


def test_a_change_in_place_between_the_blocks_is_refused():
    model = convert(Layers(first_only, factor=0.5), gamma=0, example=batch(2))
    with pytest.raises(RuntimeError, match="beside its value"):
        model(batch(2))


def test_autocast_around_one_of_the_blocks_is_refused():
    model = convert(Layers(first_only, autocast=0), gamma=0, example=batch(2))
    with pytest.raises(RuntimeError, match="autocast was another where the first block"):
        model(batch(2))


def test_a_converted_model_runs_where_there_is_no_autocast():
    model = convert(Layers(lambda layer, x, y, side: y), gamma=0.9, example=batch(2)).to("meta")
    assert model(batch(2).to("meta")).shape == (2, 4)
