"""Predictions of a network: classes with probabilities, or numbers; as text and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from odenet.counted import counted
from odenet.files import write_text
from odenet.model.tables.losses import LossKind
from odenet.training.errors import NotPossible
from odenet.training.learning.details import THRESHOLD

MAX_SHOWN = 20  # samples that `str` shows


@dataclass(frozen=True)
class Predictions:
    """The predictions of a network for N samples.

    A network that predicts a class for each pixel gives a class map per sample.

    Args:
        values: on the CPU: probabilities of classes, (N, classes), or of class maps,
            (N, classes, H, W); or numbers in the unit of the labels, (N, …).
        classes: the names of the classes, in the order of `values`; empty for numbers.
        loss: the loss that the network was trained with; its `labels` say what `values`
            are: "class", "several" (classes that do not exclude each other) or "numbers".
    """

    values: Tensor
    classes: tuple[str, ...]
    loss: LossKind

    def __repr__(self) -> str:
        return f"<predictions of {counted(len(self.values), 'sample')} by {self.loss.name}>"

    def __str__(self) -> str:
        lines = replace(self, values=self.values[:MAX_SHOWN]).in_words()
        hidden_count = len(self.values) - len(lines)
        return "\n".join([*lines, *([f"and {hidden_count} more"] if hidden_count else [])])

    @property
    def probabilities(self) -> Tensor:
        """The probabilities of the classes, (N, classes) or (N, classes, H, W).

        Raises:
            TrainingError: the network predicts numbers.
        """
        self._require("class", "several")
        return self.values

    @property
    def labels(self) -> list[str] | list[list[str]] | Tensor:
        """The name of the likeliest class of each sample.

        If a sample may have several classes, a list of those more probable than not. For class maps
        the indices of the likeliest classes, (N, H, W); for numbers `values`.
        """
        if self.loss.labels == "several":
            return [[c for c, p in zip(self.classes, row, strict=True) if p > THRESHOLD]
                    for row in self.values.flatten(1).tolist()]  # fmt: skip
        if self.loss.labels != "class":
            return self.values
        likeliest = self.values.argmax(1)
        return likeliest if likeliest.dim() > 1 else [self.classes[i] for i in likeliest.tolist()]

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each sample with their probabilities, the likeliest first.

        Raises:
            TrainingError: the network predicts numbers or class maps.
        """
        self._require("class", "several")
        if self.values.dim() > 2:
            raise NotPossible("a class map has a class for every pixel", "take `labels`")
        values, indices = self.probabilities.topk(min(count, len(self.classes)), dim=1)
        rows = zip(indices.tolist(), values.tolist(), strict=True)
        return [[(self.classes[i], p) for i, p in zip(*row, strict=True)] for row in rows]

    def in_words(self, count: int = 1) -> list[str]:
        """A line per sample: its likeliest classes, the shares of classes in its map, or numbers.

        Args:
            count: how many classes to name for each sample; ignored for class maps and numbers.
        """
        if self.loss.labels == "class" and self.values.dim() > 2:
            likeliest = self.values.argmax(1).flatten(1)
            shares = [(likeliest == i).double().mean(1).tolist() for i in range(len(self.classes))]
            pairs = [list(zip(self.classes, row, strict=True)) for row in zip(*shares, strict=True)]
            named_shares = [sorted((p for p in row if p[1]), key=lambda p: -p[1]) for row in pairs]
        elif self.classes:
            named_shares = self.top(count)
        else:
            return [" ".join(f"{v:.6g}" for v in row) for row in self.values.flatten(1).tolist()]
        return ["  ".join(f"{name} {share:.1%}" for name, share in row) for row in named_shares]

    def write_csv(self, path: str | Path, names: Sequence[object]) -> None:
        """Write a row per sample: its name, its class or classes, and all probabilities or numbers.

        Args:
            path: the CSV file.
            names: a name for each sample, in the order of the predictions.

        Raises:
            WriteError: the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        values = self.values.flatten(1)
        numbered = [f"value{i}" for i in range(values.shape[1])]
        columns = list(self.classes) if len(self.classes) == values.shape[1] else numbered
        labels = self.labels
        texts = None if isinstance(labels, Tensor) else [_label_text(label) for label in labels]
        writer.writerow(["sample", *(["class"] if texts else []), *columns])
        for i, (name, row) in enumerate(zip(names, values.tolist(), strict=True)):
            writer.writerow([name, *([texts[i]] if texts else []), *(f"{v:.6g}" for v in row)])
        write_text(path, text.getvalue())

    def _require(self, *kinds: str) -> None:
        """Raise TrainingError unless the loss has labels of one of these kinds."""
        if self.loss.labels not in kinds:
            message = f"a network trained by {self.loss.name} gives numbers, not classes"
            raise NotPossible(message, "take `values`")


def _label_text(label: str | list[str]) -> str:
    return label if isinstance(label, str) else " ".join(label)
