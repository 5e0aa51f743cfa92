"""Blocks that give their value in a list, a tuple or a named one, each in its own way."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from odenet.conversion import convert, find_blocks
from odenet.runtime import Ramp
from tests.conversion.oracles import momentum


class Named(NamedTuple):
    value: torch.Tensor
    scores: torch.Tensor | None = None


GIVES = {
    "list": lambda y: [y, y.sum()],
    "tuple": lambda y: (y, None, 3),
    "named": Named,
    "tensor": lambda y: y,
}


class Giving(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.linear, self.kind = nn.Linear(4, 4, dtype=torch.float64), kind

    def forward(self, x, size=None, only_value=False):
        assert size is None or type(size) is torch.Size
        y = x + torch.tanh(self.linear(x))
        return (y,) if only_value else GIVES[self.kind](y)


class Asserting(nn.Module):
    """Whose loop expects of each block what that gives."""

    def __init__(self, *kinds):
        super().__init__()
        self.blocks = nn.ModuleList(map(Giving, kinds))

    def forward(self, x, only_value=False):
        for block in self.blocks:
            given = block(x, size=x.shape[1:], only_value=only_value)
            if only_value:
                (x,) = given
                continue
            expected = GIVES[block.kind](torch.zeros(()))
            assert type(given) is type(expected) or block.kind == "tensor"
            x = given if block.kind == "tensor" else given[0]
            assert block.kind != "named" or given.value is x
            assert block.kind != "tuple" or given[1:] == (None, 3)
        return x


def in_plain(block):
    return lambda x: block(x, only_value=True)[0]


@pytest.mark.parametrize(
    "kinds", [("list",) * 3, ("named",) * 2, ("tuple", "tensor"), ("tensor", "list", "named")]
)
def test_each_block_of_a_flow_gives_its_value_as_in_the_original(kinds):
    torch.manual_seed(0)
    model, x = Asserting(*kinds), torch.randn(2, 4, dtype=torch.float64)
    assert torch.equal(convert(model, gamma=Ramp(0, 0.9, steps=9), example=x)(x), model(x))
    converted = convert(model, gamma=0.7, example=x)
    expected = momentum([in_plain(block) for block in model.blocks], x, 0.7)
    for only_value in (False, True, False):
        found = converted(x, only_value)
        torch.testing.assert_close(found, expected)
        parameters = list(model.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(found.square().sum(), parameters),
            torch.autograd.grad(expected.square().sum(), parameters, retain_graph=True),
        )


class Adding(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)

    def forward(self, x):
        y = torch.tanh(self.linear(x))
        return x + y


class ByKeyword(Adding):
    def forward(self, *, x):
        return super().forward(x)


class Counting(Adding):
    def forward(self, x):
        y = super().forward(x)
        return y, y.square().mean()


class Loop(nn.Module):
    def __init__(self, kind, call):
        super().__init__()
        self.blocks, self.call = nn.ModuleList(kind() for _ in range(3)), call

    def forward(self, x):
        penalty = 0
        for block in self.blocks:
            y = self.call(block, x)
            x, more = y if isinstance(y, tuple) else (y, 0)
            penalty = penalty + more
        return x + penalty


@pytest.mark.parametrize(
    ("kind", "call", "why"),
    [
        (ByKeyword, lambda block, x: block(x=x), "cannot be given its input first, by position"),
        (
            Counting,
            lambda block, x: block(x),
            "what it gives beside its value is made of what it is handed",
        ),
    ],
)
def test_blocks_whose_calls_a_flow_cannot_take_over_stay(kind, call, why):
    with pytest.raises(ValueError, match=f"blocks.0 stays: .*{why}"):
        convert(Loop(kind, call), example=torch.randn(2, 4, dtype=torch.float64))


def test_a_model_that_keeps_a_result_is_converted_after_a_call():
    class Keeping(Loop):
        def forward(self, x):
            self.kept = {"last": super().forward(x)}
            return self.kept["last"]

    torch.manual_seed(0)
    model = Keeping(Adding, lambda block, x: block(x))
    x = torch.randn(2, 4, dtype=torch.float64)
    model(x)
    expected = momentum(list(model.blocks), x, 0.7)
    torch.testing.assert_close(convert(model, gamma=0.7, example=x)(x), expected)


def test_blocks_in_a_dictionary():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleDict({name: Adding() for name in ("a", "b", "c")})

        def forward(self, x):
            for name, block in self.blocks.items():
                assert name in self.blocks
                x = block(x)
            return x

    torch.manual_seed(0)
    model, x = Named(), torch.randn(2, 4, dtype=torch.float64)
    converted = convert(model, gamma=0.7, example=x)
    torch.testing.assert_close(converted(x), momentum(model.blocks.values(), x, 0.7))
    assert list(converted.blocks) == ["a", "b", "c"]
    assert len(converted.blocks) == 3
    assert "flows" not in converted.blocks
    other = converted.blocks["b"] = Adding()
    expected = momentum([model.blocks["a"], other, model.blocks["c"]], x, 0.7)
    torch.testing.assert_close(converted(x), expected)
    for change in (lambda blocks: blocks.pop("a"), lambda blocks: blocks.update({"d": Adding()})):
        with pytest.raises(RuntimeError, match="added to or removed"):
            change(converted.blocks)


def test_layers_that_are_left_out_at_random_are_refused_by_name():
    class Dropping(Asserting):
        def forward(self, x, left_out=()):
            for index, block in enumerate(self.blocks):
                x = x if index in left_out else block(x)
            return x

    x = torch.randn(2, 4, dtype=torch.float64)
    converted = convert(Dropping(*("tensor",) * 4), example=x)
    with pytest.raises(RuntimeError, match=r"block 4 .* after block 2, .*layerdrop = 0"):
        converted(x, left_out=[2])
    with pytest.raises(RuntimeError, match="layerdrop = 0"):
        converted(x, left_out=[0])
    with pytest.raises(RuntimeError, match="after block 3 of 4"):
        converted(x, left_out=[3]).sum()


class Beside(Adding):
    """The value stays, and what goes along with it changes from layer to layer (CoaT)."""

    def forward(self, x, other):
        return x, super().forward(other)


class Along(Adding):
    def forward(self, x, other):
        return super().forward(x), super().forward(other)


def test_two_values_that_go_through_the_blocks_are_not_one_state():
    class TwoValues(Loop):
        def forward(self, x):
            other = 2 * x
            for block in self.blocks:
                x, other = block(x, other)
            return x + other

    x = torch.randn(2, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"blocks.0 stays: it gives what it is handed, unchanged"):
        convert(TwoValues(Beside, None), example=x)
    plan = find_blocks(TwoValues(Along, None), x)
    assert "blocks.1 stays: what it gives beside its value is made of what another" in str(plan)


class Biased(nn.Module):
    """A layer that makes a bias for all layers if it is given none, and hands it on (T5)."""

    def __init__(self, makes, drop=0.0, of_the_value=False):
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=torch.float64)
        self.table = nn.Parameter(torch.randn(5, 4, dtype=torch.float64)) if makes else None
        self.drop, self.of_the_value = nn.Dropout(drop), of_the_value

    def forward(self, x, places, bias=None):
        if bias is None:
            bias = self.drop(self.table[places])
            bias = bias + 0 * x if self.of_the_value else bias
        return x + torch.tanh(self.linear(x)) * bias, bias, x.mean()


class BiasedLayers(nn.Module):
    def __init__(self, adds=False, **options):
        super().__init__()
        self.blocks = nn.ModuleList(Biased(n == 0, **options) for n in range(4))
        self.adds = adds

    def forward(self, x, places):
        bias = None
        for block in self.blocks:
            x, bias, _ = block(x, places, bias)
            bias = bias + 1 if self.adds else bias
        return x + bias


def biased(**options):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    return BiasedLayers(**options), (x, torch.tensor([[0, 1, 2], [2, 3, 0]]))


class Varying(Adding):
    """Whose further inputs are more or fewer, and the same or not."""

    def forward(self, x, others, bias):
        return super().forward(x) + sum(others) + bias, bias


def test_what_is_handed_on_is_the_same_input_in_calls_of_another_form():
    class Layered(Loop):
        def forward(self, x, others, bias):
            for block in self.blocks:
                x, bias = block(x, others, bias)
            return x + bias

    torch.manual_seed(0)
    x, a, b, bias = torch.randn(4, 2, 4, dtype=torch.float64)
    model = Layered(Varying, None)
    converted = convert(model, gamma=0.7, example=(x, (a, b), bias))
    for others, last in [((bias,), bias), ((a,), bias), ((a, b), bias), ((a, b, x), a)]:
        steps = [lambda x, f=f: f(x, others, last)[0] for f in model.blocks]  # noqa: B023
        torch.testing.assert_close(converted(x, others, last), momentum(steps, x, 0.7) + last)


@pytest.mark.parametrize("adds", [False, True])
def test_what_the_first_layer_makes_for_all_has_its_gradient(adds):
    model, given = biased(adds=adds)
    converted = convert(model, gamma=0.7, example=given)
    assert [f.memory for f in converted.blocks.flows] == ["reversible"]
    x, v, bias = given[0], 0, model.blocks[0].table[given[1]]
    for number, block in enumerate(model.blocks):
        v = 0.7 * v + 0.3 * torch.tanh(block.linear(x)) * (bias + number * adds)
        x = x + v
    expected = x + bias + 4 * adds
    found = converted(*given)
    torch.testing.assert_close(found, expected)
    parameters = list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
    )
    original = convert(model, gamma=Ramp(0, 0.9, steps=9), example=given)
    assert torch.equal(original(*given), model(*given))


def test_what_a_layer_makes_of_its_value_or_at_random_is_not_handed_on():
    model, given = biased(of_the_value=True)
    assert str(find_blocks(model, given)).splitlines() == [
        "blocks: 1 to 3 become 3 steps",  # which are handed what block 0 makes
        "blocks.0 stays: what it gives beside its value is made of what it is handed, and read",
    ]
    model, given = biased(drop=0.5)
    converted = convert(model, example=given)
    with pytest.raises(RuntimeError, match="Biased reads what a block gives beside its value"):
        converted(*given)
    converted.eval()(*given)
