"""Names and modules of a package that are imported when they are used.

So `import odenet` loads neither torch nor sympy, and `odenet.conversion.find_blocks` is there
without another import.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any


def imported(package: str, homes: Mapping[str, Iterable[str]], name: str) -> Any:
    """What a package has by a name: for its ``__getattr__``.

    Args:
        package: its full name.
        homes: its modules, by their names within it, and the names of the package in each.
        name: one of these names, or that of a module of the package.

    Raises:
        AttributeError: if it is neither.
    """
    home = next((home for home, names in homes.items() if name in names), None)
    if home is not None:
        return getattr(import_module(f"{package}.{home}"), name)
    try:
        return import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{name}":
            raise
    raise AttributeError(f"module '{package}' has no attribute '{name}'")
