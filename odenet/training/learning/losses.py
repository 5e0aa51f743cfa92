"""What the rows of `odenet.model.tables.losses` compute, in torch and torchmetrics."""

from abc import abstractmethod
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanSquaredError, Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassJaccardIndex,
    MultilabelAveragePrecision,
    MultilabelF1Score,
)
from torchmetrics.regression import R2Score

from odenet.model.tables.losses import USUAL, loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.training.data.samples import LabelInfo

# Scores at which the average precision is summed: evenly spaced, so that it does not matter how
# rare a class is. As probabilities they are as far as single precision tells them from 0 and 1.
THRESHOLDS = torch.linspace(-16, 16, 641).sigmoid()
LEAST_WEIGHT = 1e-12  # of a loss, in the square of the labels' unit


class Objective(nn.Module):
    """A loss with its metrics, for labels of one kind.

    Args:
        recipe: its `loss` has the arguments; `label_smoothing`.
        labels: what the labels of the data are.
    """

    def __init__(self, recipe: Recipe, labels: LabelInfo):
        super().__init__()
        self.recipe = recipe
        self.call = recipe.loss or USUAL
        self.kind = loss_kind(recipe.loss)
        self.labels = labels
        self.measures = self.kind.measured(bool(labels.shape))

    def answer(self, network: nn.Module, inputs: Tensor) -> Any:
        """What the loss and the metrics take of a network, for a batch."""
        return network(inputs)

    @abstractmethod
    def loss(self, answer: Any, labels: Tensor) -> Tensor:
        """The mean loss of a batch, as it is reported of every split but the training one."""

    def each(self, answer: Tensor, labels: Tensor) -> Tensor:
        """The loss of every sample of a batch, (B,)."""
        return torch.vmap(lambda a, y: self.loss(a[None], y[None]))(answer, labels)

    def trained(self, answer: Any, labels: Tensor) -> Tensor:
        """What gradients are taken of; of a batch."""
        return self.loss(answer, labels)

    def reported(self, trained: Tensor) -> Tensor:
        """What is reported of a training batch, from `trained`."""
        return trained

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """New metrics, by the names of `kind.measured`; those left out follow from the loss."""

    def compared(self, answer: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What the metrics compare, from an answer and its labels."""
        return answer, labels

    def derived(self, loss: Tensor) -> dict[str, Tensor]:
        """The metrics that follow from the mean loss of an epoch, by name."""
        return {}

    def prediction(self, answer: Any) -> Tensor:
        """What the network says of samples in the terms of the labels, from its answer."""
        return answer


class CrossEntropy(Objective):
    """Cross-entropy of scores, (B, classes, *places), and classes, (B, *places)."""

    def __init__(self, recipe: Recipe, labels: LabelInfo):
        super().__init__(recipe, labels)
        if labels.class_count <= 5:  # the top 5 of so few are all
            self.measures = tuple(m for m in self.measures if m.name != "top5_accuracy")
        self.weights: Tensor | None
        weights = None
        if self.call["weights"] == "balanced" and labels.class_counts:
            counts = torch.tensor(labels.class_counts, dtype=torch.float32)
            weights = counts.sum() / (len(counts) * counts.clamp(min=1))
        self.register_buffer("weights", weights, persistent=False)

    def loss(self, answer: Any, labels: Tensor) -> Tensor:
        """The plain one: without smoothing or weights."""
        return F.cross_entropy(answer, labels)

    def trained(self, answer: Any, labels: Tensor) -> Tensor:
        """With the recipe's smoothing and weights; of classes, or of shares in mixed samples."""
        if labels.is_floating_point():
            labels = labels.to(answer.dtype)
        smoothing = self.recipe.label_smoothing
        weights = None if self.weights is None else self.weights.to(answer.dtype)
        return F.cross_entropy(answer, labels, weight=weights, label_smoothing=smoothing)

    def compared(self, answer: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and classes; of mixed samples the class with the largest share."""
        return answer, labels.argmax(1) if labels.is_floating_point() else labels

    def metrics(self) -> dict[str, Metric]:
        """Shares of samples or places; IoU is the mean over the classes that occur."""
        count = self.labels.class_count
        known: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(count, average="micro", validate_args=False),
            "mean_iou": MulticlassJaccardIndex(max(count, 2), validate_args=False),
        }
        if count > 5:
            known["top5_accuracy"] = MulticlassAccuracy(
                count, top_k=5, average="micro", validate_args=False
            )
        return {measure.name: known[measure.name] for measure in self.measures}

    def prediction(self, answer: Any) -> Tensor:
        """The probability of each class."""
        return answer.softmax(1)


class BinaryCrossEntropy(Objective):
    """Cross-entropy of a score for each class by itself, and whether it holds."""

    def loss(self, answer: Any, labels: Tensor) -> Tensor:
        """The mean over the classes."""
        return F.binary_cross_entropy_with_logits(answer, labels.to(answer.dtype).view_as(answer))

    def metrics(self) -> dict[str, Metric]:
        """Means over the classes; F1 of what is likelier than not."""
        count = self.labels.class_count
        return {
            "f1": MultilabelF1Score(count, validate_args=False),
            "average_precision": MultilabelAveragePrecision(
                count, thresholds=THRESHOLDS, validate_args=False
            ),
        }

    def compared(self, answer: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities, and whole numbers."""
        return answer.sigmoid(), labels.view_as(answer).long()

    def prediction(self, answer: Any) -> Tensor:
        """The probability of each class, by itself."""
        return answer.sigmoid()


class OfNumbers(Objective):
    """A loss of numbers, in the unit of the labels.

    The network gives them standardised: less the mean of the training labels, over their
    deviation, per channel. What gradients are taken of is divided by a constant, so that a
    learning rate means the same whatever the unit is.
    """

    power = 2  # of the unit that the loss is in

    def __init__(self, recipe: Recipe, labels: LabelInfo):
        super().__init__(recipe, labels)
        channels = (-1, *(1 for _ in labels.shape[1:]))
        mean = torch.tensor(labels.mean or (0.0,)).view(channels)
        deviation = torch.tensor(labels.deviation or (1.0,)).view(channels)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        unit = float(deviation.double().square().mean().sqrt())
        self.unit = max(self.in_units(unit), LEAST_WEIGHT)

    def in_units(self, unit: float) -> float:
        """About what the loss is where the error is the labels' deviation."""
        return unit**self.power

    @abstractmethod
    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""

    def loss(self, answer: Any, labels: Tensor) -> Tensor:
        """In the unit of the labels."""
        return self.error(*self.compared(answer, labels))

    def trained(self, answer: Any, labels: Tensor) -> Tensor:
        """Over the constant."""
        return self.loss(answer, labels) / self.unit

    def reported(self, trained: Tensor) -> Tensor:
        """In the unit of the labels again."""
        return trained * self.unit

    def metrics(self) -> dict[str, Metric]:
        """RMSE over all numbers; R² is the mean over the channels."""
        return {"rmse": RootMeanSquare(), "r2": RSquared(self.mean, self.deviation)}

    def compared(self, answer: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both in the unit of the labels."""
        return self.prediction(answer), labels.view_as(answer)

    def prediction(self, answer: Any) -> Tensor:
        """In the unit of the labels."""
        return answer * self.deviation + self.mean


class SquaredError(OfNumbers):
    """The mean square of the errors."""

    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""
        return F.mse_loss(predicted, labels.to(predicted.dtype))


class AbsoluteError(OfNumbers):
    """The mean size of the errors."""

    power = 1

    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""
        return F.l1_loss(predicted, labels.to(predicted.dtype))


class Huber(OfNumbers):
    """Half the square of errors below `delta`, delta (|error| - delta/2) above (Huber 1964)."""

    def in_units(self, unit: float) -> float:
        """Of the branch that errors of the labels' deviation are on."""
        return unit * min(unit, float(self.call["delta"]))

    def error(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """The mean over the numbers."""
        return F.huber_loss(predicted, labels.to(predicted.dtype), delta=self.call["delta"])


class RootMeanSquare(MeanSquaredError):
    """torchmetrics' over all numbers, summed in double precision."""

    def __init__(self) -> None:
        super().__init__(squared=False)
        self.set_dtype(torch.float64)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch, each (B, …)."""
        super().update(*(x.detach().double().flatten() for x in (preds, target)))


class RSquared(R2Score):
    """torchmetrics', the mean over the channels, of labels standardised.

    So the units do not matter: torchmetrics takes sums below 1e-4 for 0, and sums of squares about
    0 lose what labels such as years differ by.

    Args:
        mean: of the labels, (channels, …).
        deviation: likewise.
    """

    def __init__(self, mean: Tensor, deviation: Tensor):
        super().__init__()
        for name in ("sum_squared_error", "sum_error", "residual"):
            zeros = torch.zeros(len(mean), dtype=torch.float64)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean.double(), persistent=False)
        self.register_buffer("deviation", deviation.double(), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch, each (B, channels, …)."""
        super().update(*map(self._rows, (preds, target)))

    def compute(self) -> Tensor:
        """NaN of a single number."""
        if self.total < 2:
            return torch.full((), torch.nan)
        return super().compute()

    def _rows(self, values: Tensor) -> Tensor:
        standardised = (values.detach().double() - self.mean) / self.deviation
        return standardised.movedim(1, -1).flatten(0, -2)


def objective_of(recipe: Recipe, labels: LabelInfo) -> Objective:
    """What a recipe's loss computes, on labels of one kind."""
    return resolve_name(loss_kind(recipe.loss).source)(recipe, labels)
