"""A plugin that adds one activation, one layer, one type of parameter and one claim."""

import odenet
from odenet.plugins import (
    ActivationKind,
    ClaimKind,
    LayerKind,
    Number,
    Operator,
    Parameter,
    ParameterKind,
    Tensor,
    init,
)


def flipped(x, K):
    """K x: the channels of x in the opposite order, each times a factor."""
    return K * x.flip(1)


def adjoint_flipped(x, K):
    """Kᵀ x."""
    return (K * x).flip(1)


SQUASH = ActivationKind(
    "squash",
    code="functional.softsign({x})",
    module="nn.Softsign()",
    value=lambda x: x / (1 + abs(x)),
    derivative=lambda x: 1 / (1 + abs(x)) ** 2,
    odd=True,
    primitive="{x}.abs() - torch.log1p({x}.abs())",
    latex="\\varsigma",
)
AMPLIFY = LayerKind(
    "amplify",
    "every channel times a factor, all by a",
    arguments={"a": Parameter(Number(0), "multiplies all", default=2.0)},
    code=lambda layer, width: (
        f"Elementwise(lambda x: {layer.arguments['a']!r} * functional.softsign(x))"
    ),
    numeric=lambda layer, weights, x, space: (
        layer.arguments["a"] * x.pointwise(SQUASH.value, SQUASH.derivative)
    ),
)
FLIPPED = ParameterKind(
    "flipped",
    role="operator",
    meaning="the channels in the opposite order, one factor each",
    arguments={"init": init("ones")},
    tensors=lambda options, reads, gives, axes: {"": Tensor((reads, *(1,) * axes))},
    construct=lambda options, make: (
        f"diagonal({make.steps}, {make.in_channels}, space={make.axes}{make.init('ones')})"
    ),
    operator=Operator(
        "flipped",
        adjoint="adjoint_flipped",
        numeric=lambda options, K, x, space: K.reshape(-1, 1) * x[::-1],
        norm_bound="{K}.abs().amax()",
    ),
    imports=("from example_plugin import adjoint_flipped, flipped",),
)
FRUGAL = ClaimKind(
    "frugal",
    "at most that many parameters are declared",
    judge=lambda facts, claim: (
        len(facts.model.parameters) <= claim.number,
        f"{len(facts.model.parameters)} parameters are declared",
    ),
    example=3,
    concerns_steps=False,
)

odenet.register_activation(SQUASH)
odenet.register_layer(AMPLIFY)
odenet.register_parameter(FLIPPED)
odenet.register_claim(FRUGAL)
