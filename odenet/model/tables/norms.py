"""The kinds of normalisation as a table, for `param N : norm(KIND)` and for the layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from odenet.model.tables.tensors import Array, Dual, Tensor, Tensors

EPS = 1e-5  # added to the variance, as torch does in every norm


@dataclass(frozen=True)
class NormKind:
    """One kind of normalisation.

    Args:
        pointwise: whether it acts on each value by itself in evaluation, with stored statistics.
            Its Jacobian is diagonal then, and the proofs about the spectrum can include it.
        numeric: computes it in evaluation, from tensors, feature map and number of groups.
        grouped: whether the number of groups of channels is an argument.
    """

    pointwise: bool
    numeric: Callable[[Mapping[str, Array], Dual, int], Dual]
    grouped: bool = False

    def tensors(self, channels: int) -> Tensors:
        """Its tensors, by their names in torch's state dictionary."""
        tensors = {"weight": Tensor((channels,), "gain"), "bias": Tensor((channels,), "shift")}
        if self.pointwise:
            tensors["running_mean"] = Tensor((channels,), "shift", learned=False)
            tensors["running_var"] = Tensor((channels,), "variance", learned=False)
        return tensors


def _stored_statistics(weights: Mapping[str, Array], x: Dual, groups: int) -> Dual:
    """Normalisation by stored statistics: one factor and one shift for each channel."""
    gain = weights["weight"] / (weights["running_var"] + EPS) ** 0.5
    shift = weights["bias"] - gain * weights["running_mean"]
    return gain[:, None] * x + shift[:, None]


def _group_statistics(weights: Mapping[str, Array], x: Dual, groups: int) -> Dual:
    """Normalisation by mean and variance of x, over each group of channels and the whole grid."""
    standard = standardise(x.reshape(groups, -1), axis=1).reshape(*x.shape)
    return weights["weight"][:, None] * standard + weights["bias"][:, None]


def standardise(x: Dual, axis: int) -> Dual:
    """The values of x shifted and scaled to mean 0 and variance 1 along an axis."""
    centred = x - x.mean(axis)  # the mean keeps the axis
    return centred / ((centred * centred).mean(axis) + EPS).sqrt()


NORMS = {
    "batch": NormKind(pointwise=True, numeric=_stored_statistics),
    "layer": NormKind(pointwise=False, numeric=_group_statistics),
    "group": NormKind(pointwise=False, numeric=_group_statistics, grouped=True),
}
