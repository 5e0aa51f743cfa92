"""Flows, networks and converted models, pickled, and read by this process or another one."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

import odenet
from odenet.conversion import convert, reversible

SPECS = sorted(Path(__file__).parents[2].glob("specs/*.ode"))

# Runs each object of a file on its input; writes outputs and gradients into the same file. A state
# is no module: its tensors are summed, and its class is written.
READER = """
import sys, torch
originals, outputs = torch.load(sys.argv[1], weights_only=False), []
for name, (original, x) in originals.items():
    x = x.clone().requires_grad_()
    out = original(x) if isinstance(original, torch.nn.Module) else sum(original)
    if isinstance(original, torch.nn.Module):
        out.square().sum().backward()
        outputs.append((name, out.detach(), x.grad))
    else:
        outputs.append((name, out, type(original).__name__))
torch.save(outputs, sys.argv[1])
"""

POSITIVE_NORM = """
state x
param K : conv(3)
param n : norm(batch, positive)
x' = -K^T tanh(n(K x))
net = input(3, 8, 8) -> conv(3, 4) -> flow(2) -> sin -> mean -> dense(2)
discretise midpoint(h = 0.1)
"""


def small_stage():
    return nn.Sequential(*(BasicBlock(4, 4) for _ in range(3)))


def pickled_objects():
    """By name, an object to pickle and an input for it."""
    torch.manual_seed(0)
    flow = odenet.load(SPECS[0].parent / "hamiltonian.ode").flow(4, 3)
    feature_maps = torch.randn(2, 4, 6, 6)
    blocks = [(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2)]
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2
    )
    return {
        "flow": (flow, feature_maps),
        "state": (flow.initial(feature_maps), feature_maps),
        "network": (odenet.load(SPECS[0].parent / "digits.ode").network().eval(), pictures(1, 8)),
        "reversible": (reversible(blocks, "verlet"), torch.randn(2, 6)),
        "learned speed": (convert(small_stage(), v0="learned").eval(), feature_maps),
        "encoder": (convert(encoder), torch.randn(2, 3, 4)),
    }


def pictures(channels, size):
    return torch.randn(2, channels, size, size)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_another_process_computes_the_same_with_pickled_objects(tmp_path):
    originals = pickled_objects()
    torch.save(originals, tmp_path / "objects.pt")
    process = subprocess.run(
        [sys.executable, "-c", READER, tmp_path / "objects.pt"], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    for name, out, gradient_or_class in torch.load(tmp_path / "objects.pt"):
        original, x = originals[name]
        if not isinstance(original, nn.Module):
            assert gradient_or_class == "State" and torch.allclose(out, sum(original))
            continue
        x = x.clone().requires_grad_()
        expected = original(x)
        expected.square().sum().backward()
        torch.testing.assert_close(out, expected.detach(), msg=name)
        torch.testing.assert_close(gradient_or_class, x.grad, msg=name)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_shipped_network_can_be_pickled(path):
    program = odenet.load(path)
    network = program.network() if program.model.net else program.flow(4, 2)
    copied = pickle.loads(pickle.dumps(network))
    assert type(copied) is type(network)
    for a, b in zip(copied.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "copy_object",
    [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_copies_keep_positive_gains_and_layers_that_are_functions(copy_object):
    network = odenet.loads(POSITIVE_NORM).network()
    copied_twice = copy_object(copy_object(network))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(copied_twice(x), network(x))
    copied_twice(x).sum().backward()
    assert all(p.grad is not None for p in copied_twice.parameters())
    assert all(p.grad is None for p in network.parameters())


def test_a_converted_model_finds_its_own_blocks_after_pickling():
    converted = convert(small_stage().double().eval())
    copied = pickle.loads(pickle.dumps(converted))
    x = torch.randn(1, 4, 5, 5).double()
    torch.testing.assert_close(copied(x), converted(x))
    copied[1] = nn.Identity()
    assert not torch.allclose(copied(x), converted(x))
    with pytest.raises(RuntimeError, match="is a step of a flow"):
        copied[2](x)


def test_a_pickled_compiled_flow_is_compiled_again_with_the_same_options():
    flow = odenet.load(SPECS[0].parent / "hamiltonian.ode").flow(4, 3)
    flow.compile(dynamic=True)
    copied = pickle.loads(pickle.dumps(flow))
    assert copied.compiled is not flow.compiled
    assert copied.compiled._options == {"dynamic": True}


def test_copied_and_pickled_states_keep_their_class_and_values():
    flow = odenet.load(SPECS[0].parent / "hamiltonian.ode").flow(4, 3)
    state = flow.initial(torch.randn(1, 4, 3, 3))
    for copied in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state), copy.copy(state)):
        assert type(copied) is type(state) and torch.equal(copied.Y, state.Y)
