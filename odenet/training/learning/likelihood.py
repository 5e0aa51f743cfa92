"""`loss = likelihood`: how improbable a density finds the samples."""

import math

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from odenet.model.tables.recipe import Recipe
from odenet.runtime.density import log_density
from odenet.training.data.samples import LabelInfo
from odenet.training.learning.losses import Objective


class Likelihood(Objective):
    """The mean negative log-likelihood of a sample, in nats.

    Pixels are whole numbers, and a density of whole numbers could grow without a bound. So each
    is spread evenly over the distance to the next one (Theis, van den Oord & Bethge 2016, 3.1):
    what is made small is then an upper bound of the code length of the pixels themselves.
    """

    def __init__(self, recipe: Recipe, labels: LabelInfo):
        super().__init__(recipe, labels)
        self.grain: Tensor | None
        grain = torch.tensor(labels.pixel_spacing) if labels.pixel_spacing else None
        self.register_buffer("grain", grain, persistent=False)

    def answer(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """The log-likelihood of each sample, (B,)."""
        if self.grain is None:
            return log_density(network.children(), inputs)
        pixels = inputs.flatten(1).view(len(inputs), len(self.grain), -1)
        width = self.grain[:, None].to(inputs)
        spread = (pixels + width * self._noise(pixels)).view_as(inputs)
        of_pixels = torch.log(self.grain.double()).sum() * pixels.shape[2]
        return log_density(network.children(), spread) + of_pixels.to(inputs)

    def _noise(self, like: Tensor) -> Tensor:
        """Even in 0..1; when measuring the same for every batch, so that a measure is one."""
        if self.training:
            return torch.rand_like(like)
        always = torch.Generator(like.device).manual_seed(self.recipe.seed)
        return torch.rand(like.shape, generator=always, dtype=like.dtype, device=like.device)

    def loss(self, answer: Tensor, labels: Tensor) -> Tensor:
        """In nats; labels are not read."""
        return -answer.mean()

    def metrics(self) -> dict[str, Metric]:
        """None but those that follow from the loss."""
        return {}

    def derived(self, loss: Tensor) -> dict[str, Tensor]:
        """Bits per number of a sample."""
        return {"bits_per_dim": loss / (self.labels.dimensions * math.log(2))}
