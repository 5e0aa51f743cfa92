"""The modules for maps that are `given`, registered by plugins: name -> what makes one."""

from collections.abc import Callable
from typing import Any

MakeModule = Callable[[int], Any]  # of the channels that the module keeps
GIVEN: dict[str, MakeModule] = {}
