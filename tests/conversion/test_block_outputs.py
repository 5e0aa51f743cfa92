"""Blocks that give their value in a list, a tuple, a named tuple or alone, with side outputs.

The oracle is the momentum iteration over the blocks' values, on plain autograd.
"""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from odenet.conversion import convert, find_blocks
from odenet.runtime import Ramp
from tests.conversion.oracles import momentum


class NamedResult(NamedTuple):
    value: torch.Tensor
    scores: torch.Tensor | None = None


RESULT_FORMS = {  # how a block returns its value y
    "list": lambda y: [y, y.sum()],
    "tuple": lambda y: (y, None, 3),
    "named": NamedResult,
    "tensor": lambda y: y,
}


class BlockOfForm(nn.Module):
    """Returns x + f(x) in one of the forms above or, on demand, in a tuple of one entry."""

    def __init__(self, form):
        super().__init__()
        self.linear, self.form = nn.Linear(4, 4, dtype=torch.float64), form

    def forward(self, x, size=None, only_value=False):
        assert size is None or type(size) is torch.Size  # not a tuple of its numbers
        y = x + torch.tanh(self.linear(x))
        return (y,) if only_value else RESULT_FORMS[self.form](y)


class FormCheckingModel(nn.Module):
    """Calls its blocks in turn, and checks that each gives its result in the original's form."""

    def __init__(self, *forms):
        super().__init__()
        self.blocks = nn.ModuleList(map(BlockOfForm, forms))

    def forward(self, x, only_value=False):
        for block in self.blocks:
            result = block(x, size=x.shape[1:], only_value=only_value)
            if only_value:
                (x,) = result
                continue
            expected = RESULT_FORMS[block.form](torch.zeros(()))
            assert type(result) is type(expected) or block.form == "tensor"
            x = result if block.form == "tensor" else result[0]
            assert block.form != "named" or result.value is x
            assert block.form != "tuple" or result[1:] == (None, 3)
        return x


def value_of(block):
    """The block as a function that gives its value alone."""
    return lambda x: block(x, only_value=True)[0]


@pytest.mark.parametrize(
    "forms", [("list",) * 3, ("named",) * 2, ("tuple", "tensor"), ("tensor", "list", "named")]
)
def test_each_block_of_a_flow_gives_its_value_in_the_form_of_the_original(forms):
    torch.manual_seed(0)
    model, x = FormCheckingModel(*forms), torch.randn(2, 4, dtype=torch.float64)
    # A ramp starts with γ = 0, which is the original network.
    assert torch.equal(convert(model, gamma=Ramp(0, 0.9, steps=9), example=x)(x), model(x))
    converted = convert(model, gamma=0.7, example=x)
    expected = momentum([value_of(block) for block in model.blocks], x, 0.7)
    for only_value in (False, True, False):
        actual = converted(x, only_value)
        torch.testing.assert_close(actual, expected)
        parameters = list(model.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(actual.square().sum(), parameters),
            torch.autograd.grad(expected.square().sum(), parameters, retain_graph=True),
        )


