"""Constructors of a flow's stacked parameters, whose leading axis is the step.

K(t) of the equations is one tensor ``(steps, …)``, so that smoothness in time is a difference along
axis 0 and refinement in time a repeat. A quantity shared by all steps has ``steps = 1``.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

Init = (
    Literal["he", "xavier", "zeros", "ones", "orthogonal", "default"]
    | tuple[Literal["normal", "uniform", "constant"], float]
)
NormName = Literal["batch", "group", "layer"]

_BATCH_NORM = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def conv_kernel(
    steps: int,
    c_in: int,
    c_out: int,
    *,
    kernel: int | tuple[int, ...],
    space: int = 2,
    groups: int = 1,
    init: Init = "he",
) -> nn.Parameter:
    """Kernels ``(steps, c_out, c_in / groups, *kernel)``.

    Args:
        steps: number of kernels, 1 for a shared one.
        c_in: channels the operator reads.
        c_out: channels it gives.
        kernel: length of the kernel, one number for all axes or one for each.
        space: number of spatial axes.
        groups: channel groups that do not mix.
        init: initialisation of the values, see ``initialise``.

    Raises:
        ValueError: if the groups do not divide the channels.
    """
    if c_in % groups or c_out % groups:
        raise ValueError(f"{groups} groups do not divide {c_in} -> {c_out} channels")
    sizes = (kernel,) * space if isinstance(kernel, int) else tuple(kernel)
    return _stacked((steps, c_out, c_in // groups, *sizes), init)


def dense_matrix(steps: int, c_in: int, c_out: int, init: Init = "he") -> nn.Parameter:
    """Matrices on the channel axis, ``(steps, c_out, c_in)``."""
    return _stacked((steps, c_out, c_in), init)


def diagonal(
    steps: int, c: int, space: int = 2, *, positive: bool = False, init: Init = "ones"
) -> nn.Parameter:
    """One factor per channel, ``(steps, c, 1, …)`` with as many ones as spatial axes.

    If ``positive``, the factors are the softplus of the stored values.
    """
    return _stacked((steps, c, *(1,) * space), init, positive)


def bias(steps: int, c: int, space: int = 2, init: Init = "zeros") -> nn.Parameter:
    """One value per channel, ``(steps, c, 1, …)`` with as many ones as spatial axes."""
    return _stacked((steps, c, *(1,) * space), init)


def scalar(steps: int, *, positive: bool = False, init: Init = "ones") -> nn.Parameter:
    """One number per step, ``(steps,)``; if ``positive``, the softplus of the stored values."""
    return _stacked((steps,), init, positive)


def layers(steps: int, factory: Callable[[], nn.Module]) -> nn.ModuleList:
    """One module per step, made one after the other by ``factory``."""
    return nn.ModuleList(factory() for _ in range(steps))


def norm_layers(
    steps: int,
    kind: NormName,
    c: int,
    space: int = 2,
    *,
    groups: int = 1,
    positive: bool = False,
    init: Init = "ones",
) -> nn.ModuleList:
    """One normalisation per step.

    Args:
        steps: number of layers, 1 for a shared one.
        kind: "batch", "group" (with ``groups``) or "layer" (over channels and space).
        c: channels.
        space: number of spatial axes.
        groups: channel groups of a group norm.
        positive: keep the gain above zero, as certificates of a monotone unit require.
        init: initialisation of the gain.
    """

    def norm() -> nn.Module:
        if kind == "batch":
            layer = _BATCH_NORM[space](c)
        else:
            layer = nn.GroupNorm(groups if kind == "group" else 1, c)
        initialise(layer.weight, init)
        return _with_positive_gain(layer) if positive else layer

    return layers(steps, norm)


@torch.no_grad()
def initialise(weight: Tensor, init: Init) -> None:
    """Fills the weight of one step.

    Args:
        weight: changed in place; ``(out, in, *kernel)``, or with fewer axes.
        init: "he" (He et al. 2015, normal, for relu), "xavier" (Glorot & Bengio 2010, normal),
            "orthogonal" (rows of the flattened kernel), "default" (torch's own for linear layers,
            uniform within 1 / sqrt(fan in)), "zeros", "ones", or a pair: ("normal", std),
            ("uniform", bound), ("constant", value).

    Raises:
        ValueError: if ``init`` is not one of these.
    """
    kernel_size = math.prod(weight.shape[2:])
    out, fan_in = (weight.shape[0], weight.shape[1] * kernel_size) if weight.ndim > 1 else (1, 1)
    match init:
        case "he":
            weight.normal_(0, math.sqrt(2 / fan_in))
        case "xavier":
            weight.normal_(0, math.sqrt(2 / (fan_in + out * kernel_size)))
        case "orthogonal":
            nn.init.orthogonal_(weight)
        case "default":
            weight.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        case "zeros":
            weight.zero_()
        case "ones":
            weight.fill_(1)
        case ("constant", float() | int() as value):
            weight.fill_(value)
        case ("normal", float() | int() as std):
            weight.normal_(0, std)
        case ("uniform", float() | int() as bound):
            weight.uniform_(-bound, bound)
        case _:
            raise ValueError(f"unknown way to initialise a parameter: {init!r}")


def initialised(layer: nn.Module, init: Init) -> nn.Module:
    """The layer, with its weight initialised as by ``initialise`` and its bias unchanged."""
    initialise(layer.get_parameter("weight"), init)
    return layer


def _stacked(shape: tuple[int, ...], init: Init, positive: bool = False) -> nn.Parameter:
    stack = torch.empty(shape)
    for weight in stack:
        initialise(weight, init)
    return nn.Parameter(inverse_softplus(stack) if positive else stack)


def inverse_softplus(value: Tensor) -> Tensor:
    """The x with softplus(x) = value, for a value above 0: log(e^value - 1) without overflow."""
    return value + torch.log(-torch.expm1(-value))


def _with_positive_gain(layer: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "weight", _Positive())
    type(layer).__reduce_ex__ = _reduce_positive
    return layer


def _reduce_positive(layer: Any, protocol: Any) -> tuple:
    """For pickle, which torch does not support for the class that a parametrization makes."""
    batch = isinstance(layer, _NormBase)
    size = (layer.num_features,) if batch else (layer.num_groups, layer.num_channels)
    # The first base is the class that the layer had before its parametrization.
    return _positive_gain_norm, (type(layer).__mro__[1], size), layer.__dict__


def _positive_gain_norm(norm_type: type[nn.Module], size: tuple[int, ...]) -> nn.Module:
    return _with_positive_gain(norm_type(*size))


class _Positive(nn.Module):
    """Softplus: a gain that no gradient step can carry below zero."""

    def forward(self, raw: Tensor) -> Tensor:
        return nn.functional.softplus(raw)

    def right_inverse(self, gain: Tensor) -> Tensor:
        return inverse_softplus(gain)
