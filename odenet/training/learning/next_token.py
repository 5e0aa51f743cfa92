"""`loss = next_token`: the cross-entropy of the token that follows each."""

import math
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from odenet.runtime.layer_modules.head import head_input, next_token_loss
from odenet.training.learning.losses import Objective


class NextToken(Objective):
    """The mean cross-entropy of the next token, in nats, computed without all scores in memory."""

    def network_output(self, network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The input of the head, and the head's weights."""
        return head_input(network, inputs)

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """The mean over the tokens."""
        hidden, weight = output
        return next_token_loss(hidden, weight, labels.flatten())

    def training_loss(self, output: Any, labels: Tensor) -> Tensor:
        """The cross-entropy with the recipe's smoothing."""
        hidden, weight = output
        return next_token_loss(hidden, weight, labels.flatten(), self.recipe.label_smoothing)

    def metrics(self) -> dict[str, Metric]:
        """No metrics of its own: they follow from the loss."""
        return {}

    def metrics_from_loss(self, loss: Tensor) -> dict[str, Tensor]:
        """Bits for each byte of the text, and the perplexity of a token."""
        bits = loss / (math.log(2) * self.label_info.bytes_per_token)
        return {"bits_per_byte": bits, "perplexity": loss.exp()}

    def prediction(self, output: Any) -> Tensor:
        """The probability of each token, (batch tokens, vocabulary)."""
        hidden, weight = output
        return (hidden @ weight.T).softmax(1)
