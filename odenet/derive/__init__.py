"""What follows from a scheme's text: shears, inverse and proof, order, symmetry, volume, stability.

Nothing here knows a scheme by name.
"""

from odenet.derive.derivation import Derivation
from odenet.derive.from_text import derive, inverse_lines
from odenet.derive.intervals import XI, Interval
from odenet.derive.obstacle import Obstacle
from odenet.derive.order import Order
from odenet.derive.roundtrip import RoundTrip
from odenet.derive.shears import Coefficient, Shear
from odenet.derive.stability import Axis, Stability

__all__ = [
    "XI", "Axis", "Coefficient", "Derivation", "Interval", "Obstacle", "Order", "RoundTrip",
    "Shear", "Stability", "derive", "inverse_lines",
]  # fmt: skip
