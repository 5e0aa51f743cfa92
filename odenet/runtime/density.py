"""Normalising flows: the log-density of samples under an invertible network, and its inverse.

If z = f(x) is normal with mean 0 and covariance I, x has the log-density
log N(f(x); 0, I) + log|det ∂f/∂x| (Dinh et al. 2015, Eq. 3), and samples are x = f⁻¹(z).
"""

import math
from collections.abc import Iterable

from torch import Tensor, nn

from odenet.runtime.flow import Flow
from odenet.runtime.layer_modules.feature_maps import Squeeze

LOG_TWO_PI = math.log(2 * math.pi)


def log_density(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """The log-density of samples under a network of flows and other invertible layers.

    Args:
        layers: the layers in their order, such as a generated network.
        x: the samples, ``(batch, …)``.

    Returns:
        The log-density of each sample in nats, ``(batch,)``.

    Raises:
        ValueError: if a layer has no log-determinant.
    """
    total = x.new_zeros(len(x))
    for layer in layers:
        if isinstance(layer, Flow):
            x, log_det = layer.forward_with_log_det(x)
            total = total + log_det
        else:
            x = _require_invertible(layer)(x)
    z = x.flatten(1)
    return total - z.square().sum(1) / 2 - LOG_TWO_PI * z.shape[1] / 2


def inverse(layers: Iterable[nn.Module], z: Tensor) -> Tensor:
    """The input of a network that gives the output z; a sample if z is normal."""
    for layer in reversed(list(layers)):
        z = layer.inverse(z) if isinstance(layer, Flow) else _require_invertible(layer).inverse(z)
    return z


def _require_invertible(layer: nn.Module) -> Squeeze:
    if isinstance(layer, Squeeze):
        return layer
    raise ValueError(f"{type(layer).__name__} has no log-determinant")
