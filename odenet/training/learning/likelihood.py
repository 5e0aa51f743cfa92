"""`loss = likelihood`: the negative log-likelihood of samples under an invertible network."""

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

    Pixels are whole numbers, on which a density could grow without bound. So uniform noise of the
    width of one pixel value is added (Theis, van den Oord & Bethge 2016, section 3.1): the loss is
    then an upper bound of the code length of the pixels themselves.
    """

    def __init__(self, recipe: Recipe, label_info: LabelInfo):
        super().__init__(recipe, label_info)
        self.pixel_spacing: Tensor | None
        # `grain` is the name of the pixel spacing in `run.json`.
        spacing = torch.tensor(label_info.grain) if label_info.grain else None
        self.register_buffer("pixel_spacing", spacing, persistent=False)

    def network_output(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """The log-likelihood of each sample, (B,)."""
        if self.pixel_spacing is None:
            return log_density(network.children(), inputs)
        pixels = inputs.flatten(1).view(len(inputs), len(self.pixel_spacing), -1)
        width = self.pixel_spacing[:, None].to(inputs)
        noisy = (pixels + width * self._noise(pixels)).view_as(inputs)
        log_volume = torch.log(self.pixel_spacing.double()).sum() * pixels.shape[2]  # of the noise
        return log_density(network.children(), noisy) + log_volume.to(inputs)

    def _noise(self, pixels: Tensor) -> Tensor:
        """Uniform noise in 0..1, outside training the same for each batch: results are repeated."""
        if self.training:
            return torch.rand_like(pixels)
        rng = torch.Generator(pixels.device).manual_seed(self.recipe.seed)
        return torch.rand(pixels.shape, generator=rng, dtype=pixels.dtype, device=pixels.device)

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        """The mean over the samples, in nats; labels are not used."""
        return -output.mean()

    def metrics(self) -> dict[str, Metric]:
        """No metrics of its own: they follow from the loss."""
        return {}

    def metrics_from_loss(self, loss: Tensor) -> dict[str, Tensor]:
        """Bits per dimension."""
        return {"bits_per_dim": loss / (self.label_info.numbers * math.log(2))}
