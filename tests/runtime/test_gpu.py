"""Behaviour that only a GPU can show; skipped without one. Run by `pytest -m gpu tests/runtime`."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import odenet
from odenet.model.tables.recipe import OPTIMIZERS, Recipe
from odenet.training.callbacks.averaging import MovingAverage
from odenet.training.data.samples import LabelInfo
from odenet.training.learning.optim import build_optimizer
from odenet.training.learning.task import Task
from tests.runtime.handwritten import HamiltonianFlow

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card"),
]
RECOMPUTING_MODES = ["reversible", "checkpoint"]
MODES = [*RECOMPUTING_MODES, 10_000_000]  # the last is a budget in bytes


@pytest.fixture(autouse=True)
def without_tf32():
    """Matrix products and convolutions are computed in full float32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def build_hamiltonian(dtype=torch.float32):
    torch.manual_seed(0)
    flow = HamiltonianFlow(16, 8, h=0.1).to("cuda", dtype)
    return flow, torch.randn(8, 16, 12, 12, device="cuda", dtype=dtype)


def make_block():
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
    ]
    return nn.Sequential(*layers, nn.Conv2d(8, 8, 3, padding=1))


def build_module_flow(**options):
    flow = odenet.reversible([make_block() for _ in range(4)], **options).cuda()
    return flow, torch.randn(8, 8, 12, 12, device="cuda")


def train_copy(flow, u, mode, autocast_dtype=None):
    """A copy of the flow after one backward pass in a memory mode, and the gradient by its input."""
    trained = copy.deepcopy(flow).train()
    trained.memory = mode
    torch.manual_seed(1)
    u = u.clone().requires_grad_()
    with torch.autocast("cuda", autocast_dtype, autocast_dtype is not None):
        out = trained(u)
    out.float().square().mean().backward()
    return trained, u.grad


