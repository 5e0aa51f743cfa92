"""Networks that exist already, made reversible: their blocks become the steps of a flow."""

from odenet.conversion.model import convert
from odenet.conversion.ramps import Ramps
from odenet.conversion.reversible import reversible
from odenet.conversion.search import find_blocks

__all__ = ["Ramps", "convert", "find_blocks", "reversible"]
