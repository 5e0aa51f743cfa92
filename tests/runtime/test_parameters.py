"""Parameters of flows, one tensor for all steps, and the layers that networks are made of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from odenet.runtime import (
    Elementwise,
    Mean,
    Residual,
    Shortcut,
    Widen,
    bias,
    conv_kernel,
    dense_matrix,
    diagonal,
    layers,
    norm_layers,
    scalar,
)


def test_every_parameter_is_one_tensor_with_a_leading_step_axis():
    assert conv_kernel(5, 4, 6, kernel=3).shape == (5, 6, 4, 3, 3)
    assert conv_kernel(1, 4, 6, kernel=(1, 3, 5), space=3, groups=2).shape == (1, 6, 2, 1, 3, 5)
    assert dense_matrix(5, 4, 6).shape == (5, 6, 4)
    assert diagonal(5, 4, space=1).shape == (5, 4, 1)
    assert bias(5, 4, space=0).shape == (5, 4)
    assert scalar(5).shape == (5,)
    assert all(isinstance(p, nn.Parameter) for p in (bias(2, 3), scalar(2), dense_matrix(1, 2, 2)))


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("he", math.sqrt(2 / (8 * 9))),
        ("xavier", math.sqrt(2 / (24 * 9))),
        ("default", 1 / math.sqrt(3 * 8 * 9)),
        (("normal", 0.3), 0.3),
        (("uniform", 0.3), 0.3 / math.sqrt(3)),
        ("zeros", 0),
        (("constant", 2.0), 0),
    ],
)
def test_kernels_are_drawn_with_the_standard_deviation_of_their_initialisation(init, std):
    torch.manual_seed(0)
    K = conv_kernel(20, 8, 16, kernel=3, init=init)
    assert K.std().item() == pytest.approx(std, rel=0.05)
    assert all(k.std().item() == pytest.approx(std, rel=0.15) for k in K)


def test_initial_values_are_constant_orthogonal_or_at_least_finite_as_asked_for():
    assert (diagonal(2, 3) == 1).all() and (bias(2, 3) == 0).all() and (scalar(2) == 1).all()
    assert (scalar(2, init=("constant", 0.25)) == 0.25).all()
    for W in dense_matrix(3, 6, 6, init="orthogonal"):
        torch.testing.assert_close(W @ W.T, torch.eye(6), rtol=0, atol=1e-5)
    # These two depend on the fan-in, which scalars and biases do not have.
    assert scalar(3, init="he").isfinite().all() and bias(3, 2, init="xavier").isfinite().all()


@pytest.mark.parametrize("init", ["hee", ("normal",), ("cauchy", 1.0), 3])
def test_an_unknown_initialisation_is_refused(init):
    with pytest.raises(ValueError, match="unknown way to initialise a parameter"):
        scalar(1, init=init)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="3 groups do not divide 4 -> 6 channels"):
        conv_kernel(1, 4, 6, kernel=3, groups=3)


@pytest.mark.parametrize("space", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["batch", "group", "layer"])
def test_norms_normalise_over_the_axes_of_their_kind(kind, space):
    norms = norm_layers(3, kind, 4, space, groups=2)
    assert len(norms) == 3
    x = torch.randn(6, 4, *(5,) * space) * 3 + 1
    y = norms[0](x).detach()
    groups = {"batch": y.transpose(0, 1).flatten(1), "layer": y.flatten(1)}
    groups["group"] = y.unflatten(1, (2, 2)).flatten(0, 1).flatten(1)
    torch.testing.assert_close(
        groups[kind].mean(1), torch.zeros(len(groups[kind])), atol=1e-5, rtol=0
    )


def test_a_positive_gain_starts_at_one_and_stays_above_zero():
    (norm,) = norm_layers(1, "batch", 4, positive=True)
    torch.testing.assert_close(norm.weight, torch.ones(4))
    optimizer = torch.optim.SGD(norm.parameters(), lr=10.0)
    for _ in range(20):
        optimizer.zero_grad()
        norm.weight.sum().backward()
        optimizer.step()
    assert (norm.weight > 0).all() and (norm.weight < 0.1).all()


def test_layers_makes_a_separate_module_for_each_step():
    first, second = layers(2, lambda: nn.Linear(3, 3))
    assert first.weight is not second.weight


def test_widen_appends_zero_channels_and_refuses_to_narrow():
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(Widen(5)(x)[:, :3], x) and (Widen(5)(x)[:, 3:] == 0).all()
    assert Widen(3)(x) is x
    assert Widen(4)(torch.randn(2, 3)).shape == (2, 4)
    with pytest.raises(ValueError, match="cannot widen 3 channels to 2"):
        Widen(2)(x)


def test_mean_averages_over_space_alone():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(Mean()(x), x.mean((2, 3)))
    assert Mean()(x[:, :, 0, 0]).shape == (2, 3)


def test_a_residual_block_adds_the_subsampled_and_widened_input():
    x = torch.randn(2, 3, 5, 6)
    block = Residual(nn.Conv2d(3, 8, 3, stride=2, padding=1), Shortcut(3, 8, stride=2))
    expected = block.inner(x)
    expected = expected + torch.cat((x[:, :, ::2, ::2], torch.zeros(2, 5, 3, 3)), dim=1)
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(Residual(nn.Identity())(x), 2 * x)
    assert torch.equal(Residual(nn.Identity(), after=nn.ReLU())(x), 2 * x.relu())


@pytest.mark.parametrize("space", [1, 2, 3])
def test_a_pooled_shortcut_averages_incomplete_windows_too_and_rounds_sizes_up(space):
    x = torch.arange(5.0).expand(1, 2, *(5,) * space)
    actual = Shortcut(2, 3, stride=2, kind="pool", space=space)(x)
    assert actual.shape == (1, 3, *(3,) * space)
    expected = torch.tensor([0.5, 2.5, 4.0]).expand_as(actual[:, 0])
    torch.testing.assert_close(actual[:, 0], expected)
    assert not actual[:, 2].any()


def test_an_elementwise_function_is_a_layer():
    x = torch.randn(3)
    assert torch.equal(Elementwise(torch.sin)(x), torch.sin(x))
    assert repr(Elementwise(torch.sin)) == "Elementwise(sin)"
