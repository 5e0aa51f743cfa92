"""Layers `unit(n, channels)`, flows whose first step changes the shape, against plain torch.

Those are written out here from the papers, in double precision. In the first step, `unit.entry`, the
modules of a map f that reads the old shape are in `f_in`, those of a map at the new shape in `f`.
"""

import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import odenet
from odenet.model.reading.presets import preset
from odenet.model.typed.network_size import network_size
from odenet.runtime import Coarsened, Flow, Unit
from tests.systems.handwritten import adjoint_conv, conv, residual_branch

SPECS = Path(__file__).parents[2] / "specs"
# a unit of three steps from 4 to 6 channels, or from 2 to 3 in each of two states
NET = (
    "\nnet = input(3, 8, 8) -> conv(3, 4) -> unit(3, 6, stride = 2{options}) -> mean -> dense(2)\n"
)


def spec_unit(spec, options="", **settings):
    """The unit of a small net with the dynamics of a spec, in double precision, and an input."""
    torch.manual_seed(3)
    text = (SPECS / f"{spec}.ode").read_text()
    start, end = text.index("net = "), text.index("train {")
    text = text[:start] + NET.format(options=options).lstrip() + text[end:]
    (unit,) = (
        m for m in odenet.loads(text, set=settings).network().modules() if isinstance(m, Unit)
    )
    unit = unit.double()
    for parameter in unit.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    # 7: stride and pooling have to treat an odd side
    return unit, torch.randn(2, 4, 7, 8, dtype=torch.float64, requires_grad=True)


def subsample(x, channels):
    """Every second pixel and zeros for new channels: He et al. 2016, option A."""
    x = x[:, :, ::2, ::2]
    return torch.cat([x, x.new_zeros(len(x), channels - x.shape[1], *x.shape[2:])], 1)


def pool(x, channels):
    """Average pooling, and zeros for new channels; a last odd row is averaged by itself."""
    x = F.avg_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate"), 2)
    return torch.cat([x, x.new_zeros(len(x), channels - x.shape[1], *x.shape[2:])], 1)


def strided_branch(layers, x):
    """bn-relu-conv-bn-relu-conv whose first convolution has stride 2."""
    norm, _, first, second_norm, _, second = layers
    x = torch.relu(F.batch_norm(x, None, None, norm.weight, norm.bias, training=True))
    x = F.conv2d(x, first.weight, stride=2, padding=1)
    x = torch.relu(F.batch_norm(x, None, None, second_norm.weight, second_norm.bias, training=True))
    return F.conv2d(x, second.weight, padding=1)


def resnet(unit, x, h):
    """Chang et al. 2018 (ICLR), section 2.1."""
    x = subsample(x, 6) + h * strided_branch(unit.entry.f_in[0], x)
    for step in range(2):
        x = x + h * residual_branch(unit.flow.f[step], x)
    return x


def revnet(unit, x, h):
    """Gomez et al. 2017, with halves pooled and widened each by itself."""
    Y, Z = x.chunk(2, 1)
    Y, Z = pool(Y, 3) + h * strided_branch(unit.entry.f_in[0], Z), pool(Z, 3)
    Z = Z + h * residual_branch(unit.entry.g[0], Y)
    for step in range(2):
        Y = Y + h * residual_branch(unit.flow.f[step], Z)
        Z = Z + h * residual_branch(unit.flow.g[step], Y)
    return torch.cat([Y, Z], 1)


def hamiltonian(unit, x, h):
    """Chang et al. 2018 (AAAI), Eq. 10, the first step at the old shape."""
    Y, Z = x.chunk(2, 1)
    for flow in (unit.entry.flow, unit.flow):
        for j in range(flow.steps):
            Y = Y + h * adjoint_conv(torch.relu(conv(Z, flow.K1[j]) + flow.b1[j]), flow.K1[j])
            Z = Z - h * adjoint_conv(torch.relu(conv(Y, flow.K2[j]) + flow.b2[j]), flow.K2[j])
        if flow is unit.entry.flow:
            Y, Z = pool(Y, 3), pool(Z, 3)
    return torch.cat([Y, Z], 1)


