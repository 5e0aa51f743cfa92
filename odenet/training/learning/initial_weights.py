"""What a network of a library begins its training with: its weights there, or random ones."""

from rich.console import Console
from rich.text import Text
from torch import nn

from odenet.conversion.existing import ExistingNetwork
from odenet.conversion.zoo import ZooError
from odenet.training.errors import BadOption


def begin_with(network: nn.Module, weights: str | None, console: Console) -> None:
    """Puts weights into a new network, and says which.

    Args:
        network: as its spec makes it.
        weights: "default" for those of the library, a file with a state_dict, or None.
        console: where to say it.

    Raises:
        TrainingError: if there are none, or they belong to another network.
    """
    found = [module for module in network.modules() if isinstance(module, ExistingNetwork)]
    if weights is not None and not found:
        raise BadOption(
            "--weights are those of a network of a library, and this spec has none",
            'leave it out, or write `net = input(3, 224, 224) -> existing("resnet50", 1000)`',
        )
    for one in found:
        if weights is None:
            said = f"{one.name} begins with random weights; --weights FILE or default gives others"
        else:
            try:
                left = one.begin_with(weights)
            except ZooError as error:
                raise BadOption(str(error)) from error
            of = "its library" if weights == "default" else weights
            said = f"{one.name} begins with the weights of {of}"
            if left:
                said += f"; new, for another number of classes: {', '.join(left)}"
        console.print(Text(f"  {said}"), highlight=False, soft_wrap=True)
