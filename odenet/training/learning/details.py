"""Details of a measurement: confusion matrix, scores of each class, and the worst samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix, MultilabelConfusionMatrix

from odenet.training.learning.losses import Objective

WORST_KEPT = 25  # how many of the samples with the largest loss are kept
ClassScores = dict[str, float | int | None]  # by name; None where a score is 0 / 0
THRESHOLD = 0.5  # the probability above which a class is predicted, where several may hold


class Details:
    """Counts classes, and keeps the samples with the largest loss, while a split is measured.

    Args:
        objective: the loss, with the kind of its labels.
        classes: the names of the classes, in the order of the network's outputs.
    """

    def __init__(self, objective: Objective, classes: Sequence[str]):
        self._objective = objective
        self._classes = tuple(classes)
        self._kind = objective.kind.labels
        self._matrix = _confusion(self._kind, len(classes))
        self._sample_count = 0
        self._worst: tuple[Tensor, ...] = ()  # losses, positions, predictions and labels

    def update(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            output: the network's output, as the loss takes it, (B, …).
            labels: the labels, (B, …).
        """
        output = output.detach()
        if self._matrix is not None:
            self._matrix.to(output.device).update(*self._objective.metric_inputs(output, labels))
        losses = self._objective.sample_losses(output, labels).float()
        first, self._sample_count = self._sample_count, self._sample_count + len(losses)
        positions = torch.arange(first, self._sample_count, device=losses.device)
        batch = (losses, positions, self._objective.prediction(output), labels)
        if self._worst:
            batch = tuple(torch.cat(pair) for pair in zip(self._worst, batch, strict=True))
        largest = batch[0].topk(min(WORST_KEPT, len(batch[0]))).indices
        self._worst = tuple(values[largest] for values in batch)

    def summary(self, indices: Sequence[int], files: Sequence[str]) -> dict[str, Any]:
        """The details as plain values.

        Args:
            indices: the index in the split of each measured sample, in the order measured.
            files: the file of each sample of the split; empty if they are not files.

        Returns:
            `confusion`: where a sample or pixel has one class, a row for each true class with how
            often each class was predicted. `per_class`: by name, `precision`, `recall`, `f1`, for
            class maps `iou`, and `support`, how often the class occurs; None where it is 0 / 0.
            `worst`: the samples with the largest loss, that first, each with its `index` in the
            split, its `file` if it has one, and its `loss`. A sample also has its true `label`, and
            as `said` what the network predicted: the classes, or of several numbers the one that is
            most in error. A class map has `wrong` instead, the share of its pixels with a wrong
            class.
        """
        values: dict[str, Any] = {}
        if self._matrix is not None:
            counts = self._matrix.compute().cpu()
            if self._kind == "class":
                values["confusion"] = counts.tolist()
            values["per_class"] = self._per_class(counts)
        rows = zip(*(values.cpu() for values in self._worst), strict=True)
        values["worst"] = [self._sample(row, indices[int(row[1])], files) for row in rows]
        return values

    def _per_class(self, counts: Tensor) -> dict[str, ClassScores]:
        if self._kind == "class":
            right = counts.diagonal()
            missed, false = counts.sum(1) - right, counts.sum(0) - right
        else:  # (classes, 2, 2), or (2, 2) of a single one
            tables = counts.view(-1, 2, 2)
            right, missed, false = tables[:, 1, 1], tables[:, 1, 0], tables[:, 0, 1]
        per_pixel = self._kind == "class" and bool(self._objective.label_info.shape)
        rows = zip(right.tolist(), missed.tolist(), false.tolist(), strict=True)
        scores = [class_scores(*row, per_pixel) for row in rows]
        return dict(zip(self._classes, scores, strict=True))

    def _sample(self, row: Sequence[Tensor], index: int, files: Sequence[str]) -> dict[str, Any]:
        """One of the worst samples: its row of `_worst`, its index, and all samples' files."""
        loss, _, prediction, label = row
        file = {"file": files[index]} if files else {}
        return {"index": index, **file, "loss": loss.item(), **self._described(prediction, label)}

    def _described(self, prediction: Tensor, label: Tensor) -> Mapping[str, Any]:
        """The prediction for a sample, (…), and its label, (…), as plain values; see `summary`."""
        match self._kind:
            case "class" if label.dim():
                return {"wrong": (prediction.argmax(0) != label).double().mean().item()}
            case "class":
                likeliest = int(prediction.argmax())
                names = {"label": self._classes[int(label)], "said": self._classes[likeliest]}
                return {**names, "probability": prediction[likeliest].item()}
            case "several":
                both = (label.flatten() == 1, prediction.flatten() > THRESHOLD)
                names = ([self._classes[i] for i in row.nonzero()[:, 0].tolist()] for row in both)
                return dict(zip(("label", "said"), names, strict=True))
            case "numbers":
                numbers, truth = prediction.flatten().double(), label.flatten().double()
                error = numbers - truth
                worst = error.abs().argmax()
                values = {"label": truth, "said": numbers, "error": error}
                return {name: tensor[worst].item() for name, tensor in values.items()}
            case _:
                return {}


def class_scores(right: int, missed: int, false: int, per_pixel: bool) -> ClassScores:
    """Precision, recall, F1 and support of one class.

    Args:
        right: its true positives.
        missed: its false negatives.
        false: its false positives.
        per_pixel: whether the classes are those of pixels; adds the intersection over union.
    """
    values = {
        "precision": _ratio(right, right + false),
        "recall": _ratio(right, right + missed),
        "f1": _ratio(2 * right, 2 * right + false + missed),
    }
    if per_pixel:
        values["iou"] = _ratio(right, right + false + missed)
    return {**values, "support": right + missed}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _confusion(kind: str, classes: int) -> Metric | None:
    if kind == "class":
        return MulticlassConfusionMatrix(max(classes, 2), validate_args=False)
    if kind == "several":
        return MultilabelConfusionMatrix(classes, validate_args=False)
    return None
