"""Layers as array code for the numeric checks, and the tensors that they need.

The functions compute what the torch layer computes in evaluation. A feature map is an array of
shape (channels, places) of dual numbers, values with their derivatives, so that only the operations
of odenet/analyse/dual_numbers.py are available. Tensors have torch's names and shapes.
"""

from collections.abc import Callable, Mapping
from math import cos, sin, sqrt

from odenet.model.tables.activations import ACTIVATIONS, ActivationKind
from odenet.model.tables.layer_kinds import Layer
from odenet.model.tables.norms import EPS, NORMS, standardise
from odenet.model.tables.tensors import Array, Dual, Space, Tensor, Tensors

Arrays = Mapping[str, Array]
Numeric = Callable[[Layer, Arrays, Dual, Space], Dual]


def linear_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    """The tensors of a convolution, or of a dense layer: a layer without the argument `k`."""
    sizes = (int(layer.arguments["k"]),) * axes if "k" in layer.arguments else ()
    tensors = {"weight": Tensor((out_channels, in_channels // layer.groups, *sizes))}
    if layer.arguments["bias"] == "yes":
        tensors["bias"] = Tensor((out_channels,), "shift")
    return tensors


def linear(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """A convolution, or a dense layer on the channels, with its bias."""
    dilation = int(layer.arguments.get("dilation", 1))
    result = x.convolved(weights["weight"], space, layer.groups, dilation)
    return result + weights["bias"][:, None] if "bias" in weights else result


def norm_tensors(kind: str) -> Callable[[Layer, int, int, int], Tensors]:
    """A function that gives the tensors of a normalisation of this kind."""
    return lambda layer, in_channels, out_channels, axes: NORMS[kind].tensors(in_channels)


def norm(kind: str) -> Numeric:
    """A function that computes a normalisation of this kind."""
    return lambda layer, weights, x, space: NORMS[kind].numeric(weights, x, layer.groups)


def token_norm_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    """The tensors of a layer norm of every token."""
    gain, shift = Tensor((in_channels,), "gain"), Tensor((in_channels,), "shift")
    return {"inner.weight": gain, "inner.bias": shift}


def token_norm(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """Layer norm: the channels at a place with mean 0 and variance 1, times a gain plus a shift."""
    standard = standardise(x, axis=0)
    return weights["inner.weight"][:, None] * standard + weights["inner.bias"][:, None]


def rms_norm_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    """The tensors of an RMS norm of every token."""
    return {"inner.weight": Tensor((in_channels,), "gain")}


def rms_norm(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """RMS norm: the channels at a place with mean square 1, times a gain (Zhang, Sennrich 2019)."""
    return weights["inner.weight"][:, None] * (x / ((x * x).mean(0) + EPS).sqrt())


def _dense_tensors(channels: Mapping[str, tuple[int, int]]) -> Tensors:
    """The weights and biases of dense layers; `channels` has those in and out of each, by name."""
    tensors: dict[str, Tensor] = {}
    for name, (channels_in, channels_out) in channels.items():
        tensors[f"{name}.weight"] = Tensor((channels_out, channels_in))
        tensors[f"{name}.bias"] = Tensor((channels_out,), "shift")
    return tensors


def _dense(weights: Arrays, name: str, x: Dual) -> Dual:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"][:, None]


def attention_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    """The tensors of self-attention: one projection to queries, keys and values, and the output."""
    return _dense_tensors(
        {"inner.project": (in_channels, 3 * in_channels), "inner.join": (in_channels, in_channels)}
    )


def attention(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """Multi-head self-attention (Vaswani et al. 2017, Eq. 1); every place is a token."""
    channels = len(x)
    head_count = int(layer.arguments["heads"])
    head_size = channels // head_count
    causal = layer.arguments["causal"] == "yes"
    rope = layer.arguments["rope"] == "yes"
    projected = _dense(weights, "inner.project", x)
    heads: list[Dual] = []
    for head in range(head_count):
        query, key, value = (
            projected[part * channels + head * head_size : part * channels + (head + 1) * head_size]
            for part in range(3)
        )
        query, key = (_rotate(query), _rotate(key)) if rope else (query, key)
        attended = ((query.T @ key) / sqrt(head_size)).softmax(causal)  # (tokens, tokens)
        heads.append(value @ attended.T)
    return _dense(weights, "inner.join", heads[0].stacked(heads[1:]))


def _rotate(x: Dual) -> Dual:
    """Rotary embedding of (d, tokens), channel i paired with i + d/2 (Su et al. 2021, Eq. 34)."""
    half, tokens = len(x) // 2, x.shape[1]
    angles = [[place * 1e4 ** (-i / half) for place in range(tokens)] for i in range(half)]
    cosine, sine = ([[f(angle) for angle in row] for row in angles] for f in (cos, sin))
    first, second = x[:half], x[half:]
    rotated = first * cosine - second * sine
    return rotated.stacked([second * cosine + first * sine])


def mlp_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    """The tensors of the two dense layers of an `mlp`."""
    hidden = in_channels * int(layer.arguments["ratio"])
    return _dense_tensors({"inner.0": (in_channels, hidden), "inner.2": (hidden, in_channels)})


def mlp(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """At every place: a dense layer to more channels, GELU, a dense layer back."""
    gelu = ACTIVATIONS["gelu"]
    hidden = _dense(weights, "inner.0", x).pointwise(gelu.value, gelu.derivative)
    return _dense(weights, "inner.2", hidden)


def glu_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    """The tensors of a gated unit: gate and value in one matrix, and the matrix back."""
    hidden = int(in_channels * layer.arguments["ratio"])
    return {
        "inner.wider.weight": Tensor((2 * hidden, in_channels)),
        "inner.back.weight": Tensor((in_channels, hidden)),
    }


def glu(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
    """SwiGLU at every place (Shazeer 2020, Eq. 6): V (silu(W x) * U x)."""
    silu = ACTIVATIONS["silu"]
    hidden = len(weights["inner.back.weight"][0])
    gate_and_value = weights["inner.wider.weight"] @ x
    gate = gate_and_value[:hidden].pointwise(silu.value, silu.derivative)
    return weights["inner.back.weight"] @ (gate * gate_and_value[hidden:])


def activation(row: ActivationKind) -> Numeric:
    """A function that computes an activation as a layer."""

    def numeric(layer: Layer, weights: Arrays, x: Dual, space: Space) -> Dual:
        return x.pointwise(*row.functions([float(value) for value in layer.arguments.values()]))

    return numeric
