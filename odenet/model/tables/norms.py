"""The kinds of normalisation: one row each, for `param N : norm(KIND)` and for the layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from odenet.model.tables.tensors import Array, Dual, Tensor, Tensors

EPS = 1e-5  # torch's, in every norm


@dataclass(frozen=True)
class NormKind:
    """One kind of normalisation.

    Args:
        pointwise: whether it acts on each value by itself in evaluation, with stored statistics;
            then it has a diagonal Jacobian, and may be part of a unit of the theorems.
        numeric: the norm of a field in evaluation, from its tensors and the number of its groups.
        grouped: whether it is told a number of groups of channels.
    """

    pointwise: bool
    numeric: Callable[[Mapping[str, Array], Dual, int], Dual]
    grouped: bool = False

    def tensors(self, channels: int) -> Tensors:
        """Its tensors, by their names in torch's state dictionary."""
        found = {"weight": Tensor((channels,), "gain"), "bias": Tensor((channels,), "shift")}
        if self.pointwise:
            found["running_mean"] = Tensor((channels,), "shift", learned=False)
            found["running_var"] = Tensor((channels,), "variance", learned=False)
        return found


def _frozen(weights: Mapping[str, Array], x: Dual, groups: int) -> Dual:
    """Stored statistics: one factor and one shift for each channel."""
    gain = weights["weight"] / (weights["running_var"] + EPS) ** 0.5
    shift = weights["bias"] - gain * weights["running_mean"]
    return gain[:, None] * x + shift[:, None]


def _over_groups(weights: Mapping[str, Array], x: Dual, groups: int) -> Dual:
    """The statistics of each group of channels over all cells, those of the field itself."""
    unit = standardised(x.reshape(groups, -1), axis=1).reshape(*x.shape)
    return weights["weight"][:, None] * unit + weights["bias"][:, None]


def standardised(x: Dual, axis: int) -> Dual:
    """Mean 0 and variance 1 along an axis."""
    centred = x - x.mean(axis)
    return centred / ((centred * centred).mean(axis) + EPS).sqrt()


NORMS = {
    "batch": NormKind(pointwise=True, numeric=_frozen),
    "layer": NormKind(pointwise=False, numeric=_over_groups),
    "group": NormKind(pointwise=False, numeric=_over_groups, grouped=True),
}
