"""Networks that exist already, made reversible: their blocks become the steps of a flow."""

from odenet.conversion.model import convert
from odenet.conversion.reversible import reversible

__all__ = ["convert", "reversible"]
