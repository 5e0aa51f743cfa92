"""Constants of a scheme that differ from step to step, or move while training, over modules.

The oracle is the momentum iteration, written out on plain autograd.
"""

import copy

import pytest
import torch
from torch import nn

import odenet
from odenet.conversion import Ramps, convert
from odenet.runtime import Learned, Ramp

DAMPED = """
scheme damped(a) {
    for Y' = F(Y)
    start Y[-1] = Y[0]
    Y[n+1] = (1 - a) Y[n] + a Y[n-1] + h F(Y[n])
}
"""


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(5, 5)

    def forward(self, x):
        return x + 0.3 * torch.tanh(self.map(x))


def layers(count=4):
    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(count)))


def inputs():
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("given_by", ["program", "keyword", "convert"])
def test_each_step_has_the_constant_that_is_given_for_it(given_by):
    model, x = layers(3).double(), inputs().double()
    values = [0.5, 0.6, 0.75]
    if given_by == "program":
        text = f"state Y\nparam b : bias\nY' = tanh(Y + b)\ndiscretise momentum(γ = {values})\n"
        flow = odenet.reversible(list(model), odenet.loads(text), residual=True)
    elif given_by == "keyword":
        flow = odenet.reversible(list(model), residual=True, gamma=values)
    else:
        flow = convert(model, **{"γ": values})
    y, v = x, 0
    for gamma, block in zip(values, model, strict=True):
        v = gamma * v + (1 - gamma) * (block(y) - y)
        y = y + v
    torch.testing.assert_close(flow(x), y)
    parameters = list(model.parameters())
    actual = torch.autograd.grad(flow(x).square().sum(), parameters)
    torch.testing.assert_close(actual, torch.autograd.grad(y.square().sum(), parameters))


def test_values_for_another_number_of_steps_are_refused():
    with pytest.raises(ValueError, match="γ has 2 values, and the flow has 4 steps"):
        convert(layers(), gamma=[0.5, 0.6])


def test_a_constant_of_a_converted_model_may_be_learned():
    converted = convert(layers(), gamma=Learned(0.9))
    converted(inputs()).square().sum().backward()
    assert converted.flows[0].gamma.raw.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("scheme", "constants", "name"),
    [
        ("momentum", {"gamma": Ramp(0, 0.9, steps=8)}, "gamma"),
        (DAMPED, {"a": Ramp(0, 0.5, steps=8)}, "a"),
    ],
)
def test_a_ramp_begins_as_the_original_to_the_last_bit_and_ends_reversible(scheme, constants, name):
    model, x = layers(), inputs()
    converted = convert(model, scheme, **constants)
    flow, ramps = converted.flows[0], Ramps(converted)
    assert list(converted.state_dict()) == list(model.state_dict())
    expected = model(x)
    assert torch.equal(converted(x), expected)
    parameters = list(model.parameters())
    actual = torch.autograd.grad(converted(x).square().sum(), parameters)
    for a, b in zip(actual, torch.autograd.grad(expected.square().sum(), parameters), strict=True):
        assert torch.equal(a, b)
    assert flow.drift is None
    for _ in range(9):
        converted(x).square().sum().backward()
        ramps.step()
    assert getattr(flow, name)[0] == constants[name].end
    assert flow.drift < 1e-4  # states are rebuilt by now
    fixed = convert(model, scheme, **{name: constants[name].end})
    assert torch.equal(converted(x), fixed(x))


def test_the_progress_of_a_ramp_is_predicted_and_saved():
    converted = convert(layers(6), DAMPED, a=Ramp(0, 0.5, steps=100))
    ramps = Ramps(converted)
    lines = str(ramps).splitlines()
    assert lines[0] == "  0% of the way, a = 0: the original network, activations stored"
    assert lines[1] == (
        " 25% of the way, a = 0.125: activations stored, since undoing would be too coarse"
    )
    for prediction in ramps.predictions()[2:]:  # the later ones against measured drifts
        ramps.at(int(100 * prediction.progress))
        converted(inputs()).square().sum().backward()
        assert converted.flows[0].drift < 3 * prediction.error
    ramps.at(30)
    restored = Ramps(convert(layers(6), DAMPED, a=Ramp(0, 0.5, steps=100)))
    assert restored.step_count == 0
    saved = ramps.state_dict()
    restored.load_state_dict(saved)
    assert restored.step_count == 30


def test_missing_ramps_and_ramps_without_a_length_are_refused():
    with pytest.raises(ValueError, match="Sequential has no constant that moves"):
        Ramps(layers())
    converted = convert(layers(), gamma=Ramp(0, 0.9, epochs=2))
    with pytest.raises(ValueError, match="a ramp takes 2 epochs: say Ramps"):
        Ramps(converted)
    with pytest.raises(ValueError, match="how many steps of the optimizer an epoch has, at least"):
        Ramps(converted, steps_per_epoch=0)
    with pytest.raises(ValueError, match="a ramp takes some time"):
        Ramp(0, 0.9, steps=0)
    ramps = Ramps(converted, steps_per_epoch=10)
    ramps.at(10)
    assert converted.flows[0].gamma[0] == 0.45


@pytest.mark.parametrize("length", [3, 7, 100, 777, 1000, 4096])
def test_a_new_ramps_object_continues_from_the_progress_of_the_constants(length):
    converted, x = convert(layers(2), gamma=Ramp(0, 0.9, steps=length)), inputs()
    ramps = Ramps(converted)
    for step in {1, length // 3, length // 2, length - 1, length}:
        ramps.at(step)
        output = converted(x)
        resumed = Ramps(copy.deepcopy(converted))
        assert torch.equal(converted(x), output)  # nothing moved
        # Constants know their progress in thousandths, rounded down.
        assert step - length / 1000 < resumed.step_count <= step
        resumed.step()
        assert resumed.step_count > step - length / 1000


def test_ramps_without_a_common_number_of_steps_are_refused():
    halfway = convert(layers(2), gamma=Ramp(0, 0.9, steps=10))
    Ramps(halfway).at(5)
    pair = nn.Sequential(halfway, convert(layers(2), gamma=Ramp(0, 0.5, steps=20)))
    with pytest.raises(ValueError, match=r"γ is 0.0% of its way, .* would be at 25.0%"):
        Ramps(pair)
    Ramps(pair[1]).at(5)
    assert Ramps(pair).step_count == 5
