"""What can be known of a GPU without one, from tensors that have sizes and no values.

On the device `meta` whatever needs a value on the host raises, and on a GPU it would make the host
wait. Under `FakeTensorMode` tensors say that they are on `cuda`, and one that is not raises.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

import odenet
from odenet.runtime import Flow

SPECS = Path(__file__).parents[2] / "specs"
# Adaptive solvers accept or reject a step by its error, which the host has to see.
NETWORKS = [
    path.stem
    for path in sorted(SPECS.glob("*.ode"))
    if "\nnet = " in path.read_text("utf-8") and "neural_ode" not in path.stem
]
MODES = ["reversible", "stored", "checkpoint", "budget"]


@cache
def program(name):
    path = SPECS / f"{name}.ode"
    return odenet.load(path, set={"n": 2} if "\nlet n" in path.read_text("utf-8") else {})


def network(name, mode, device):
    """A network on a device with its flows in a mode, and an input of it."""
    with torch.device(device):
        built = program(name).network().train()
        u = torch.randn(2, *program(name).input_shape)
    for flow in (m for m in built.modules() if isinstance(m, Flow)):
        if not flow.reversible and mode in ("reversible", "budget"):
            pytest.skip("its scheme has no inverse")
        flow.memory = 0 if mode == "budget" else mode
    return built, u


def half_stored(flow, inputs):
    """Gives a flow a budget for half of its steps, at its first call."""
    if flow.memory == 0:
        flow.memory = flow.steps // 2 * bytes_per_step(flow, *inputs)


def bytes_per_step(flow, u):
    """What a first call has found."""
    flow.memory = 2**60
    flow(u)
    return max(flow.step_bytes.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_training_step_waits_for_a_value(name, mode):
    built, u = network(name, mode, "meta")
    for flow in (m for m in built.modules() if isinstance(m, Flow)):
        flow.register_forward_pre_hook(half_stored)
    optimizer = torch.optim.SGD(built.parameters(), lr=0.1, momentum=0.9)
    passes = 2 if mode == "reversible" else 1  # a forward pass looks at the drift of the last one
    for _ in range(passes):
        optimizer.zero_grad()
        built(u).square().mean().backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.is_meta for p in built.parameters())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_passes_stay_on_the_gpu(name, mode):
    with FakeTensorMode():
        built, u = network(name, mode, "cuda")
        for flow in (m for m in built.modules() if isinstance(m, Flow)):
            flow.register_forward_pre_hook(half_stored)
        out = built(u)
        assert out.device.type == "cuda" and out.requires_grad


def test_a_budget_counts_the_same_bytes_without_values():
    def stored(device):
        with torch.device(device):
            flow = program("hamiltonian").flow(channels=8, steps=2)
            return bytes_per_step(flow, torch.randn(2, 8, 4, 4))

    assert stored("meta") == stored("cpu") > 0


def blocks():
    return [
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5))
        for _ in range(3)
    ]


@pytest.mark.parametrize("mode", MODES[:3])
def test_modules_of_others_do_not_wait_either(mode):
    with torch.device("meta"):
        flow, x = odenet.reversible(blocks(), gamma=0.9), torch.randn(4, 6)
    flow.memory = mode
    for _ in range(2):
        flow(x).sum().backward()
    assert all(p.grad.is_meta for p in flow.parameters())


def test_modules_of_others_stay_on_the_gpu():
    with FakeTensorMode(), torch.device("cuda"):
        flow, x = odenet.reversible(blocks(), gamma=0.9), torch.randn(4, 6)
        for mode in MODES[:3]:
            flow.memory = mode
            assert flow(x).device.type == "cuda"


def test_a_value_that_is_read_is_found():
    class Reading(nn.Module):
        def forward(self, x):
            return x * float(x.abs().amax())

    with torch.device("meta"):
        flow, x = odenet.reversible([Reading()]), torch.randn(4, 6)
    with pytest.raises(RuntimeError, match=r"item\(\)"):
        flow(x)
