"""The torch code of every layer and activation has the shape, slopes and bounds that its table states.

Slopes are compared with those that autograd finds on a grid.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional  # noqa: F401  (used by the rows' code)

import odenet
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.layers import LAYERS
from odenet.runtime import *  # noqa: F403  (the rows' code names what it needs)

ARGUMENTS = {  # for the layers and activations that need some
    "conv": "(3, 6)",
    "dense": "(5)",
    "gn": "(2)",
    "attention": "(2)",
    "pool": "(2)",
    "maxpool": "(2)",
    "squeeze": "(2)",
    "upsample": "(2)",
    "widen": "(7)",
    "dropout": "(0.5)",
    "leaky_relu": "(0.1)",
    "shrink": "(0.3)",
    "embed": "(4)",
}
SPEC = """
state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise midpoint(h = 0.1)
net = input(4, 6, 6) -> flow(1) -> {layers}
"""
TOKEN_SPEC = SPEC.replace("input(4, 6, 6) -> flow(1)", "tokens(6, vocabulary = 9)")
# What has to precede the layers that work on embedded tokens.
LAYERS_BEFORE = {"position": "embed(4) -> ", "head": "embed(4) -> "}
LAYER_NAMES = set(LAYERS) - {"existing"}  # a user's own module; it is tested elsewhere


@pytest.mark.parametrize("name", sorted(LAYER_NAMES))
def test_a_layer_gives_the_shape_its_row_promises(name):
    preceding = "mean -> " if name == "dense" else LAYERS_BEFORE.get(name, "")
    reads_tokens = name in LAYERS_BEFORE or LAYERS[name].reads_token_ids
    text = TOKEN_SPEC if reads_tokens else SPEC
    program = odenet.loads(text.format(layers=f"{preceding}{name}{ARGUMENTS.get(name, '')}"))
    last_shape = program.model.net[-1].shape_out
    inputs = torch.randn(2, *program.input_shape)
    if reads_tokens:
        inputs = torch.randint(program.vocabulary, (2, *program.input_shape))
    shape = (2, int(last_shape.channels.constant), *last_shape.space)
    assert program.network()(inputs).shape == shape


MAP_LAYERS = [
    (name, space)
    for name, row in LAYERS.items()
    for space in (0, 1, 2)
    if row.in_map and not (name == "conv" and space == 0) and not (name == "dense" and space > 0)
]


@pytest.mark.parametrize(("name", "space"), MAP_LAYERS)
def test_a_layer_of_a_map_keeps_the_shape_in_any_dimension(name, space):
    arguments = {"conv": "(3)", "dense": "", "gn": "(2)"}.get(name, ARGUMENTS.get(name, ""))
    sizes = ", ".join(["4", *["5"] * space])
    text = f"state x\nmap f = {name}{arguments}\nx' = f(x)\ndiscretise momentum\n"
    program = odenet.loads(f"{text}net = input({sizes}) -> flow(2)\n")
    u = torch.randn(3, *program.input_shape)
    assert program.network()(u).shape == u.shape


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_has_the_slope_sign_and_primitive_of_its_row(name):
    row = ACTIVATIONS[name]
    constants = [0.3] * len(row.constants)
    x = torch.linspace(-15, 15, 8001, dtype=torch.float64, requires_grad=True)
    value = eval(row.code.format(*constants, x="x"))
    (slope,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
    largest, least = float(row.slope(*constants)), float(row.least_slope(*constants))
    grid_error = 0.01  # the extrema may lie between points of the grid
    assert slope.abs().max() - 1e-9 <= largest <= slope.abs().max() + grid_error
    assert slope.min() - grid_error <= least <= slope.min()
    assert (slope.min() >= 0) == row.nondecreasing(*constants)
    assert row.odd == torch.allclose(value, -value.flip(0))
    assert row.nonnegative == bool((value >= 0).all())
    module = eval(row.module.format(*constants))
    assert isinstance(module, nn.Module)
    torch.testing.assert_close(module(x), value)
    if row.primitive:
        (primitive_slope,) = torch.autograd.grad(
            eval(row.primitive.format(*constants, x="x")).sum(), x
        )
        torch.testing.assert_close(primitive_slope, value, atol=1e-9, rtol=1e-9)


FAN_IN = 4 * 3 * 3  # for a 3×3 convolution of 4 channels; torch draws from ± FAN_IN^-½


@pytest.mark.parametrize(
    ("rule", "std"),
    [("", (1 / 3 / FAN_IN) ** 0.5), (", init = he", (2 / FAN_IN) ** 0.5), (", init = 0", 0)],
)
def test_convolutions_of_nets_and_maps_start_by_the_rule_they_name(rule, std):
    """By default it is torch's own, whose standard deviation is 0.41 times that of He's rule."""
    torch.manual_seed(0)
    text = f"state x\nmap f = conv(3, 64{rule}) -> conv(3, c{rule})\nx' = f(x)\n"
    net = f"net = input(4, 6, 6) -> conv(3, 64{rule}) -> conv(3, 4) -> flow(1)\n"
    network = odenet.loads(f"{text}discretise momentum\n{net}").network()
    flow = network[2]
    map_of_first_step = flow.f[0]
    for convolution in (network[0], map_of_first_step[0]):
        assert convolution.weight.std().item() == pytest.approx(std, rel=0.1)
