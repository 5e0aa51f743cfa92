"""The behaviour of flows on a GPU, tested without one by tensors that have sizes and no values.

On the device `meta`, whatever needs a value on the host raises; on a GPU it would make the host
wait. Under `FakeTensorMode` tensors claim to be on `cuda`, and a tensor elsewhere raises.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import odenet
from odenet.runtime import Flow
from odenet.runtime.learned.operator_norms import operator_norms
from odenet.runtime.learned.operators import soft_threshold
from odenet.runtime.repetition.recorder import RandomStates
from tests.device_copies import DeviceCopies
from tests.runtime.handwritten import HamiltonianFlow

SPECS = Path(__file__).parents[2] / "specs"
# Adaptive solvers accept or reject a step by its error, which the host has to see.
NETWORKS = [
    path.stem
    for path in sorted(SPECS.glob("*.ode"))
    if "\nnet = " in path.read_text("utf-8") and "neural_ode" not in path.stem
]
MODES_WITHOUT_BUDGET = ["reversible", "stored", "checkpoint"]
MODES = [*MODES_WITHOUT_BUDGET, "budget"]


@cache
def load_program(name):
    """The program of a spec, with two steps in each flow if a `let n` of the spec sets them."""
    path = SPECS / f"{name}.ode"
    return odenet.load(path, set={"n": 2} if "\nlet n" in path.read_text("utf-8") else {})


def build_network(name, mode, device):
    """A network on a device whose flows are in a memory mode, and an input for it."""
    with torch.device(device):
        network = load_program(name).network().train()
        u = torch.randn(2, *load_program(name).input_shape)
        if load_program(name).vocabulary is not None:
            u = torch.zeros(2, *load_program(name).input_shape, dtype=torch.long)
    for flow in (m for m in network.modules() if isinstance(m, Flow)):
        if not flow.reversible and mode in ("reversible", "budget"):
            pytest.skip("its scheme has no inverse")
        flow.memory = 0 if mode == "budget" else mode  # for "budget" see `set_half_budget`
    return network, u


def set_half_budget(flow, inputs):
    """A hook: before its first call, a flow whose budget is 0 gets one for half of its steps."""
    if flow.memory == 0:
        flow.memory = flow.steps // 2 * bytes_per_step(flow, *inputs)


def bytes_per_step(flow, u):
    """The bytes that storing one step takes, as a first call with a large budget measures them."""
    flow.memory = 2**60
    flow(u)
    return max(flow.step_bytes.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_training_step_waits_for_a_value(name, mode):
    network, u = build_network(name, mode, "meta")
    for flow in (m for m in network.modules() if isinstance(m, Flow)):
        flow.register_forward_pre_hook(set_half_budget)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    passes = 2 if mode == "reversible" else 1  # a forward pass looks at the drift of the last one
    for _ in range(passes):
        optimizer.zero_grad()
        with DeviceCopies() as copies:
            network(u).square().mean().backward()
            optimizer.step()
        assert copies.descriptions == []
    assert all(p.grad is not None and p.grad.is_meta for p in network.parameters())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_passes_stay_on_the_gpu(name, mode):
    with FakeTensorMode():
        network, u = build_network(name, mode, "cuda")
        for flow in (m for m in network.modules() if isinstance(m, Flow)):
            flow.register_forward_pre_hook(set_half_budget)
        out = network(u)
        assert out.device.type == "cuda" and out.requires_grad


def test_a_budget_counts_the_same_bytes_without_values():
    def measured_bytes(device):
        with torch.device(device):
            flow = load_program("hamiltonian").flow(channels=8, steps=2)
            return bytes_per_step(flow, torch.randn(2, 8, 4, 4))

    assert measured_bytes("meta") == measured_bytes("cpu") > 0


def make_blocks():
    return [
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5))
        for _ in range(3)
    ]


@pytest.mark.parametrize("mode", MODES_WITHOUT_BUDGET)
def test_user_modules_do_not_wait_for_a_value_either(mode):
    with torch.device("meta"):
        flow, x = odenet.reversible(make_blocks(), gamma=0.9), torch.randn(4, 6)
    flow.memory = mode
    with DeviceCopies() as copies:
        for _ in range(2):
            flow(x).sum().backward()
    assert copies.descriptions == []
    assert all(p.grad.is_meta for p in flow.parameters())


def test_user_modules_stay_on_the_gpu():
    with FakeTensorMode(), torch.device("cuda"):
        flow, x = odenet.reversible(make_blocks(), gamma=0.9), torch.randn(4, 6)
        for mode in MODES_WITHOUT_BUDGET:
            flow.memory = mode
            assert flow(x).device.type == "cuda"


def test_a_block_that_reads_a_value_raises_on_the_meta_device():
    class ValueReader(nn.Module):
        def forward(self, x):
            return x * float(x.abs().amax())

    with torch.device("meta"):
        flow, x = odenet.reversible([ValueReader()]), torch.randn(4, 6)
    with pytest.raises(RuntimeError, match=r"item\(\)"):
        flow(x)


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: x * torch.tensor([2.0], device="meta"),
        lambda x: x * torch.as_tensor(2.0, device=x.device),
        lambda x: x + torch.ones(6).to(x.device),
        lambda x: x[torch.tensor([0, 1])],
    ],
)
def test_a_copy_to_the_device_is_recorded(copy):
    with DeviceCopies() as copies:
        copy(torch.ones(4, 6, device="meta"))
    assert len(copies.descriptions) == 1


def test_a_threshold_is_not_copied_to_the_device():
    with DeviceCopies() as copies:
        soft_threshold(torch.ones(3, device="meta"), 0.1)
        soft_threshold(torch.ones(3, device="meta"), torch.ones((), device="meta"))
    assert copies.descriptions == []


def test_iterations_for_a_norm_do_not_wait_for_a_value():
    operations = []

    class OperationRecorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            operations.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    K = torch.randn(3, 4, 4, 3, 3, device="meta")
    start = torch.randn(3, 4, 32, 32, device="meta")
    with OperationRecorder(), DeviceCopies() as copies:
        operator_norms(K, start, limit=7)  # on a GPU every eighth tests convergence
    assert copies.descriptions == [] and "aten::convolution" in operations
    # On a GPU torch's eigh waits to see whether it has succeeded.
    assert not any("linalg_eigh" in name for name in operations)


class ConvolutionRecorder(TorchDispatchMode):
    """Records whether inputs and kernels of convolutions are channels-last; counts copied stacks."""

    def __init__(self):
        super().__init__()
        self.channels_innermost = []
        self.stack_copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name == "aten::convolution":
            self.channels_innermost.append(tuple(tensor.stride(1) == 1 for tensor in args[:2]))
        out = func(*args, **(kwargs or {}))
        self.stack_copies += func._schema.name in ("aten::clone", "aten::copy_") and out.ndim == 5
        return out


@pytest.mark.parametrize("mode", MODES_WITHOUT_BUDGET)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_maps_and_kernels_are_channels_last_as_tensor_cores_need_them(
    mode, dtype, monkeypatch
):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with FakeTensorMode(), torch.device("cuda"):
        flow, u = HamiltonianFlow(8, 5), torch.randn(2, 8, 6, 6, dtype=dtype)
        for name, parameter in flow.named_parameters():
            setattr(flow, name, nn.Parameter(torch.empty_like(parameter, dtype=dtype)))
        flow.memory = mode
        with ConvolutionRecorder() as recorder:
            out = flow(u)
        assert len(recorder.channels_innermost) == 2 * 2 * 5  # two in each rate, in five steps
        # The second convolution of a rate reads the output of the first, whose memory format torch
        # cannot tell in 16 bits without a GPU.
        layouts = recorder.channels_innermost[:: 1 if dtype == torch.float32 else 2]
        assert set(layouts) == {(True, True)} and all(
            kernel for _, kernel in recorder.channels_innermost
        )
        assert recorder.stack_copies == len(flow.operators)  # each once, not once for each step
        assert out.is_contiguous()


def test_without_tf32_maps_in_single_precision_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    with FakeTensorMode(), torch.device("cuda"):
        flow, u = HamiltonianFlow(8, 2), torch.randn(2, 8, 6, 6)
        with ConvolutionRecorder() as recorder:
            flow(u)
    assert set(recorder.channels_innermost) == {(False, False)}


def test_steps_with_random_numbers_are_not_captured_in_a_cuda_graph(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="cannot be captured in a CUDA graph"):
        RandomStates.read(torch.device("cuda"))
