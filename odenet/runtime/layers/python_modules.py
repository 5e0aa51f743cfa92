"""Modules that a program is given from Python, in the place of the layers of a `map`."""

from collections.abc import Callable

from torch import Tensor, nn

MakeModule = Callable[[int], nn.Module]  # of the channels that it keeps


class Given(nn.Sequential):
    """A module from Python, held to what a map promises.

    Args:
        module: keeps the shape of what it is given.
        name: of the map.
        place: where it is declared, ``file:line``.
    """

    def __init__(self, module: nn.Module, name: str, place: str):
        super().__init__(module)
        self.name = name
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        """The module's result.

        Raises:
            ValueError: if it has another shape than x.
        """
        y = self[0](x)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = tuple(y.shape) if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise ValueError(
                f"{self.place}: the {type(self[0]).__name__} that is given for `{self.name}` makes "
                f"{got} of {tuple(x.shape)}; a map keeps the shape"
            )
        return y


def given_layers(steps: int, make: MakeModule, c: int, name: str, place: str) -> nn.ModuleList:
    """One module per step, each from one call of a function.

    Args:
        steps: how many.
        make: of the channels of a state, gives a module that keeps the shape.
        c: those channels.
        name: of the map.
        place: where it is declared, ``file:line``.

    Raises:
        ValueError: if it is not such a function.
    """
    if isinstance(make, nn.Module) or not callable(make):
        raise ValueError(
            f"{place}: `{name}` is given by a function that makes a module for each step, such as "
            f"lambda channels: MyBlock(channels), not by {_a(make)}"
        )
    modules = [make(c) for _ in range(steps)]
    for module in modules:
        if not isinstance(module, nn.Module):
            raise ValueError(f"{place}: what is given for `{name}` makes {_a(module)}, no module")
    return nn.ModuleList(Given(module, name, place) for module in modules)


def _a(value: object) -> str:
    return f"a {type(value).__name__}"
