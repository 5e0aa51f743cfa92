"""Modules that the user supplies from Python for a `map` that an `.ode` file only declares."""

from collections.abc import Callable

from torch import Tensor, nn

MakeModule = Callable[[int], nn.Module]  # from the number of channels of the state


class ShapeChecked(nn.Sequential):
    """A module from Python that has to keep the shape of its input, as every map does.

    Args:
        module: the module.
        name: the name of the map.
        location: where the map is declared, ``file:line``.
    """

    def __init__(self, module: nn.Module, name: str, location: str):
        super().__init__(module)
        self.name = name
        self.location = location

    def forward(self, x: Tensor) -> Tensor:
        """The module's result.

        Raises:
            ValueError: if its shape is not that of x.
        """
        y = self[0](x)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = tuple(y.shape) if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise ValueError(
                f"{self.location}: the {type(self[0]).__name__} that is given for `{self.name}` "
                f"makes {got} of {tuple(x.shape)}; a map keeps the shape"
            )
        return y


def given_layers(steps: int, make: MakeModule, c: int, name: str, location: str) -> nn.ModuleList:
    """One module per step, each from one call of a function that the user supplies.

    Args:
        steps: number of modules.
        make: takes the number of channels and returns a module that keeps the shape.
        c: number of channels.
        name: the name of the map.
        location: where the map is declared, ``file:line``.

    Raises:
        ValueError: if ``make`` is not such a function.
    """
    if isinstance(make, nn.Module) or not callable(make):
        raise ValueError(
            f"{location}: `{name}` is given by a function that makes a module for each step, "
            f"such as lambda channels: MyBlock(channels), not by {_type_text(make)}"
        )
    modules = [make(c) for _ in range(steps)]
    for module in modules:
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"{location}: what is given for `{name}` makes {_type_text(module)}, not a module"
            )
    return nn.ModuleList(ShapeChecked(module, name, location) for module in modules)


def _type_text(value: object) -> str:
    return f"a {type(value).__name__}"
