"""Networks that exist already, made reversible: their blocks become the steps of a flow."""

from typing import Any

from odenet.conversion.model import convert
from odenet.conversion.ramps import Ramps
from odenet.conversion.reversible import reversible
from odenet.conversion.search import find_blocks
from odenet.lazy_imports import import_attribute

__all__ = ["Ramps", "convert", "find_blocks", "reversible"]


def __getattr__(name: str) -> Any:
    return import_attribute(__name__, {}, name)