class Residual(nn.Module):
    """Returns x + f(x) alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)

    def forward(self, x):
        y = torch.tanh(self.linear(x))
        return x + y


class KeywordOnly(Residual):
    def forward(self, *, x):
        return super().forward(x)


class WithPenalty(Residual):
    """Returns a loss of its value, too."""

    def forward(self, x):
        y = super().forward(x)
        return y, y.square().mean()


class Loop(nn.Module):
    """Calls three blocks by the function `call`, and adds up the side outputs."""

    def __init__(self, block_class, call):
        super().__init__()
        self.blocks, self.call = nn.ModuleList(block_class() for _ in range(3)), call

    def forward(self, x):
        penalty = 0
        for block in self.blocks:
            y = self.call(block, x)
            x, side_output = y if isinstance(y, tuple) else (y, 0)
            penalty = penalty + side_output
        return x + penalty


@pytest.mark.parametrize(
    ("block_class", "call", "reason"),
    [
        (KeywordOnly, lambda block, x: block(x=x), "cannot be given its input first, by position"),
        (
            WithPenalty,
            lambda block, x: block(x),
            "what it gives beside its value is read, and depends on its input",
        ),
    ],
)
def test_blocks_whose_calls_a_flow_cannot_take_over_stay(block_class, call, reason):
    with pytest.raises(ValueError, match=f"blocks.0 stays: .*{reason}"):
        convert(Loop(block_class, call), example=torch.randn(2, 4, dtype=torch.float64))


def test_a_model_that_keeps_a_result_is_converted_after_a_call():
    class KeepsResult(Loop):
        def forward(self, x):
            self.results = {"last": super().forward(x)}
            return self.results["last"]

    torch.manual_seed(0)
    model = KeepsResult(Residual, lambda block, x: block(x))
    x = torch.randn(2, 4, dtype=torch.float64)
    model(x)
    expected = momentum(list(model.blocks), x, 0.7)
    torch.testing.assert_close(convert(model, gamma=0.7, example=x)(x), expected)


def test_blocks_in_a_dictionary_become_steps_and_stay_a_dictionary():
    class DictionaryModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleDict({name: Residual() for name in ("a", "b", "c")})

        def forward(self, x):
            for name, block in self.blocks.items():
                assert name in self.blocks
                x = block(x)
            return x

    torch.manual_seed(0)
    model, x = DictionaryModel(), torch.randn(2, 4, dtype=torch.float64)
    converted = convert(model, gamma=0.7, example=x)
    torch.testing.assert_close(converted(x), momentum(model.blocks.values(), x, 0.7))
    assert list(converted.blocks) == ["a", "b", "c"]
    assert len(converted.blocks) == 3
    assert "flows" not in converted.blocks
    replacement = converted.blocks["b"] = Residual()
    expected = momentum([model.blocks["a"], replacement, model.blocks["c"]], x, 0.7)
    torch.testing.assert_close(converted(x), expected)
    for change in (lambda blocks: blocks.pop("a"), lambda blocks: blocks.update({"d": Residual()})):
        with pytest.raises(RuntimeError, match="added to or removed"):
            change(converted.blocks)


def test_a_call_that_leaves_out_layers_is_refused_with_advice():
    class LayerDrop(FormCheckingModel):
        def forward(self, x, left_out=()):
            for index, block in enumerate(self.blocks):
                x = x if index in left_out else block(x)
            return x

    x = torch.randn(2, 4, dtype=torch.float64)
    converted = convert(LayerDrop(*("tensor",) * 4), example=x)
    with pytest.raises(RuntimeError, match=r"block 4 .* after block 2, .*layerdrop = 0"):
        converted(x, left_out=[2])
    with pytest.raises(RuntimeError, match="layerdrop = 0"):
        converted(x, left_out=[0])
    with pytest.raises(RuntimeError, match="after block 3 of 4"):
        converted(x, left_out=[3]).sum()


class ChangesSecondOnly(Residual):
    """Two values, of which the first stays, and the second goes through the layer (CoaT)."""

    def forward(self, x, second):
        return x, super().forward(second)


class ChangesBoth(Residual):
    """Two values that both go through the layer."""

    def forward(self, x, second):
        return super().forward(x), super().forward(second)


def test_two_values_that_go_through_the_blocks_are_not_one_state():
    class TwoValues(Loop):
        def forward(self, x):
            second = 2 * x
            for block in self.blocks:
                x, second = block(x, second)
            return x + second

    x = torch.randn(2, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"blocks.0 stays: it returns its input unchanged"):
        convert(TwoValues(ChangesSecondOnly, None), example=x)
    plan = find_blocks(TwoValues(ChangesBoth, None), x)
    assert "blocks.1 stays: what it gives beside its value is read, and depends on" in str(plan)


class BiasedBlock(nn.Module):
    """Adds f(x) times a bias; makes the bias, where it is given none, and hands it on (T5)."""

    def __init__(self, makes_bias, drop=0.0, bias_of_value=False):
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)
        self.table = nn.Parameter(torch.randn(5, 4, dtype=torch.float64)) if makes_bias else None
        self.drop, self.bias_of_value = nn.Dropout(drop), bias_of_value

    def forward(self, x, positions, bias=None):
        if bias is None:
            bias = self.drop(self.table[positions])
            bias = bias + 0 * x if self.bias_of_value else bias
        return x + torch.tanh(self.linear(x)) * bias, bias, x.mean()


class BiasedModel(nn.Module):
    """The first block makes the bias of all; the model adds 1 to it after each, if told to."""

    def __init__(self, adds_one=False, **options):
        super().__init__()
        self.blocks = nn.ModuleList(BiasedBlock(n == 0, **options) for n in range(4))
        self.adds_one = adds_one

    def forward(self, x, positions):
        bias = None
        for block in self.blocks:
            x, bias, _ = block(x, positions, bias)
            bias = bias + 1 if self.adds_one else bias
        return x + bias


def biased_model(**options):
    """A model and its inputs: values and positions."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    return BiasedModel(**options), (x, torch.tensor([[0, 1, 2], [2, 3, 0]]))


