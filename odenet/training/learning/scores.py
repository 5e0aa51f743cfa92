"""The mean loss and the metrics of an epoch, as modules whose sums are in checkpoints."""

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric

from odenet.training.learning.losses import Objective


def is_score(name: str) -> bool:
    """Whether an entry of a checkpoint is a sum of a metric."""
    return name.startswith(("train_scores.", "test_scores."))


class MeanLoss(MeanMetric):
    """The mean of losses weighted by their samples, NaN and inf included.

    The class of torchmetrics ignores the weights if it does not check for NaN, and waits for the
    device if it does.
    """

    def update(self, value: Tensor, weight: Tensor) -> None:
        """Count a batch: its mean loss, and how many samples it has."""
        self.mean_value += value * weight
        self.weight += weight


class Scores(nn.Module):
    """The mean loss and the metrics over the batches of an epoch.

    Their sums are part of a checkpoint, so that an interrupted epoch ends with the same numbers.

    Args:
        objective: the loss, which says which metrics there are.
    """

    def __init__(self, objective: Objective):
        super().__init__()
        self.loss = MeanLoss(nan_strategy="disable")
        self._metrics = objective.metrics()
        self._from_loss = objective.metrics_from_loss
        for name, metric in self._metrics.items():
            self.add_module(name, metric)
        for metric in self.metrics():
            metric.persistent(True)

    def metrics(self) -> tuple[Metric, ...]:
        """The mean loss, and the metrics."""
        return self.loss, *self._metrics.values()

    def update(
        self, loss: Tensor, count: int, compared: tuple[Tensor, Tensor], finite_only: bool = False
    ) -> None:
        """Count one batch.

        Args:
            loss: the mean loss of the batch.
            count: the number of its samples.
            compared: predictions and labels for the metrics.
            finite_only: leave a loss out that is not finite (`FiniteCheck` responds to it).
        """
        loss = loss.detach()
        # Made on the device itself: copying a number to it would make the host wait.
        weight = torch.full((), count, dtype=torch.float32, device=loss.device)
        if finite_only:
            finite = loss.isfinite()
            loss, weight = torch.where(finite, loss, torch.zeros_like(loss)), weight * finite
        self.loss.update(loss, weight)
        for metric in self._metrics.values():
            metric.update(compared[0].detach(), compared[1])

    def collect(self, split: str) -> dict[str, Tensor]:
        """The epoch's mean loss and metrics by name; then starts over."""
        loss = self.loss.compute()
        metrics = {name: metric.compute() for name, metric in self._metrics.items()}
        for metric in self.metrics():
            metric.reset()
        values = {"loss": loss, **metrics, **self._from_loss(loss)}
        return {f"{split}_{name}": value for name, value in values.items()}
