"""Derives the properties of a time stepping scheme from its text.

These are the step as a sequence of shears, the inverse and its proof, the order of accuracy,
symmetry, change of volume and stability. No scheme is known by name here.
"""

from odenet.derive.derivation import Derivation
from odenet.derive.from_text import derive, inverse_lines
from odenet.derive.intervals import XI, Interval
from odenet.derive.obstacle import Obstacle
from odenet.derive.order import Order
from odenet.derive.roundtrip import RoundTrip
from odenet.derive.shears import Coefficient, Shear
from odenet.derive.stability import AxisStability, Stability

__all__ = [
    "XI", "AxisStability", "Coefficient", "Derivation", "Interval", "Obstacle", "Order",
    "RoundTrip", "Shear", "Stability", "derive", "inverse_lines",
]  # fmt: skip
