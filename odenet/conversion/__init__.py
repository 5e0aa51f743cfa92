"""Networks that exist already, made reversible: their blocks become the steps of a flow."""

from typing import Any

from odenet.conversion.model import convert
from odenet.conversion.ramps import Ramps
from odenet.conversion.reversible import reversible
from odenet.conversion.search import find_blocks
from odenet.lazily import imported

__all__ = ["Ramps", "convert", "find_blocks", "reversible"]


def __getattr__(name: str) -> Any:
    return imported(__name__, {}, name)
