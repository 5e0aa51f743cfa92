"""What generated modules import: operators, parameters, flows and their reversible backward."""

from odenet.runtime.flow import Flow
from odenet.runtime.modules import Elementwise, Mean, Residual, Squeeze, Widen
from odenet.runtime.operator_norms import operator_norm
from odenet.runtime.operators import (
    adjoint_conv,
    adjoint_dense,
    adjoint_kernel,
    conv,
    dense,
    diag,
    eye_kernel,
    odd_kernel,
    soft_threshold,
    split,
)
from odenet.runtime.parameters import (
    bias,
    conv_kernel,
    dense_matrix,
    diagonal,
    layers,
    norm_layers,
    scalar,
)
from odenet.runtime.shear import Shear, Term
from odenet.runtime.spectra import spectral_radius
from odenet.runtime.tokens import Attention, Tokens

__all__ = [
    "Attention",
    "Elementwise",
    "Flow",
    "Mean",
    "Residual",
    "Shear",
    "Squeeze",
    "Term",
    "Tokens",
    "Widen",
    "adjoint_conv",
    "adjoint_dense",
    "adjoint_kernel",
    "bias",
    "conv",
    "conv_kernel",
    "dense",
    "dense_matrix",
    "diag",
    "diagonal",
    "eye_kernel",
    "layers",
    "norm_layers",
    "odd_kernel",
    "operator_norm",
    "scalar",
    "soft_threshold",
    "spectral_radius",
    "split",
]
