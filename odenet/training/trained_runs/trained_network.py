"""A network that takes samples as data sets store them."""

import torch
from torch import Tensor, nn

from odenet.training.data.transforms import Transforms
from odenet.training.learning.losses import Objective


class TrainedNetwork(nn.Module):
    """A network together with its preprocessing: samples as stored in, scores or numbers out.

    Args:
        network: in evaluation mode.
        preprocess: from what is stored to what the network takes.
        objective: says what the network's answers mean.
    """

    def __init__(self, network: nn.Module, preprocess: Transforms, objective: Objective):
        super().__init__()
        self.network = network
        self.objective = objective
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", preprocess.mean, persistent=False)
        self.register_buffer("deviation", preprocess.deviation, persistent=False)
        self._preprocess = preprocess

    def preprocess(self, inputs: Tensor) -> Tensor:
        """What the network takes.

        Args:
            inputs: (B, C, H, W) uint8, grey or coloured and of any size, (B, …) float32, or tokens
                (B, T) int64.

        Returns:
            (B, *shape), in the precision of the network, standardised as in training; tokens as
            they are.
        """
        first = next(self.network.parameters(), self.mean)
        if inputs.dtype == torch.int64:
            return inputs.to(first.device)
        return self.transforms(inputs.to(first.device)).to(first.dtype)

    @property
    def transforms(self) -> Transforms:
        """What it is preprocessed by, where the network is."""
        return self._preprocess.with_statistics(self.mean, self.deviation)

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores of classes, (B, classes, …), numbers in the unit of the labels, or a density's."""
        if self.objective.kind.needs_density or self.objective.kind.labels == "tokens":
            return self.network(self.preprocess(inputs))
        answer = self.objective.network_output(self.network, self.preprocess(inputs))
        numbers = self.objective.kind.labels == "numbers"
        return self.objective.prediction(answer) if numbers else answer

    def predict(self, inputs: Tensor) -> Tensor:
        """Probabilities of classes, or numbers in the unit of the labels."""
        return self.objective.prediction(
            self.objective.network_output(self.network, self.preprocess(inputs))
        )
