"""The torch modules for the maps that a file declares as `given`, registered from Python."""

from collections.abc import Callable
from typing import Any

MakeModule = Callable[[int], Any]  # makes a module, from the channels of its input and output
GIVEN: dict[str, MakeModule] = {}  # by the canonical name of the map
