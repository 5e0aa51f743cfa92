"""What a measurement finds beside means: classes taken for one another, and the worst samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix, MultilabelConfusionMatrix

from odenet.training.learning.losses import Objective

WORST = 25  # samples that are kept
HOLDS = 0.5  # the probability above which a class is said to hold


class Details:
    """Counts classes, and keeps the samples with the largest loss, while a split is measured.

    Args:
        objective: says what answers and labels are.
        classes: the names of the classes, in the order of the network's outputs.
    """

    def __init__(self, objective: Objective, classes: Sequence[str]):
        self._objective = objective
        self._classes = tuple(classes)
        self._kind = objective.kind.labels
        self._counts = _confusion(self._kind, len(classes))
        self._seen = 0
        self._worst: tuple[Tensor, ...] = ()  # losses, places, predictions and labels

    def update(self, answer: Tensor, labels: Tensor) -> None:
        """Look at a batch.

        Args:
            answer: what the loss takes of the network, (B, …).
            labels: (B, …).
        """
        answer = answer.detach()
        if self._counts is not None:
            self._counts.to(answer.device).update(*self._objective.compared(answer, labels))
        losses = self._objective.each(answer, labels).float()
        places = torch.arange(self._seen, self._seen + len(losses), device=losses.device)
        self._seen += len(losses)
        batch = (losses, places, self._objective.prediction(answer), labels)
        if self._worst:
            batch = tuple(torch.cat(pair) for pair in zip(self._worst, batch, strict=True))
        best = batch[0].topk(min(WORST, len(batch[0]))).indices
        self._worst = tuple(values[best] for values in batch)

    def found(self, places: Sequence[int], files: Sequence[str]) -> dict[str, Any]:
        """What was found, as plain values.

        Args:
            places: of the samples in their split, in the order in which they came.
            files: that the samples of the split came from; empty if from none.

        Returns:
            `confusion`: with a class for each sample or place, a row for each true class with how
            often each class was said of it. `per_class`: by name, `precision`, `recall`, `f1`, of
            places `iou`, and `support`, how often it is true; None where it is 0 / 0. `worst`: the
            samples with the largest loss, that first, each with its `index` in the split, its
            `file` if it has one, its `loss`, and what was said in place of what.
        """
        found: dict[str, Any] = {}
        if self._counts is not None:
            counts = self._counts.compute().cpu()
            if self._kind == "class":
                found["confusion"] = counts.tolist()
            found["per_class"] = self._per_class(counts)
        rows = zip(*(values.cpu() for values in self._worst), strict=True)
        found["worst"] = [self._sample(row, places, files) for row in rows]
        return found

    def _per_class(self, counts: Tensor) -> dict[str, dict[str, float | int | None]]:
        if self._kind == "class":
            right = counts.diagonal()
            missed, false = counts.sum(1) - right, counts.sum(0) - right
        else:  # (classes, 2, 2), or (2, 2) of a single one
            each = counts.view(-1, 2, 2)
            right, missed, false = each[:, 1, 1], each[:, 1, 0], each[:, 0, 1]
        of_places = self._kind == "class" and bool(self._objective.labels.shape)
        rows = zip(right.tolist(), missed.tolist(), false.tolist(), strict=True)
        return {
            name: scores(*row, of_places) for name, row in zip(self._classes, rows, strict=True)
        }

    def _sample(
        self, row: tuple[Tensor, ...], places: Sequence[int], files: Sequence[str]
    ) -> dict[str, Any]:
        """One of the worst samples, from its row of `_worst`."""
        loss, place, said, label = row
        index = places[int(place)]
        where: dict[str, Any] = {"index": index}
        if files:
            where["file"] = files[index]
        return {**where, "loss": loss.item(), **self._in_words(said, label)}

    def _in_words(self, said: Tensor, label: Tensor) -> Mapping[str, Any]:
        """What was said of a sample, (…), and its label, (…)."""
        match self._kind:
            case "class" if label.dim():
                wrong = (said.argmax(0) != label).double().mean().item()
                return {"wrong": wrong}
            case "class":
                best = int(said.argmax())
                label_, said_ = self._classes[int(label)], self._classes[best]
                return {"label": label_, "said": said_, "probability": said[best].item()}
            case "several":
                both = (label.flatten() == 1, said.flatten() > HOLDS)
                names = (
                    [n for n, holds in zip(self._classes, row.tolist(), strict=True) if holds]
                    for row in both
                )
                return dict(zip(("label", "said"), names, strict=True))
            case "numbers":
                numbers, truth = said.flatten().double(), label.flatten().double()
                error = numbers - truth
                most = error.abs().argmax()
                values = truth[most], numbers[most], error[most]
                keys = ("label", "said", "error")
                return dict(zip(keys, (v.item() for v in values), strict=True))
            case _:
                return {}


def scores(right: int, missed: int, false: int, of_places: bool) -> dict[str, float | int | None]:
    """How well one class is found.

    Args:
        right: how often it was said of what it is true of.
        missed: how often another one was.
        false: how often it was said of what it is not true of.
        of_places: whether to add the intersection over the union.
    """
    found = {
        "precision": _ratio(right, right + false),
        "recall": _ratio(right, right + missed),
        "f1": _ratio(2 * right, 2 * right + false + missed),
    }
    if of_places:
        found["iou"] = _ratio(right, right + false + missed)
    return {**found, "support": right + missed}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _confusion(kind: str, classes: int) -> Metric | None:
    if kind == "class":
        return MulticlassConfusionMatrix(max(classes, 2), validate_args=False)
    if kind == "several":
        return MultilabelConfusionMatrix(classes, validate_args=False)
    return None
