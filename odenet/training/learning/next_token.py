"""What a language model is trained by: the token that follows each."""

import math
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from odenet.runtime.layers.head import before_head, next_token_loss
from odenet.training.learning.losses import Objective


class NextToken(Objective):
    """The mean cross-entropy of the next token, in nats; its scores are never all there at once."""

    def answer(self, network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """What the head is given, and its weights."""
        return before_head(network, inputs)

    def loss(self, answer: Any, labels: Tensor) -> Tensor:
        """The mean over the tokens."""
        given, weight = answer
        return next_token_loss(given, weight, labels.flatten())

    def trained(self, answer: Any, labels: Tensor) -> Tensor:
        """With the recipe's smoothing."""
        given, weight = answer
        return next_token_loss(given, weight, labels.flatten(), self.recipe.label_smoothing)

    def metrics(self) -> dict[str, Metric]:
        """None: they follow from the loss."""
        return {}

    def derived(self, loss: Tensor) -> dict[str, Tensor]:
        """Bits for each byte of the text, and the perplexity of a token."""
        bits = loss / (math.log(2) * self.labels.bytes_per_token)
        return {"bits_per_byte": bits, "perplexity": loss.exp()}

    def prediction(self, answer: Any) -> Tensor:
        """The probability of each token, (batch tokens, vocabulary)."""
        given, weight = answer
        return (given @ weight.T).softmax(1)