def assert_trained_alike(flow, u, mode, tolerance, autocast_dtype=None):
    expected, expected_gradient = train_copy(flow, u, "stored", autocast_dtype)
    actual, actual_gradient = train_copy(flow, u, mode, autocast_dtype)
    actual_gradients = [actual_gradient, *(p.grad for p in actual.parameters())]
    expected_gradients = [expected_gradient, *(p.grad for p in expected.parameters())]
    for a, b in zip(actual_gradients, expected_gradients, strict=True):
        assert (a - b).norm() <= tolerance * b.norm()
    for a, b in zip(actual.buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("autocast_dtype", [None, torch.bfloat16, torch.float16])
def test_exact_steps_are_undone_bit_for_bit(autocast_dtype):
    flow, u = build_hamiltonian()
    with torch.no_grad(), torch.autocast("cuda", autocast_dtype, autocast_dtype is not None):
        start = flow.encode(u)
        end = flow.evolve_exactly(start)
        assert not end.equal(start)
        assert flow.inverse_exactly(end).equal(start)


def test_exact_momentum_with_modules_is_undone_bit_for_bit():
    flow, u = build_module_flow(gamma=0.9, exact=True)
    flow.eval()
    with torch.no_grad():
        start = flow.encode(u)
        assert flow.inverse_exactly(flow.evolve_exactly(start)).equal(start)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_gradients_of_stored_activations(mode):
    assert_trained_alike(*build_hamiltonian(), mode, tolerance=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_batch_norm_and_dropout_are_replayed(mode):
    flow, u = build_module_flow(gamma=0.9)
    assert_trained_alike(flow, u, mode, tolerance=1e-3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("autocast_dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_replayed(mode, autocast_dtype):
    assert_trained_alike(*build_hamiltonian(), mode, 5e-2, autocast_dtype)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_exact_flows_train(memory_format):
    flow, u = build_hamiltonian()
    flow.exact = True
    trained, gradient = train_copy(flow, u.contiguous(memory_format=memory_format), "reversible")
    assert gradient.isfinite().all() and trained.drift == 0


def test_a_compiled_flow_trains_as_an_eager_one():
    flow, u = build_hamiltonian()
    eager, expected = train_copy(flow, u, "reversible")
    flow.compile()
    compiled, actual = train_copy(flow, u, "reversible")
    assert (actual - expected).norm() <= 1e-4 * expected.norm()
    for a, b in zip(compiled.parameters(), eager.parameters(), strict=True):
        assert (a.grad - b.grad).norm() <= 1e-4 * b.grad.norm()


@pytest.mark.parametrize("mode", RECOMPUTING_MODES)
def test_a_training_step_does_not_wait_for_the_device(mode):
    for flow, u in (build_hamiltonian(), build_module_flow(gamma=0.9)):
        flow.memory = mode
        flow(u).square().mean().backward()
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(2):
                flow(u).square().mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("mode", RECOMPUTING_MODES)
def test_a_training_step_is_captured_in_a_cuda_graph(mode):
    flow, u = build_hamiltonian()
    flow.memory = mode
    other_input = torch.randn_like(u)
    _, expected = train_copy(flow, other_input, mode)
    u.requires_grad_()
    side_stream = torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(3):
            flow(u).square().mean().backward()
    torch.cuda.current_stream().wait_stream(side_stream)
    flow.zero_grad(set_to_none=True)
    u.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        flow(u).square().mean().backward()
    with torch.no_grad():
        u.copy_(other_input)
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(u.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", RECOMPUTING_MODES)
def test_forward_and_backward_become_a_pair_of_cuda_graphs(mode):
    flow, u = build_hamiltonian()
    flow.memory = mode
    expected_copy, expected_gradient = train_copy(flow, u, mode)
    graphed = torch.cuda.make_graphed_callables(flow, (torch.randn_like(u).requires_grad_(),))
    for _ in range(2):
        flow.zero_grad(set_to_none=True)
        x = u.clone().requires_grad_()
        graphed(x).square().mean().backward()
    torch.testing.assert_close(x.grad, expected_gradient, rtol=1e-4, atol=1e-6)
    for a, b in zip(flow.parameters(), expected_copy.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_gradients_to_the_precision_of_tf32(mode):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    assert_trained_alike(*build_hamiltonian(), mode, tolerance=2e-2)


def test_exact_steps_are_undone_while_cudnn_may_choose_its_algorithms(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    flow, u = build_hamiltonian()
    flow.exact = True
    trained, _ = train_copy(flow, u, "reversible", torch.bfloat16)
    assert trained.drift == 0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_fused_optimizer_moves_the_weights_as_an_unfused_one_does(name):
    def weight_after_training(device):
        torch.manual_seed(0)
        network = nn.Linear(5, 5).to(device)
        optimizer = build_optimizer(network, OPTIMIZERS.default(name, lr=0.1))
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(2, 5, device=device)).square().sum().backward()
            optimizer.step()
        assert optimizer.defaults["fused"] is (True if device == "cuda" else None)
        return network.weight.detach().cpu()

    torch.testing.assert_close(
        weight_after_training("cuda"), weight_after_training("cpu"), rtol=1e-4, atol=1e-5
    )


def test_a_step_with_metrics_and_a_moving_average_does_not_wait_for_the_device():
    recipe = Recipe(smooth=1e-3)
    flow = HamiltonianFlow(16, 8, h=0.1)
    task = Task(
        nn.Sequential(flow, nn.AdaptiveAvgPool2d(1), nn.Flatten()), recipe, LabelInfo(16)
    ).cuda()
    average = MovingAverage(0.9)
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))
    average.setup(trainer, task, "fit")
    optimizer = build_optimizer(task.network, recipe.optimizer)
    batch = torch.randn(8, 16, 12, 12, device="cuda"), torch.zeros(8, dtype=int, device="cuda")

    def train_one_step():
        optimizer.zero_grad()
        task.training_step(batch, 0).backward()
        optimizer.step()
        average._averaged.update_parameters(task)

    train_one_step()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_one_step()
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_memory_does_not_grow_with_depth():
    def peak_bytes(steps):
        flow = HamiltonianFlow(16, steps, h=0.1).cuda()
        u = torch.randn(16, 16, 32, 32, device="cuda")
        flow(u).square().mean().backward()  # allocates gradients and workspaces
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        flow(u).square().mean().backward()
        return torch.cuda.max_memory_allocated() - before

    state_bytes = 4 * 16 * 16 * 32 * 32  # of u, in float32
    assert peak_bytes(32) - peak_bytes(4) < 2 * state_bytes
