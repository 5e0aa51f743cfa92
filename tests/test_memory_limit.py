"""The size of a network, predicted before it is built, equals that of the network that torch builds.

A network whose parameters or values do not fit into memory is refused.
"""

import pytest

from odenet import memory_limit
from odenet.compiler import load, loads
from odenet.diagnostics import SpecError
from odenet.memory_limit import require_memory
from odenet.model.typed.network_size import network_size
from tests.language.spec_texts import SPECS

SPEC = """state Y
shared param K : conv(3, groups = 2)
param d : diag
param b : bias
param N : norm(batch)
map f = conv(3) -> bn -> mlp(2) -> attention(2)
Y' = f(Y) + d tanh(N(K Y) + b)
discretise euler(h = 0.1)
net = input(3, 8, 8) -> conv(3, 8, bias = yes) -> flow(3) -> residual(gn(2) -> conv(3)) -> mean
      -> layernorm -> dense(10)
"""


def parameter_count(network):
    """The number of learned scalars of a torch network."""
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_size_is_that_of_the_network_that_torch_builds():
    program = loads(SPEC)
    assert network_size(program.model).parameters == parameter_count(program.network())


@pytest.mark.parametrize("path", [p for p in SPECS if p.stem in ("digits", "transformer")],
                         ids=lambda p: p.stem)  # fmt: skip
def test_the_size_of_a_spec_that_ships_is_that_of_its_network(path):
    program = load(path)
    assert network_size(program.model).parameters == parameter_count(program.network())


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("dense(10)", "dense(10) -> dense(10^9) -> dense", "EB of parameters", 10),
        ("flow(3)", "flow(10^9)", "TB of parameters", 9),
        ("input(3, 8, 8)", "input(3, 10^6, 10^6)", "TB of values for one sample", 9),
    ],
)
def test_a_network_that_no_memory_holds_is_refused_with_its_size(old, new, message, line):
    with pytest.raises(SpecError) as caught:
        require_memory(loads(SPEC.replace(old, new)), batch=1)
    (diagnostic,) = caught.value.diagnostics
    assert message in diagnostic.message
    assert diagnostic.span is not None and diagnostic.span.line == line


def test_a_network_that_fits_exactly_is_not_refused(monkeypatch):
    program = loads(SPEC)
    needed = 4 * network_size(program.model).parameters  # in bytes, as float32
    monkeypatch.setattr(memory_limit, "physical_memory", lambda: needed)
    require_memory(program, batch=1)
    monkeypatch.setattr(memory_limit, "physical_memory", lambda: needed - 1)
    with pytest.raises(SpecError, match="of parameters"):
        require_memory(program, batch=1)
