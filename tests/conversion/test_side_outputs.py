"""Side outputs of blocks: what a block gives beside its value, for the blocks after it.

`convert` evaluates the blocks once to find out how side outputs are computed. A converted model
refuses a call in which they turn out to be something else, and never computes wrong numbers.
"""

import pytest
import torch
from torch import nn

from odenet.conversion import convert

pytestmark = pytest.mark.filterwarnings("ignore:the converted model is not reversible")

CHANGING_SIDE_OUTPUTS = {  # functions `give` of a `Layer`
    "in training only": lambda layer, x, y, side: (y, layer.table if layer.training else None),
    "a tuple in training only": lambda layer, x, y, side: (
        (y, layer.table) if layer.training else y
    ),
    "a number computed from the state": lambda layer, x, y, side: (y, y.detach().abs().mean().item()),
    "different for larger batches": lambda layer, x, y, side: (
        y, layer.table * (1 if len(x) < 3 else x.mean()) if side is None else side,
    ),
    "rarely, at random": lambda layer, x, y, side: (
        y, layer.table * (torch.rand(()) >= 0.2 * layer.training) if side is None else side,
    ),
}  # fmt: skip


class Layer(nn.Module):
    """x + f(x, side), and a side output; `give` makes both the result of the call.

    Side outputs are made of the parameter `table`; the buffer `count` counts the calls.
    """

    def __init__(self, index, give):
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)
        self.table = nn.Parameter(torch.randn(4, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.index, self.give = index, give

    def forward(self, x, side=None):
        """The value and a side output, in the form that `give` chooses."""
        self.count += 1
        y = x + torch.tanh(self.linear(x) + (0 if side is None else side))
        return self.give(self, x, y, side)


class Layers(nn.Module):
    """Calls its layers in turn, and hands the side output of each to the next.

    Args:
        give: makes the result of each `Layer`, see there.
        factor: scales the side output of layer 0 in place, where it is given.
        autocast_index: the layer that is called under autocast, if any.
    """

    def __init__(self, give, factor=None, autocast_index=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Layer(index, give) for index in range(4)])
        self.factor, self.autocast_index = factor, autocast_index

    def forward(self, x):
        """The value that the last layer gives."""
        side = None
        for layer in self.layers:
            with torch.autocast("cpu", torch.bfloat16, layer.index == self.autocast_index):
                result = layer(x, side)
            x, side = result if isinstance(result, tuple) else (result, None)
            if self.factor is not None and layer.index == 0:
                side.mul_(self.factor)
        return x


def batch(size):
    return torch.randn(size, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def made_by_first(layer, x, y, side):
    """Gives a side output that the first layer makes, and the others hand on."""
    return y, layer.table * 2 if side is None else side


@pytest.mark.parametrize("kind", CHANGING_SIDE_OUTPUTS)
def test_a_side_output_that_changes_after_conversion_is_refused(kind):
    original = Layers(CHANGING_SIDE_OUTPUTS[kind])
    model = convert(original, gamma=0, example=batch(2)).train()
    with pytest.raises(RuntimeError, match=r"beside its value"):
        for seed, size in enumerate((2, 3, *[2] * 40)):  # many, for the one that changes rarely
            torch.manual_seed(seed)
            expected = original(batch(size))
            torch.manual_seed(seed)
            assert torch.equal(model(batch(size)), expected)


def made_by_second(layer, x, y, side):
    """Gives a side output that the second layer makes, and the first one does not."""
    return y, layer.table if layer.index == 1 else side


@pytest.mark.parametrize("give", [made_by_first, made_by_second])
def test_a_side_output_of_parameters_alone_is_handed_on_and_each_call_counted_once(give):
    original = Layers(give)
    model = convert(original, gamma=0, example=batch(2)).train()
    assert [int(layer.count) for layer in original.layers] == [0] * 4
    for _ in range(2):
        assert torch.equal(model(batch(2)), Layers(give)(batch(2)))
    assert [int(layer.count) for layer in model.layers] == [2] * 4


def test_a_side_output_that_is_changed_in_place_between_blocks_is_refused():
    model = convert(Layers(made_by_first, factor=0.5), gamma=0, example=batch(2))
    with pytest.raises(RuntimeError, match="beside its value"):
        model(batch(2))


def test_autocast_around_one_of_the_blocks_is_refused():
    model = convert(Layers(made_by_first, autocast_index=0), gamma=0, example=batch(2))
    with pytest.raises(
        RuntimeError, match="autocast has changed between the call of the first block"
    ):
        model(batch(2))


def test_a_converted_model_runs_on_a_device_without_autocast():
    model = convert(Layers(lambda layer, x, y, side: y), gamma=0.9, example=batch(2)).to("meta")
    assert model(batch(2).to("meta")).shape == (2, 4)