def leapfrog(unit, x, h):
    """Chang et al. 2018 (AAAI), Eq. 17; the previous state goes through the shortcut as well."""
    previous, Y = torch.zeros_like(x), x
    for flow in (unit.entry.flow, unit.flow):
        for j in range(flow.steps):
            rate = -adjoint_conv(torch.relu(conv(Y, flow.K[j]) + flow.b[j]), flow.K[j])
            previous, Y = Y, 2 * Y - previous + h**2 * rate
        if flow is unit.entry.flow:
            previous, Y = pool(previous, 6), pool(Y, 6)
    return Y


def momentum(unit, x, h, gamma=0.9):
    """Sander et al. 2021, Eq. 2; the velocity of the first step is kept."""
    v = (1 - gamma) * strided_branch(unit.entry.f_in[0], x)
    x = subsample(x, 6) + v
    for step in range(2):
        v = gamma * v + (1 - gamma) * residual_branch(unit.flow.f[step], x)
        x = x + v
    return x


# spec -> the unit written out, options of `unit` in the net, settings of the spec
HANDWRITTEN = {
    "resnet": (resnet, "", {"h": 0.5}),
    "revnet": (revnet, ", shortcut = pool", {"h": 0.5}),
    "hamiltonian": (hamiltonian, ", shortcut = pool", {"h": 0.3}),
    "leapfrog": (leapfrog, ", shortcut = pool", {"h": 0.3}),
    "momentum": (momentum, "", {}),
}


@pytest.mark.parametrize("spec", HANDWRITTEN)
def test_a_unit_has_the_outputs_and_gradients_of_the_handwritten_one(spec):
    handwritten, options, settings = HANDWRITTEN[spec]
    unit, x = spec_unit(spec, options, **settings)
    output, expected = unit(x), handwritten(unit, x, settings.get("h"))
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    inputs = [x, *unit.parameters()]
    gradients = (torch.autograd.grad(y.square().sum(), inputs) for y in (output, expected))
    for actual, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, reference, rtol=1e-9, atol=1e-9)


def test_a_learned_shortcut_takes_all_states_and_may_reduce_channels():
    unit, x = spec_unit("revnet", ", shortcut = conv")
    kernel = unit.entry.shortcut.project.weight
    skipped = unit.entry.skipped(x)
    for half, value in zip(x.chunk(2, 1), skipped, strict=True):
        torch.testing.assert_close(value, F.conv2d(half, kernel, stride=2))
    text = (
        "state x\nmap f = conv(3) -> tanh\nx' = f(x)\ndiscretise euler(h = 1)\n"
        "net = input(3, 8, 8) -> conv(3, 8) -> unit(2, 4, shortcut = conv) -> mean -> dense(2)\n"
    )
    assert odenet.loads(text).network()(torch.randn(2, 3, 8, 8)).shape == (2, 2)


def equations_unit(equations, scheme):
    """The unit of a small net with these equations, in double precision, and an input."""
    torch.manual_seed(3)
    text = f"{equations}\n{scheme}{NET.format(options=', shortcut = pool')}"
    program = odenet.loads(text)
    network = program.network()
    assert parameter_count(network) == network_size(program.model).parameters
    (unit,) = (module for module in network if isinstance(module, Unit))
    return unit.double(), torch.randn(2, 4, 7, 8, dtype=torch.float64)


def tanh_conv(layer, x, stride=1):
    """The map `conv(3) -> tanh`, perhaps with a stride."""
    return torch.tanh(F.conv2d(x, layer[0].weight, stride=stride, padding=1))


