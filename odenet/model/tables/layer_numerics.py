"""Layers as array code, for the numeric checks: what torch computes in evaluation.

Fields are (channels, cells). They are dual numbers, so the code keeps to what those can do
(odenet/analyse/dual_numbers.py); tensors carry torch's names and shapes.
"""

from collections.abc import Callable, Mapping
from math import sqrt

from odenet.model.tables.activations import ACTIVATIONS, ActivationKind
from odenet.model.tables.layer_kinds import Layer
from odenet.model.tables.norms import NORMS, standardised
from odenet.model.tables.tensors import Array, Dual, Space, Tensor, Tensors

Arrays = Mapping[str, Array]
Numeric = Callable[[Layer, Arrays, Dual, Space], Dual]


def linear_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of a convolution, or of a full matrix where it has no kernel."""
    sizes = (int(layer.arguments["k"]),) * axes if "k" in layer.arguments else ()
    found = {"weight": Tensor((after, before // layer.groups, *sizes))}
    if layer.arguments["bias"] == "yes":
        found["bias"] = Tensor((after,), "shift")
    return found


def linear(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """A convolution or a full matrix on the channels, with its bias."""
    dilation = int(layer.arguments.get("dilation", 1))
    made = x.convolved(weights["weight"], space, layer.groups, dilation)
    return made + weights["bias"][:, None] if "bias" in weights else made


def norm_tensors(kind: str) -> Callable[[Layer, int, int, int], Tensors]:
    """Of a normalisation of a kind."""
    return lambda layer, before, after, axes: NORMS[kind].tensors(before)


def norm(kind: str) -> Numeric:
    """A normalisation of a kind."""
    return lambda layer, weights, x, space: NORMS[kind].numeric(weights, x, layer.groups)


def token_norm_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of a normalisation of every token."""
    return {
        "inner.weight": Tensor((before,), "gain"),
        "inner.bias": Tensor((before,), "shift"),
    }


def token_norm(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """The channels of every place with mean 0 and variance 1, then a gain and a shift."""
    unit = standardised(x, axis=0)
    return weights["inner.weight"][:, None] * unit + weights["inner.bias"][:, None]


def _affine(names: Mapping[str, tuple[int, int]]) -> Tensors:
    """Full matrices with biases: name -> channels before and after."""
    found: dict[str, Tensor] = {}
    for name, (before, after) in names.items():
        found[f"{name}.weight"] = Tensor((after, before))
        found[f"{name}.bias"] = Tensor((after,), "shift")
    return found


def _dense(weights: Arrays, name: str, x: Dual) -> Dual:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"][:, None]


def attention_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of a self-attention: queries, keys and values in one matrix, and what joins the heads."""
    return _affine({"inner.project": (before, 3 * before), "inner.join": (before, before)})


def attention(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """Vaswani et al. 2017, Eq. 1, with several heads; the places are the tokens."""
    channels = len(x)
    size = channels // layer.groups
    causal = layer.arguments["causal"] == "yes"
    projected = _dense(weights, "inner.project", x)
    heads: list[Dual] = []
    for head in range(layer.groups):
        query, key, value = (
            projected[part * channels + head * size : part * channels + (head + 1) * size]
            for part in range(3)
        )
        attended = ((query.T @ key) / sqrt(size)).softmax(causal)  # (tokens, tokens)
        heads.append(value @ attended.T)
    return _dense(weights, "inner.join", heads[0].stacked(heads[1:]))


def mlp_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of the two matrices of an `mlp`."""
    wide = before * int(layer.arguments["ratio"])
    return _affine({"inner.0": (before, wide), "inner.2": (wide, before)})


def mlp(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """At every place: a wider dense layer, GELU, and back."""
    gelu = ACTIVATIONS["gelu"]
    inside = _dense(weights, "inner.0", x).pointwise(gelu.value, gelu.derivative)
    return _dense(weights, "inner.2", inside)


def activation(row: ActivationKind) -> Numeric:
    """An activation as a layer."""

    def numeric(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
        constants = [float(value) for value in layer.arguments.values()]
        return x.pointwise(*row.functions(constants))

    return numeric
