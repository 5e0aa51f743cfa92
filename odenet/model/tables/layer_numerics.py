"""Layers as array code, for the numeric checks: what torch computes in evaluation.

Fields are (channels, cells). They are dual numbers, so the code keeps to what those can do
(odenet/analyse/dual_numbers.py); tensors carry torch's names and shapes.
"""

from collections.abc import Callable, Mapping
from math import cos, sin, sqrt

from odenet.model.tables.activations import ACTIVATIONS, ActivationKind
from odenet.model.tables.layer_kinds import Layer
from odenet.model.tables.norms import EPS, NORMS, standardised
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


def rms_norm_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of a normalisation of every token by its size."""
    return {"inner.weight": Tensor((before,), "gain")}


def rms_norm(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """The channels of every place with mean square 1, then a gain (Zhang and Sennrich 2019)."""
    return weights["inner.weight"][:, None] * (x / ((x * x).mean(0) + EPS).sqrt())


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
    count = int(layer.arguments["heads"])
    size = channels // count
    causal = layer.arguments["causal"] == "yes"
    turned = _turned if layer.arguments["rope"] == "yes" else _unturned
    projected = _dense(weights, "inner.project", x)
    heads: list[Dual] = []
    for head in range(count):
        query, key, value = (
            projected[part * channels + head * size : part * channels + (head + 1) * size]
            for part in range(3)
        )
        query, key = turned(query), turned(key)
        attended = ((query.T @ key) / sqrt(size)).softmax(causal)  # (tokens, tokens)
        heads.append(value @ attended.T)
    return _dense(weights, "inner.join", heads[0].stacked(heads[1:]))


def _unturned(x: Dual) -> Dual:
    return x


def _turned(x: Dual) -> Dual:
    """Rotary positions of (d, tokens), channel i paired with i + d/2 (Su et al. 2021, Eq. 34)."""
    half, tokens = len(x) // 2, x.shape[1]
    angles = [[place * 1e4 ** (-i / half) for place in range(tokens)] for i in range(half)]
    cosine, sine = ([[f(angle) for angle in row] for row in angles] for f in (cos, sin))
    first, second = x[:half], x[half:]
    turned = first * cosine - second * sine
    return turned.stacked([second * cosine + first * sine])


def mlp_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of the two matrices of an `mlp`."""
    wide = before * int(layer.arguments["ratio"])
    return _affine({"inner.0": (before, wide), "inner.2": (wide, before)})


def mlp(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """At every place: a wider dense layer, GELU, and back."""
    gelu = ACTIVATIONS["gelu"]
    inside = _dense(weights, "inner.0", x).pointwise(gelu.value, gelu.derivative)
    return _dense(weights, "inner.2", inside)


def glu_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    """Of the gate and the value in one matrix, and of the matrix that leads back."""
    wide = int(before * layer.arguments["ratio"])
    return {
        "inner.wider.weight": Tensor((2 * wide, before)),
        "inner.back.weight": Tensor((before, wide)),
    }


def glu(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """At every place SwiGLU (Shazeer 2020, Eq. 6): V (silu(W x) * U x)."""
    silu = ACTIVATIONS["silu"]
    wide = len(weights["inner.back.weight"][0])
    inside = weights["inner.wider.weight"] @ x
    gate = inside[:wide].pointwise(silu.value, silu.derivative)
    return weights["inner.back.weight"] @ (gate * inside[wide:])


def activation(row: ActivationKind) -> Numeric:
    """An activation as a layer."""

    def numeric(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
        constants = [float(value) for value in layer.arguments.values()]
        return x.pointwise(*row.functions(constants))

    return numeric
