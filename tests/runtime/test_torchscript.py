"""TorchScript is refused for flows with a message that names torch.export."""

import pytest
import torch

import odenet

SPEC = """
state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise {}
net = input(1, 6, 6) -> conv(3, 4) -> flow(2) -> mean -> dense(3)
"""
EXPORT_CALL = r"torch\.export\.export\(network, \(x,\)\)"

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns that TorchScript is deprecated


@pytest.fixture
def network():
    return odenet.loads(SPEC.format("midpoint(h = 0.1)")).network().eval()


def test_a_script_is_refused_for_a_flow_and_for_a_network_around_it(network):
    flow = next(m for m in network.modules() if isinstance(m, odenet.runtime.Flow))
    for module in (flow, network, torch.nn.Sequential(network)):
        with pytest.raises(NotImplementedError, match=rf"Flow: .*{EXPORT_CALL}"):
            torch.jit.script(module)


@pytest.mark.parametrize("memory", ["reversible", "checkpoint", 1000])  # a budget in bytes
def test_the_trace_of_a_backward_pass_is_refused(network, memory):
    for module in network.modules():
        if isinstance(module, odenet.runtime.Flow):
            module.memory = memory
    with pytest.raises(NotImplementedError, match=rf"backward pass of .*{EXPORT_CALL}"):
        torch.jit.trace(network, torch.rand(2, 1, 6, 6))


def test_a_forward_pass_alone_is_traced(network):
    x, y = torch.rand(2, 1, 6, 6), torch.rand(5, 1, 6, 6)
    with torch.no_grad():
        traced = torch.jit.trace(network, x)
        assert torch.equal(traced(y), network(y))


def test_a_flow_of_adaptive_steps_is_not_traced():
    pytest.importorskip("torchdiffeq")
    network = odenet.loads(SPEC.format("dopri5(rtol = 1e-3, T = 1)")).network().eval()
    with torch.no_grad(), pytest.raises(NotImplementedError, match="depends on the input"):
        torch.jit.trace(network, torch.rand(2, 1, 6, 6))
