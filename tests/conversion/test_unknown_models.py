"""Models of no known library: their blocks are found by a path, or by a run on an example.

The oracle is the momentum iteration over the blocks, on plain autograd.
"""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from odenet.conversion import convert
from tests.conversion.oracles import assert_all_close


class Block(nn.Module):
    """A block with unusual calls: its value in a tuple, and further inputs that differ by layer."""

    def __init__(self, width):
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, hidden, gate, scale=1.0):
        return hidden + torch.tanh(self.map(hidden)) * gate * scale, hidden.mean()


class UnknownModel(nn.Module):
    """Calls its layers with further inputs; may add up their side outputs, or stop early."""

    def __init__(self, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(Block(6) for _ in range(depth))
        self.gates = nn.Parameter(torch.rand(depth, 6))
        self.head = nn.Linear(6, 2)
        self.layer_count = depth
        self.reads_side_outputs = False

    def forward(self, x, gate):
        side_sum = 0
        for number, layer in enumerate(self.layers[: self.layer_count]):
            x, mean = layer(hidden=x, gate=gate * self.gates[number], scale=0.5)
            side_sum = side_sum + mean if self.reads_side_outputs else side_sum
        return self.head(x) + side_sum


def unknown_model():
    """A model of no known library, with its input and a gate that the blocks take besides."""
    torch.manual_seed(0)
    model = UnknownModel().double()
    return model, torch.randn(3, 6).double(), torch.rand(3, 6).double().requires_grad_()


@pytest.mark.parametrize("found_by", [{"blocks": "layers"}, {"blocks": "lay*"}, {}])
def test_an_unknown_model_is_converted_by_path_or_example(found_by):
    model, x, gate = unknown_model()
    converted = convert(model, gamma=0.7, **(found_by or {"example": (x, gate)}))
    inputs = [gate, *model.parameters()]
    actual = converted(x, gate)
    y, v = x, 0
    for number, layer in enumerate(model.layers):
        v = 0.7 * v + 0.3 * (layer(y, gate * model.gates[number], 0.5)[0] - y)
        y = y + v
    expected = model.head(y)
    torch.testing.assert_close(actual, expected)
    assert_all_close(
        torch.autograd.grad(actual.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    )


def test_reading_a_value_that_a_flow_does_not_give_is_refused():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers")
    converted.reads_side_outputs = True
    with pytest.raises(RuntimeError, match="add reads what a block gives beside its value"):
        converted(x, gate)
    converted.reads_side_outputs, converted.layer_count = False, 3
    with pytest.raises(RuntimeError, match="linear reads the value after block 3 of 4"):
        converted(x, gate)


def test_appending_a_layer_is_refused_and_a_replaced_layer_becomes_the_step():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers", gamma=0.7)
    with pytest.raises(RuntimeError, match="blocks were added to or removed from this Layers"):
        converted.layers.append(Block(6))
    converted.layers[1] = Block(6).double()
    assert converted.layers[1].block_class is Block
    model.layers[1] = Block(6).double()
    model.layers[1].load_state_dict(converted.layers[1].state_dict())
    expected = convert(model, blocks="layers", gamma=0.7)
    torch.testing.assert_close(converted(x, gate), expected(x, gate))
    copied = copy.deepcopy(converted)
    assert copied.layers[0].flow_of_step is copied.layers.flows[0]
    torch.testing.assert_close(copied(x, gate), expected(x, gate))


def test_a_checkpoint_around_the_whole_model_keeps_its_gradients():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers", gamma=0.7)
    inputs = [gate, *converted.parameters()]
    expected = torch.autograd.grad(converted(x, gate).sum(), inputs)
    out = checkpoint(converted, x, gate, use_reentrant=False)
    assert_all_close(torch.autograd.grad(out.sum(), inputs), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own
def test_compiling_a_converted_model_does_not_change_its_gradients():
    model, x, gate = unknown_model()
    converted = convert(model, blocks="layers", gamma=0.7)
    compiled = torch.compile(converted, backend="eager")
    inputs = [gate, *converted.parameters()]
    assert_all_close(
        torch.autograd.grad(compiled(x, gate).sum(), inputs),
        torch.autograd.grad(converted(x, gate).sum(), inputs),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": "model.h"}, "UnknownModel has no module at 'model.h'"),
        ({"blocks": "head"}, "head is a Linear without children"),
        ({}, r"UnknownModel does not run on an input that could be made up.*example=…"),
        ({"example": torch.ones(2, 6)}, "UnknownModel does not run on the example"),
    ],
)
def test_blocks_or_an_example_that_cannot_be_found_are_asked_for(options, message):
    with pytest.raises(ValueError, match=message):
        convert(unknown_model()[0], **options)


def test_an_example_is_asked_for_where_a_configuration_says_too_little():
    class Config:
        vocab_size, image_size = None, "large"
        to_dict = get_text_config = lambda self: self

    model = unknown_model()[0]
    model.config, model.main_input_name = Config(), "input_ids"
    with pytest.raises(
        ValueError, match="UnknownModel does not run on an input that could be made up"
    ):
        convert(model)


def test_a_converted_model_is_not_converted_again():
    converted = convert(unknown_model()[0], blocks="layers")
    with pytest.raises(ValueError, match="this UnknownModel is converted already"):
        convert(converted, blocks="layers")


class ChildrenInTurn(nn.Module):
    """Two children that the model calls in turn, without a list of them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(2))

    def forward(self, x):
        for child in self.children():
            x = x + child(x) if isinstance(child, nn.Sequential) else child(x)
        return x


class BlocksInTurn(ChildrenInTurn):
    """The same, with children that are residual blocks themselves."""

    def __init__(self):
        nn.Module.__init__(self)
        self.first, self.second = ChildrenInTurn(), ChildrenInTurn()


@pytest.mark.parametrize(
    "copy_model",
    [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
    ids=["deepcopy", "pickle"],
)
def test_children_that_are_called_in_turn_become_a_flow_that_is_copied_and_pickled(copy_model):
    torch.manual_seed(0)
    model, x = BlocksInTurn().double(), torch.randn(3, 6).double()
    converted = convert(model, gamma=0.7)
    assert isinstance(converted, BlocksInTurn) and [n for n, _ in converted.named_children()] == [
        "first",
        "second",
    ]
    v = 0.3 * (model.first(x) - x)
    y = x + v
    expected = y + 0.7 * v + 0.3 * (model.second(y) - y)
    torch.testing.assert_close(copy_model(converted)(x), expected)
    converted.float()(x.float()).sum().backward()
    assert all(p.dtype == torch.float32 and p.grad is not None for p in converted.parameters())
