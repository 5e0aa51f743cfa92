"""Attributes of a package that are imported on first use.

So `import odenet` loads neither torch nor sympy, and `odenet.conversion.find_blocks` can be used
after it without another import.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any


def import_attribute(package: str, modules: Mapping[str, Iterable[str]], name: str) -> Any:
    """The attribute of a package: one of its public names or submodules; for ``__getattr__``.

    Args:
        package: the full name of the package.
        modules: the public names that each submodule defines, by the submodule's name.
        name: the attribute to import.

    Raises:
        AttributeError: if the package has no such name or submodule.
    """
    module = next((module for module, names in modules.items() if name in names), None)
    if module is not None:
        return getattr(import_module(f"{package}.{module}"), name)
    try:
        return import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{name}":
            raise
    raise AttributeError(f"module '{package}' has no attribute '{name}'")
