"""Networks that exist already, made reversible: their blocks become the steps of a flow."""

from odenet.convert.model import convert
from odenet.convert.reversible import reversible

__all__ = ["convert", "reversible"]