class VaryingInputs(Residual):
    """Takes any number of further inputs, among which the one that is handed on may be."""

    def forward(self, x, others, bias):
        return super().forward(x) + sum(others) + bias, bias


def test_an_input_that_is_handed_on_is_found_among_any_number_of_inputs():
    class Layered(Loop):
        def forward(self, x, others, bias):
            for block in self.blocks:
                x, bias = block(x, others, bias)
            return x + bias

    torch.manual_seed(0)
    x, a, b, bias = torch.randn(4, 2, 4, dtype=torch.float64)
    model = Layered(VaryingInputs, None)
    converted = convert(model, gamma=0.7, example=(x, (a, b), bias))
    for others, passed in [((bias,), bias), ((a,), bias), ((a, b), bias), ((a, b, x), a)]:
        steps = [lambda x, f=f: f(x, others, passed)[0] for f in model.blocks]  # noqa: B023
        torch.testing.assert_close(converted(x, others, passed), momentum(steps, x, 0.7) + passed)


@pytest.mark.parametrize("adds_one", [False, True])
def test_a_bias_that_the_first_layer_makes_for_all_has_its_gradient(adds_one):
    model, inputs = biased_model(adds_one=adds_one)
    converted = convert(model, gamma=0.7, example=inputs)
    assert [f.memory for f in converted.blocks.flows] == ["reversible"]
    x, v, bias = inputs[0], 0, model.blocks[0].table[inputs[1]]
    for number, block in enumerate(model.blocks):
        v = 0.7 * v + 0.3 * torch.tanh(block.linear(x)) * (bias + number * adds_one)
        x = x + v
    expected = x + bias + 4 * adds_one
    actual = converted(*inputs)
    torch.testing.assert_close(actual, expected)
    parameters = list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(actual.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
    )
    at_ramp_start = convert(model, gamma=Ramp(0, 0.9, steps=9), example=inputs)  # γ = 0
    assert torch.equal(at_ramp_start(*inputs), model(*inputs))


def test_a_bias_that_depends_on_the_value_or_on_chance_is_not_handed_on():
    model, inputs = biased_model(bias_of_value=True)
    assert str(find_blocks(model, inputs)).splitlines() == [
        "blocks: 1 to 3 become 3 steps",  # which are handed what block 0 makes
        "blocks.0 stays: what it gives beside its value is read, and depends on its input",
    ]
    model, inputs = biased_model(drop=0.5)
    converted = convert(model, example=inputs)
    with pytest.raises(RuntimeError, match="BiasedBlock reads what a block gives beside its value"):
        converted(*inputs)
    converted.eval()(*inputs)
