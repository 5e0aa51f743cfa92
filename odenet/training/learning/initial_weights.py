"""The initial weights of a network that comes from a library such as timm or torchvision."""

from rich.console import Console
from rich.text import Text
from torch import nn

from odenet.conversion.existing import ExistingNetwork
from odenet.conversion.zoo import ZooError
from odenet.training.errors import BadOption


def load_initial_weights(network: nn.Module, weights: str | None, console: Console) -> None:
    """Load weights into a new network, and print which.

    Args:
        network: the network as its spec makes it.
        weights: "default" for those of the library, a file with a state_dict, or None.
        console: where to print which weights the network begins with.

    Raises:
        TrainingError: the spec has no network of a library, or the weights do not fit it.
    """
    networks = [module for module in network.modules() if isinstance(module, ExistingNetwork)]
    if weights is not None and not networks:
        help_ = 'leave it out, or write `net = input(3, 224, 224) -> existing("resnet50", 1000)`'
        message = "--weights are those of a network of a library, and this spec has none"
        raise BadOption(message, help_)
    for existing in networks:
        if weights is None:
            option = "--weights FILE or default gives others"
            message = f"{existing.name} begins with random weights; {option}"
        else:
            try:
                reinitialised = existing.load_weights(weights)
            except ZooError as error:
                raise BadOption(str(error)) from error
            origin = "its library" if weights == "default" else weights
            message = f"{existing.name} begins with the weights of {origin}"
            if reinitialised:
                message += f"; new, for another number of classes: {', '.join(reinitialised)}"
        console.print(Text(f"  {message}"), highlight=False, soft_wrap=True)
