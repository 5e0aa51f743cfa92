"""The memory format of feature maps (contiguous, channels last) inside and outside of flows."""

from __future__ import annotations

import pytest
import torch

import odenet
from odenet.testing import assert_gradients
from tests.runtime.handwritten import HamiltonianFlow, MomentumFlow

CHANNELS_LAST = torch.channels_last
BUDGET = 10_000  # in bytes: enough for some of the steps


@pytest.mark.parametrize("mode", ["reversible", "stored", "checkpoint", BUDGET])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CHANNELS_LAST])
@pytest.mark.parametrize("flow_class", [HamiltonianFlow, MomentumFlow])
def test_a_map_comes_out_in_the_memory_format_it_went_in(mode, memory_format, flow_class):
    flow = flow_class(4, 3)
    flow.memory = mode
    u = torch.randn(2, 4, 5, 6).contiguous(memory_format=memory_format).requires_grad_()
    out = flow(u)
    assert out.is_contiguous(memory_format=memory_format)
    with torch.no_grad():
        assert flow(u).is_contiguous(memory_format=memory_format)
    out.square().sum().backward()
    assert u.grad.stride() == u.stride()


@pytest.mark.parametrize("space", [2, 3])
def test_within_a_flow_the_channels_of_a_pixel_are_adjacent_in_memory(space):
    flow, observations = HamiltonianFlow(4, 3, space=space), set()
    original_rate = flow.rate_Y

    def recording_rate(Z, K1, b1):
        observations.add((torch.is_grad_enabled(), Z.stride(1)))
        return original_rate(Z, K1, b1)

    flow.rate_Y = recording_rate
    flow(torch.randn(2, 4, *(5,) * space)).square().sum().backward()
    assert observations == {(False, 1), (True, 1)}  # forward, and backward with a graph


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CHANNELS_LAST])
def test_gradients_do_not_depend_on_the_memory_format(memory_format):
    torch.manual_seed(0)
    u = torch.randn(2, 4, 5, 6).contiguous(memory_format=memory_format)
    assert_gradients(HamiltonianFlow(4, 5), u, tolerance=1e-5)


@pytest.mark.parametrize("space", [1, 2])
def test_layers_of_tokens_get_maps_with_adjacent_channels(space):
    text = "state Y, Z\nmap f = layernorm\nmap g = layernorm -> attention(1)\n"
    text += "Y' = f(Z)\nZ' = g(Y)\ndiscretise verlet(h = 1)"
    flow, strides = odenet.loads(text).flow(channels=8, steps=2, space=space).double(), []
    flow.f[1].register_forward_pre_hook(lambda module, inputs: strides.append(inputs[0].stride(1)))
    u = torch.randn(2, 8, *(5,) * space, dtype=torch.float64, requires_grad=True)
    out = flow(u)
    assert out.is_contiguous() and strides == [1]
    assert_gradients(flow, u.detach())


@pytest.mark.parametrize("mode", ["reversible", "stored", "checkpoint", BUDGET])
def test_kernels_in_the_memory_format_of_a_gpu_give_the_same_gradients(mode, monkeypatch):
    def gradients():
        torch.manual_seed(0)
        flow, u = HamiltonianFlow(4, 3).double(), torch.randn(2, 4, 5, 6).double().requires_grad_()
        flow.memory = mode
        flow(u).square().sum().backward()
        return [u.grad, *(p.grad for p in flow.parameters())]

    axis_counts = []

    def with_channels_innermost(stack):  # as on a GPU
        axis_counts.append(stack.ndim)
        return stack.movedim(2, -1).contiguous().movedim(-1, 2) if stack.ndim == 5 else stack

    expected = gradients()
    for module in ("passes.forward", "memory"):
        monkeypatch.setattr(
            f"odenet.runtime.{module}.kernel_reordering", lambda x: with_channels_innermost
        )
    actual = gradients()
    assert 5 in axis_counts
    for actual_gradient, expected_gradient in zip(actual, expected, strict=True):
        assert actual_gradient.stride() == expected_gradient.stride()
        torch.testing.assert_close(actual_gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CHANNELS_LAST])
def test_user_modules_get_maps_in_the_memory_format_of_the_input(memory_format):
    blocks = [torch.nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]
    flow, keeps_format = odenet.reversible(blocks, gamma=0.5), []
    for block in blocks:
        block.register_forward_pre_hook(
            lambda _, inputs: keeps_format.append(
                inputs[0].is_contiguous(memory_format=memory_format)
            )
        )
    u = torch.randn(2, 4, 5, 6).contiguous(memory_format=memory_format)
    flow(u).square().sum().backward()
    assert keeps_format == [True] * 6  # three blocks, in both passes
