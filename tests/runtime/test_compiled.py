"""Flows under `torch.compile`: equal gradients, few graphs, and what runs eagerly instead."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import odenet
from odenet.testing import assert_exact, assert_gradients
from tests.runtime.handwritten import EulerFlow, HamiltonianFlow, build

IS_OLDEST_TORCH = torch.__version__.startswith("2.11.")  # the oldest supported; docs/runtime.md

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own, while it compiles
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]


class GraphCounter:
    """A backend of torch.compile that compiles nothing and counts the graphs it receives."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


@pytest.fixture(autouse=True)
def reset_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["batch norms inside", "midpoint", "exogenous input"])
def test_compiled_steps_give_the_same_gradients(name):
    flow, u = build(name, steps=3)
    flow.compile(backend="aot_eager")
    assert_gradients(flow, u, tolerance=1e-10)


@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "momentum"])
def test_the_number_of_compiled_graphs_does_not_grow_with_depth(name):
    flow, u = build(name, steps=7)
    graphs = GraphCounter()
    flow.compile(backend=graphs)
    for _ in range(2):
        flow.float()(u.float()).sum().backward()
    assert graphs.count == 2  # one step forward, one step backward


@pytest.mark.skipif(IS_OLDEST_TORCH, reason="compiled anew for each flow")
@pytest.mark.parametrize("name", ["hamiltonian", "momentum"])
def test_flows_that_differ_only_in_their_weights_share_compiled_steps(name):
    graphs = GraphCounter()
    flows = []  # keeps the flows alive: compiled code is dropped with the flow it was made for
    for seed in range(3):
        flow, u = build(name, steps=2 + seed)
        flows.append(flow)
        for parameter in flow.parameters():
            nn.init.normal_(parameter, std=0.1)
        flow.compile(backend=graphs)
        assert_gradients(flow, u, tolerance=1e-10)
    assert graphs.count == 2


def test_flows_of_different_constants_or_sizes_do_not_evict_each_others_compiled_steps():
    graphs = GraphCounter()
    # Nine and one: more than torch compiles one function for by default (recompile_limit, 8).
    flows = [HamiltonianFlow(4, 3, h=0.1 * (n + 1)) for n in range(9)]
    flows.append(HamiltonianFlow(6, 3, h=0.1))
    for flow in flows:
        flow.compile(backend=graphs)
    for _ in range(2):
        for flow in flows:
            flow(torch.randn(2, flow.channels, 5, 6)).sum().backward()
    assert graphs.count == 2 * len(flows)  # the second round finds all of the first


def test_compiled_steps_update_each_running_statistic_once():
    statistics = {}
    for compiled in (True, False):
        flow, u = build("momentum", steps=3)
        if compiled:
            flow.compile(backend="aot_eager")
        flow.f[1].eval()  # the statistics of this step stay as they are
        flow(u).sum().backward()
        statistics[compiled] = dict(flow.named_buffers())
    for name, expected in statistics[False].items():
        torch.testing.assert_close(statistics[True][name], expected, msg=name)


def test_compiled_steps_follow_autocast():
    torch.manual_seed(0)
    flow, u = HamiltonianFlow(4, 5), torch.randn(2, 4, 5, 5)
    gradients = []
    for compiled in (False, True):
        if compiled:
            flow.compile(backend="aot_eager")
        flow.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = flow(u).square().sum()
        loss.backward()
        gradients.append(flow.K1.grad)
    assert gradients[0].dtype == gradients[1].dtype == torch.float32
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-2)


def test_without_a_compiler_flows_run_eagerly_with_one_warning():
    def failing_backend(graph, inputs):
        raise RuntimeError("no compiler on this machine")

    flow, u = build("hamiltonian")
    flow.compile(backend=failing_backend)
    with pytest.warns(UserWarning, match="torch.compile failed, so flows run eagerly") as warned:
        assert_gradients(flow, u, tolerance=1e-10)
    assert len(warned) == 1


def test_exact_arithmetic_runs_the_same_code_both_ways_and_so_is_not_compiled():
    flow, u = build("hamiltonian", steps=3)
    flow.compile(backend="aot_eager")
    assert_exact(flow.float(), u.float())
    flow.exact = True
    flow(u.float()).sum().backward()
    assert flow.drift == 0


def test_a_compiled_flow_can_be_copied_and_refined():
    flow, u = build("hamiltonian", steps=2)
    flow.compile(backend="aot_eager")
    for twin in (copy.deepcopy(flow), flow.refine()):
        assert twin.compiled is not flow.compiled
        assert_gradients(twin, u, tolerance=1e-10)


def test_a_network_that_is_compiled_whole_breaks_its_graph_at_the_flow_alone():
    flow, u = build("midpoint", steps=9)
    net = nn.Sequential(nn.Conv2d(3, 3, 1), flow, nn.Conv2d(3, 3, 1)).double()
    net(u).sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    graphs = GraphCounter()
    torch.compile(net, backend=graphs)(u).sum().backward()
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert graphs.count <= 4  # before the flow, its initial state, its output, and after it


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "reduce-overhead"},
        {"mode": "max-autotune"},
        {"options": {"triton.cudagraphs": True}},
    ],
)
def test_cuda_graphs_of_single_steps_are_refused(options):
    flow = HamiltonianFlow(4, 2)
    with pytest.raises(ValueError, match="make_graphed_callables"):
        flow.compile(**options)
    assert flow.compiled is None
    flow.compile(mode="max-autotune-no-cudagraphs")


def test_compiling_a_flow_without_effect_warns_and_says_why():
    flow_of_modules = odenet.reversible([nn.Linear(4, 4) for _ in range(2)])
    dropout, _ = build("momentum with dropout")
    for flow, reason in (
        (flow_of_modules, "may draw random numbers"),
        (dropout, "may draw random numbers"),
        (EulerFlow(3, 2), "cannot be reversed"),
    ):
        with pytest.warns(UserWarning, match=rf"flow\.compile\(\) has no effect: .*{reason}"):
            flow.compile(backend="aot_eager")
        assert flow.compiled is None
