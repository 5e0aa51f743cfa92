"""What generated modules import: operators, parameters, flows and their reversible backward."""

from odenet.runtime.budget import share_budget
from odenet.runtime.flow import Flow
from odenet.runtime.layer_modules.feature_maps import (
    Elementwise,
    Mean,
    Residual,
    Shortcut,
    Squeeze,
    Widen,
)
from odenet.runtime.layer_modules.head import Head, TiedHead
from odenet.runtime.layer_modules.python_modules import given_layers
from odenet.runtime.layer_modules.skips import Join, Keep, WithSkips
from odenet.runtime.layer_modules.tokens import Attention, Embed, Position, SwiGLU, Tokens
from odenet.runtime.learned.constant_kinds import Geometric, Learned, Ramp, Uniform, per_step
from odenet.runtime.learned.constants import exponential
from odenet.runtime.learned.knots import Knotted
from odenet.runtime.learned.operator_norms import operator_norm
from odenet.runtime.learned.operators import (
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
from odenet.runtime.learned.parameters import (
    bias,
    conv_kernel,
    dense_matrix,
    diagonal,
    initialised,
    layers,
    norm_layers,
    scalar,
)
from odenet.runtime.passes.shear import Shear, Term
from odenet.runtime.spectra import spectral_radius
from odenet.runtime.unit import Coarsened, Entry, Unit

__all__ = [
    "Attention",
    "Coarsened",
    "Elementwise",
    "Embed",
    "Entry",
    "Flow",
    "Geometric",
    "Head",
    "Join",
    "Keep",
    "Knotted",
    "Learned",
    "Mean",
    "Position",
    "Ramp",
    "Residual",
    "Shear",
    "Shortcut",
    "Squeeze",
    "SwiGLU",
    "Term",
    "TiedHead",
    "Tokens",
    "Uniform",
    "Unit",
    "Widen",
    "WithSkips",
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
    "exponential",
    "eye_kernel",
    "given_layers",
    "initialised",
    "layers",
    "norm_layers",
    "odd_kernel",
    "operator_norm",
    "per_step",
    "scalar",
    "share_budget",
    "soft_threshold",
    "spectral_radius",
    "split",
]
