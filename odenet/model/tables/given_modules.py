"""The torch modules for the maps that a file declares as `given`, registered from Python."""

from collections.abc import Callable
from typing import Any

ModuleFactory = Callable[[int], Any]  # makes a module, from the channels of its input and output
GIVEN_MODULES: dict[str, ModuleFactory] = {}  # by the canonical name of the map
