"""The losses and metrics of `odenet.model.tables.losses`, in torch and torchmetrics."""

from abc import abstractmethod
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanSquaredError, Metric, classification
from torchmetrics.regression import R2Score

from odenet.model.tables.losses import DEFAULT_LOSS, loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.training.data.samples import LabelInfo

# Scores at which the average precision is summed: evenly spaced, so that it does not matter how
# rare a class is. As probabilities they are as far as single precision tells them from 0 and 1.
THRESHOLDS = torch.linspace(-16, 16, 641).sigmoid()
LEAST_SCALE = 1e-12  # a regression loss is not divided by less


class Objective(nn.Module):
    """A loss with its metrics, for labels of one kind.

    Args:
        recipe: gives the loss with its arguments, and the label smoothing.
        label_info: kind and statistics of the labels.

    Attributes:
        call: the loss with its arguments.
        kind: the loss's row of the table of losses.
        metric_kinds: the metrics that are measured; the first chooses the best epoch.
    """

    def __init__(self, recipe: Recipe, label_info: LabelInfo):
        super().__init__()
        self.recipe = recipe
        self.call = recipe.loss or DEFAULT_LOSS
        self.kind = loss_kind(recipe.loss)
        self.label_info = label_info
        self.metric_kinds = self.kind.metrics_for(bool(label_info.shape))

    def network_output(self, network: nn.Module, inputs: Tensor) -> Any:
        """The network's output for a batch, as the loss and the metrics take it."""
        return network(inputs)

    @abstractmethod
    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """The mean loss of a batch, as reported of validation and test splits."""

    def sample_losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """The loss of every sample of a batch, (B,)."""
        return torch.vmap(lambda a, y: self.loss(a[None], y[None]))(output, labels)

    def training_loss(self, output: Any, labels: Tensor) -> Tensor:
        """The loss of a batch that gradients are taken of."""
        return self.loss(output, labels)

    def reported_loss(self, training_loss: Tensor) -> Tensor:
        """The loss to report of a training batch, from its `training_loss`."""
        return training_loss

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """New metrics by name; those of `kind.metrics_for` that it lacks follow from the loss."""

    def metric_inputs(self, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What metrics are updated with, from an output and its labels."""
        return output, labels

    def metrics_from_loss(self, loss: Tensor) -> dict[str, Tensor]:
        """The metrics that follow from the mean loss of an epoch, by name."""
        return {}

    def prediction(self, output: Any) -> Tensor:
        """The prediction in terms of the labels: probabilities, or numbers in their unit."""
        return output


class CrossEntropy(Objective):
    """Cross-entropy of scores, (B, classes, *space), and classes, (B, *space)."""

    def __init__(self, recipe: Recipe, label_info: LabelInfo):
        super().__init__(recipe, label_info)
        if label_info.count <= 5:  # the top 5 of 5 or fewer classes are all of them
            self.metric_kinds = tuple(m for m in self.metric_kinds if m.name != "top5_accuracy")
        self.class_weights: Tensor | None
        weights = None
        if self.call["weights"] == "balanced" and label_info.counts:
            counts = torch.tensor(label_info.counts, dtype=torch.float32)
            weights = counts.sum() / (len(counts) * counts.clamp(min=1))
        self.register_buffer("class_weights", weights, persistent=False)

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """The plain cross-entropy, without smoothing or weights."""
        return F.cross_entropy(output, labels)

    def training_loss(self, output: Any, labels: Tensor) -> Tensor:
        """The cross-entropy with the recipe's smoothing and class weights.

        Labels are classes, or after mixup the share of each class in a sample.
        """
        if labels.is_floating_point():
            labels = labels.to(output.dtype)
        smoothing = self.recipe.label_smoothing
        weights = None if self.class_weights is None else self.class_weights.to(output.dtype)
        return F.cross_entropy(output, labels, weight=weights, label_smoothing=smoothing)

    def metric_inputs(self, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and classes; for mixed samples the class with the largest share."""
        return output, labels.argmax(1) if labels.is_floating_point() else labels

    def metrics(self) -> dict[str, Metric]:
        """Accuracies of samples or pixels; IoU is the mean over the classes that occur."""
        count, accuracy = self.label_info.count, classification.MulticlassAccuracy
        metrics: dict[str, Metric] = {
            "accuracy": accuracy(count, average="micro", validate_args=False),
            "mean_iou": classification.MulticlassJaccardIndex(max(count, 2), validate_args=False),
        }
        if count > 5:
            top5 = accuracy(count, top_k=5, average="micro", validate_args=False)
            metrics["top5_accuracy"] = top5
        return {measure.name: metrics[measure.name] for measure in self.metric_kinds}

    def prediction(self, output: Any) -> Tensor:
        """The probability of each class."""
        return output.softmax(1)


class BinaryCrossEntropy(Objective):
    """Cross-entropy of a score for each class on its own, with labels 0 and 1."""

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """The mean over the classes."""
        return F.binary_cross_entropy_with_logits(output, labels.to(output.dtype).view_as(output))

    def metrics(self) -> dict[str, Metric]:
        """Means over the classes; F1 at the threshold 1/2."""
        count, precision = self.label_info.count, classification.MultilabelAveragePrecision
        return {
            "f1": classification.MultilabelF1Score(count, validate_args=False),
            "average_precision": precision(count, thresholds=THRESHOLDS, validate_args=False),
        }

    def metric_inputs(self, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities, and labels as whole numbers."""
        return output.sigmoid(), labels.view_as(output).long()

    def prediction(self, output: Any) -> Tensor:
        """The probability of each class, independent of the others."""
        return output.sigmoid()


class RegressionLoss(Objective):
    """A regression loss, in the unit of the labels.

    The network predicts standardised labels: minus the mean of the training labels, over their
    deviation, per channel. The loss that gradients are taken of is divided by a constant,
    `loss_scale`, so that a learning rate means the same in every unit.
    """

    power = 2  # the loss is in the unit of the labels to this power

    def __init__(self, recipe: Recipe, label_info: LabelInfo):
        super().__init__(recipe, label_info)
        per_channel = (-1, *(1 for _ in label_info.shape[1:]))  # the shape of a number per channel
        mean = torch.tensor(label_info.mean or (0.0,)).view(per_channel)
        deviation = torch.tensor(label_info.deviation or (1.0,)).view(per_channel)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        scale = float(deviation.double().square().mean().sqrt())
        self.loss_scale = max(self.typical_loss(scale), LEAST_SCALE)

    def typical_loss(self, deviation: float) -> float:
        """The loss of an error as large as the labels' deviation."""
        return deviation**self.power

    @abstractmethod
    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean error over all numbers, in the labels' unit to the `power`."""

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """The mean error in the unit of the labels."""
        return self.error(*self.metric_inputs(output, labels))

    def training_loss(self, output: Any, labels: Tensor) -> Tensor:
        """The loss divided by `loss_scale`."""
        return self.loss(output, labels) / self.loss_scale

    def reported_loss(self, training_loss: Tensor) -> Tensor:
        """The loss in the unit of the labels again."""
        return training_loss * self.loss_scale

    def metrics(self) -> dict[str, Metric]:
        """RMSE over all numbers, and R² as the mean over the channels."""
        return {"rmse": RootMeanSquare(), "r2": RSquared(self.mean, self.deviation)}

    def metric_inputs(self, output: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions and labels in the unit of the labels."""
        return self.prediction(output), labels.view_as(output)

    def prediction(self, output: Any) -> Tensor:
        """The prediction in the unit of the labels."""
        return output * self.deviation + self.mean


class SquaredError(RegressionLoss):
    """The mean squared error."""

    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""
        return F.mse_loss(predicted, labels.to(predicted.dtype))


class AbsoluteError(RegressionLoss):
    """The mean absolute error."""

    power = 1

    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""
        return F.l1_loss(predicted, labels.to(predicted.dtype))


class Huber(RegressionLoss):
    """Half the square of errors below `delta`, delta (|error| - delta/2) above (Huber 1964)."""

    def typical_loss(self, deviation: float) -> float:
        """The square or the linear branch of the loss, whichever holds there, up to a factor."""
        return deviation * min(deviation, float(self.call["delta"]))

    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""
        return F.huber_loss(predicted, labels.to(predicted.dtype), delta=self.call["delta"])


class RootMeanSquare(MeanSquaredError):
    """torchmetrics' RMSE over all numbers, summed in double precision."""

    def __init__(self) -> None:
        super().__init__(squared=False)
        self.set_dtype(torch.float64)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch, each (B, …)."""
        super().update(*(x.detach().double().flatten() for x in (preds, target)))


class RSquared(R2Score):
    """torchmetrics' R², the mean over the channels, of standardised labels.

    Unstandardised, torchmetrics would take sums below 1e-4 for 0, and squares of labels such as
    years would lose their differences.

    Args:
        mean: the mean of the labels, (channels, …).
        deviation: the standard deviation of the labels, (channels, …).
    """

    def __init__(self, mean: Tensor, deviation: Tensor):
        super().__init__()
        for name in ("sum_squared_error", "sum_error", "residual"):  # its sums, in more precision
            zeros = torch.zeros(len(mean), dtype=torch.float64)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean.double(), persistent=False)
        self.register_buffer("deviation", deviation.double(), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch, each (B, channels, …)."""
        super().update(*map(self._standardised, (preds, target)))

    def compute(self) -> Tensor:
        """The mean of R² over the channels; NaN if there is a single sample."""
        return torch.full((), torch.nan) if self.total < 2 else super().compute()

    def _standardised(self, values: Tensor) -> Tensor:
        standardised = (values.detach().double() - self.mean) / self.deviation
        return standardised.movedim(1, -1).flatten(0, -2)


def objective_of(recipe: Recipe, label_info: LabelInfo) -> Objective:
    """The objective of a recipe's loss, for labels of one kind."""
    return resolve_name(loss_kind(recipe.loss).source)(recipe, label_info)