def test_in_the_first_step_of_a_second_order_equation_the_velocity_has_the_new_shape():
    equations = "state Y\nmap f = conv(3) -> tanh\nY'' = f(Y)\nY'(0) = -u"
    unit, x = equations_unit(equations, "discretise verlet(h = 0.5)")
    Y, V = pool(x, 6), pool(-x, 6)
    layers = [unit.entry.f[0], *unit.flow.f]
    for layer in layers:  # even the first acts on a state that has the new shape
        Y = Y + 0.5 * V
        V = V + 0.5 * tanh_conv(layer, Y)
    torch.testing.assert_close(unit(x), Y)
    unit, x = equations_unit(equations, "discretise euler(h = 0.5)")
    # Euler's first step evaluates f at the state of the old shape.
    Y, V = (
        pool(x, 6) - 0.5 * pool(x, 6),
        pool(-x, 6) + 0.5 * tanh_conv(unit.entry.f_in[0], x, 2),
    )
    for layer in unit.flow.f:
        Y, V = Y + 0.5 * V, V + 0.5 * tanh_conv(layer, Y)
    torch.testing.assert_close(unit(x), Y)


def test_learned_scalars_of_the_first_step_are_counted():
    equations = "state Y\nparam a, b : scalar(init = 0.5)\nmap f = conv(3) -> tanh\nY' = a b f(Y)"
    unit, x = equations_unit(equations, "discretise euler(h = 1)")  # a b = 0.25
    Y = pool(x, 6) + 0.25 * tanh_conv(unit.entry.f_in[0], x, 2)
    for layer in unit.flow.f:
        Y = Y + 0.25 * tanh_conv(layer, Y)
    torch.testing.assert_close(unit(x), Y)


def test_a_first_step_whose_scheme_calls_maps_is_made_at_the_old_shape():
    maps = "map f = conv(3) -> tanh\nmap g = conv(3) -> tanh\nmap s = conv(3) -> tanh"
    affine = """scheme affine {
    for Y' = F(Z), Z' = G(Y)
    Y[n+1] = exp(s(Z[n])) * Y[n] + h F(Z[n])
    Z[n+1] = Z[n] + h G(Y[n+1])
}
discretise affine(h = 1)"""
    unit, x = equations_unit(f"state Y, Z\n{maps}\nY' = f(Z)\nZ' = g(Y)", affine)
    Y, Z = x.chunk(2, 1)
    for flow in (unit.entry.flow, unit.flow):
        for j in range(flow.steps):
            Y = Y * tanh_conv(flow.s[j], Z).exp() + tanh_conv(flow.f[j], Z)
            Z = Z + tanh_conv(flow.g[j], Y)
        if flow is unit.entry.flow:
            Y, Z = pool(Y, 3), pool(Z, 3)
    torch.testing.assert_close(unit(x), torch.cat([Y, Z], 1))


@pytest.mark.parametrize("spec", ["resnet", "revnet", "hamiltonian"])
def test_a_refined_unit_has_twice_the_steps_and_a_copy_of_step_0_follows_its_entry(spec):
    unit, _ = spec_unit(spec, HANDWRITTEN[spec][1], h=0.5)
    finer = unit.refine()
    assert (finer.steps, finer.flow.h) == (6, 0.25)
    entry = finer.entry.flow if isinstance(finer.entry, Coarsened) else finer.entry
    assert entry.h == 0.25
    before, after = unit.state_dict(), finer.state_dict()
    # Each step becomes two. The entry cannot be copied, since it changes the shape: in place of its
    # second half there is one more copy of step 0 of the flow.
    sources = [0, 0, 0, 1, 1]
    entry_names = {name for name in before if name.startswith("entry.")}
    assert all(torch.equal(before[name], after[name]) for name in entry_names)
    if spec == "hamiltonian":
        assert torch.equal(after["flow.K1"], before["flow.K1"][sources])
        return
    for step, source in enumerate(sources):
        for name in (name for name in before if name.startswith(f"flow.f.{source}.")):
            new = name.replace(f"flow.f.{source}.", f"flow.f.{step}.")
            assert torch.equal(after[new], before[name])


