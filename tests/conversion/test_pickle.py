"""Flows, networks and converted models in files that another process reads."""

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

READ = """
import sys, torch
things, outputs = torch.load(sys.argv[1], weights_only=False), []
for name, (thing, given) in things.items():
    given = given.clone().requires_grad_()
    out = thing(given) if isinstance(thing, torch.nn.Module) else sum(thing)
    if isinstance(thing, torch.nn.Module):
        out.square().sum().backward()
        outputs.append((name, out.detach(), given.grad))
    else:
        outputs.append((name, out, type(thing).__name__))
torch.save(outputs, sys.argv[1])
"""

POSITIVE = """
state x
param K : conv(3)
param n : norm(batch, positive)
x' = -K^T tanh(n(K x))
net = input(3, 8, 8) -> conv(3, 4) -> flow(2) -> sin -> mean -> dense(2)
discretise midpoint(h = 0.1)
"""


def small_stage():
    return nn.Sequential(*(BasicBlock(4, 4) for _ in range(3)))


def things():
    torch.manual_seed(0)
    flow = odenet.load(SPECS[0].parent / "hamiltonian.ode").flow(4, 3)
    maps = torch.randn(2, 4, 6, 6)
    blocks = [(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2)]
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2
    )
    return {
        "flow": (flow, maps),
        "state": (flow.initial(maps), maps),
        "network": (odenet.load(SPECS[0].parent / "digits.ode").network().eval(), pictures(1, 8)),
        "reversible": (reversible(blocks, "verlet"), torch.randn(2, 6)),
        "learned speed": (convert(small_stage(), v0="learned").eval(), maps),
        "encoder": (convert(encoder), torch.randn(2, 3, 4)),
    }


def pictures(channels, size):
    return torch.randn(2, channels, size, size)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_another_process_reads_them_whole(tmp_path):
    given = things()
    torch.save(given, tmp_path / "things.pt")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "things.pt")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, out, other in torch.load(tmp_path / "things.pt"):
        thing, x = given[name]
        if not isinstance(thing, nn.Module):
            assert other == "State" and torch.allclose(out, sum(thing))
            continue
        x = x.clone().requires_grad_()
        expected = thing(x)
        expected.square().sum().backward()
        torch.testing.assert_close(out, expected.detach(), msg=name)
        torch.testing.assert_close(other, x.grad, msg=name)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_network_that_is_shipped_can_be_pickled(path):
    program = odenet.load(path)
    network = program.network() if program.model.net else program.flow(4, 2)
    again = pickle.loads(pickle.dumps(network))
    assert type(again) is type(network)
    for a, b in zip(again.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("again", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_positive_gains_and_functions_survive(again):
    network = odenet.loads(POSITIVE).network()
    other = again(again(network))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(other(x), network(x))
    other(x).sum().backward()
    assert all(p.grad is not None for p in other.parameters())
    assert all(p.grad is None for p in network.parameters())


def test_a_converted_model_finds_its_own_blocks_after_pickling():
    converted = convert(small_stage().double().eval())
    other = pickle.loads(pickle.dumps(converted))
    x = torch.randn(1, 4, 5, 5).double()
    torch.testing.assert_close(other(x), converted(x))
    other[1] = nn.Identity()
    assert not torch.allclose(other(x), converted(x))
    with pytest.raises(RuntimeError, match="is a step of a flow"):
        other[2](x)


def test_a_compiled_flow_compiles_again_where_it_is_read():
    flow = odenet.load(SPECS[0].parent / "hamiltonian.ode").flow(4, 3)
    flow.compile(dynamic=True)
    other = pickle.loads(pickle.dumps(flow))
    assert other.compiled is not flow.compiled
    assert other.compiled._options == {"dynamic": True}


def test_a_state_copies_and_pickles_as_itself():
    flow = odenet.load(SPECS[0].parent / "hamiltonian.ode").flow(4, 3)
    state = flow.initial(torch.randn(1, 4, 3, 3))
    for other in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state), copy.copy(state)):
        assert type(other) is type(state) and torch.equal(other.Y, state.Y)
