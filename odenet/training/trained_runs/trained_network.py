"""A trained network together with its preprocessing, as one torch module."""

import torch
from torch import Tensor, nn

from odenet.training.data.transforms import Transforms
from odenet.training.learning.losses import Objective


class TrainedNetwork(nn.Module):
    """A network that takes samples as data sets store them, such as uint8 pixels.

    Args:
        network: the network in evaluation mode, without preprocessing.
        transforms: scale and standardise stored samples to what the network takes.
        objective: the loss, which turns outputs of the network into predictions.
    """

    def __init__(self, network: nn.Module, transforms: Transforms, objective: Objective):
        super().__init__()
        self.network = network
        self.objective = objective
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", transforms.mean, persistent=False)
        self.register_buffer("deviation", transforms.deviation, persistent=False)
        self._transforms = transforms

    def preprocess(self, inputs: Tensor) -> Tensor:
        """The input of the network for a batch of stored samples.

        Args:
            inputs: pictures (B, C, H, W) uint8, grey or coloured and of any size, numbers (B, …)
                float32, or tokens (B, T) int64.

        Returns:
            (B, *shape) in the network's precision, standardised as in training; tokens unchanged.
        """
        weight = next(self.network.parameters(), self.mean)  # has the device and type
        if inputs.dtype == torch.int64:
            return inputs.to(weight.device)
        return self.transforms(inputs.to(weight.device)).to(weight.dtype)

    @property
    def transforms(self) -> Transforms:
        """The preprocessing, with its mean and deviation on the device of the network."""
        return self._transforms.with_statistics(self.mean, self.deviation)

    def forward(self, inputs: Tensor) -> Tensor:
        """The output of the network for stored samples, as `preprocess` takes them.

        Scores (logits) of classes or tokens, (B, classes, …), numbers in the unit of the labels, or
        the latent variables of a density.
        """
        if self.objective.kind.needs_density or self.objective.kind.labels == "tokens":
            return self.network(self.preprocess(inputs))
        output = self.objective.network_output(self.network, self.preprocess(inputs))
        gives_numbers = self.objective.kind.labels == "numbers"
        return self.objective.prediction(output) if gives_numbers else output

    def predict(self, inputs: Tensor) -> Tensor:
        """Probabilities of classes, or numbers in the unit of the labels.

        Args:
            inputs: stored samples, as for `preprocess`.
        """
        output = self.objective.network_output(self.network, self.preprocess(inputs))
        return self.objective.prediction(output)