def preset_network(spec, name, classes=10):
    """The network of a preset; its parameters are as many as network_size says."""
    program = odenet.load(SPECS / f"{spec}.ode", set=preset(SPECS / f"{spec}.ode", name))
    network = program.network(classes)
    if classes == 10:  # as in the spec
        assert network_size(program.model).parameters == parameter_count(network)
    return network


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("spec", "name", "expected"),
    [
        ("resnet", "resnet-14", [172_506, 366_938, 755_802]),
        ("resnet", "resnet-32", [464_154, 950_234, 1_922_394]),
        ("wide_resnet", "wide-resnet-14", [685_994, 1_461_930, 3_013_802]),
    ],
)
def test_interpolated_networks_have_the_parameters_of_the_paper(spec, name, expected):
    network = preset_network(spec, name)
    for parameters in expected:  # as built, refined once, refined twice
        assert parameter_count(network) == parameters
        for path, module in list(network.named_children()):
            if isinstance(module, Flow | Unit):
                network.set_submodule(path, module.refine())


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        ("revnet-38", 10, 464_858),
        ("revnet-38", 100, 475_028),
        ("revnet-110", 10, 1_729_162),
        ("revnet-110", 100, 1_740_772),
    ],
)
def test_revnets_have_the_parameters_of_chang_et_al_2018_table_1(name, classes, expected):
    assert parameter_count(preset_network("revnet", name, classes)) == expected


@pytest.mark.parametrize("scheme", ["heun(h = 0.5)", "rk4(h = 0.5)", "euler(T = 1)"])
def test_the_parameters_of_a_unit_are_counted_for_any_scheme(scheme):
    text = (
        "state x\nmap f = conv(3) -> tanh -> conv(3)\nx' = f(x)\n"
        f"discretise {scheme}\nnet = input(3, 9, 9) -> conv(3, 4) -> unit(3, 6, stride = 2) -> mean"
    )
    program = odenet.loads(text)
    network = program.network()
    assert parameter_count(network) == network_size(program.model).parameters
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 6)
    (unit,) = (module for module in network if isinstance(module, Unit))
    assert unit.entry.h == pytest.approx(unit.flow.h)
    assert unit.refine().entry.h == pytest.approx(unit.flow.h / 2)


def saved_activations(unit, x):
    """How many feature maps autograd saves in the first step, and in all others together."""
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        state = unit.entry(x)
        first = len(saved)
        unit.flow(state)
    is_feature_map = [t.ndim == 4 and len(t) == len(x) for t in saved]
    return sum(is_feature_map[:first]), sum(is_feature_map[first:])


def test_the_steps_after_the_first_keep_no_activations():
    unit, x = spec_unit("revnet", ", shortcut = pool")
    first, others = saved_activations(unit, x)
    assert first > others
    assert saved_activations(unit.refine(), x) == (first, others)


@pytest.mark.parametrize("spec", ["revnet", "hamiltonian"])
def test_a_network_of_units_can_be_pickled_traced_and_exported(spec):
    torch.manual_seed(0)
    path = SPECS / f"{spec}.ode"
    layers = odenet.load(path, set={"n": 2, "w": 64, "size": 8}).network().eval()
    network = nn.Sequential(*(layers[i] for i in range(4)))  # a convolution, a flow and two units
    x = torch.randn(2, 3, 8, 8)
    expected = network(x)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), expected)
    traced = torch.fx.symbolic_trace(network)
    assert torch.equal(traced(x), expected)
    modules = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert modules.count("2") == 1  # the first unit is one node
    with torch.no_grad():
        exported = torch.export.export(network, (x,)).module()
        torch.testing.assert_close(exported(x), expected)


def test_the_h_of_a_layer_replaces_the_step_size_that_follows_from_a_time():
    text = (
        "state x\nmap f = conv(3) -> tanh\nx' = f(x)\ndiscretise euler(T = 1)\n"
        "net = input(3, 8, 8) -> flow(3, h = 0.1) -> unit(3, 6, stride = 2, h = 0.2) -> mean"
    )
    flow, unit, _ = odenet.loads(text).network()
    assert flow.h == pytest.approx(0.1)
    assert unit.entry.h == pytest.approx(unit.flow.h) == pytest.approx(0.2)
