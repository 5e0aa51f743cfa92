"""What a network says of samples: classes and probabilities, or numbers."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from odenet.files import write_text
from odenet.model.tables.losses import LossKind
from odenet.training.errors import NotPossible
from odenet.training.learning.details import THRESHOLD

MAX_SHOWN = 20  # lines


@dataclass(frozen=True)
class Predictions:
    """What a network says of some samples.

    Args:
        values: (N, …), on the CPU: probabilities of classes, (N, classes) or of every place
            (N, classes, *places); or numbers in the unit of the labels.
        classes: the names of the classes, in the order of the columns; none of numbers.
        loss: the row of the loss that the network was trained by.
    """

    values: Tensor
    classes: tuple[str, ...]
    loss: LossKind

    def __repr__(self) -> str:
        return f"<predictions of {len(self.values)} samples by {self.loss.name}>"

    def __str__(self) -> str:
        shown = replace(self, values=self.values[:MAX_SHOWN]).in_words()
        more = len(self.values) - len(shown)
        return "\n".join([*shown, *([f"and {more} more"] if more else [])])

    @property
    def probabilities(self) -> Tensor:
        """Of the classes.

        Raises:
            TrainingError: the network gives numbers.
        """
        self._require("class", "several")
        return self.values

    @property
    def labels(self) -> list[str] | list[list[str]] | Tensor:
        """The likeliest class of each sample, or those that hold where there may be several.

        Of class maps the numbers of the likeliest classes, (N, *places); of numbers `values`.
        """
        if self.loss.labels == "several":
            return [[c for c, p in zip(self.classes, row, strict=True) if p > THRESHOLD]
                    for row in self.values.flatten(1).tolist()]  # fmt: skip
        if self.loss.labels != "class":
            return self.values
        best = self.values.argmax(1)
        return best if best.dim() > 1 else [self.classes[i] for i in best.tolist()]

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest classes of each sample with their probabilities, the likeliest first.

        Raises:
            TrainingError: the network gives numbers, or a class for every place.
        """
        self._require("class", "several")
        if self.values.dim() > 2:
            raise NotPossible("a class map has a class for every place", "take `labels`")
        values, places = self.probabilities.topk(min(count, len(self.classes)), dim=1)
        return [
            [(self.classes[i], p) for i, p in zip(row, ps, strict=True)]
            for row, ps in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def in_words(self, count: int = 1) -> list[str]:
        """A line per sample: its likeliest classes, what its map consists of, or its numbers."""
        if self.loss.labels == "class" and self.values.dim() > 2:
            best = self.values.argmax(1).flatten(1)
            shares = [(best == i).double().mean(1).tolist() for i in range(len(self.classes))]
            pairs = [list(zip(self.classes, row, strict=True)) for row in zip(*shares, strict=True)]
            found = [sorted((p for p in row if p[1]), key=lambda p: -p[1]) for row in pairs]
        elif self.classes:
            found = self.top(count)
        else:
            return [" ".join(f"{v:.6g}" for v in row) for row in self.values.flatten(1).tolist()]
        return ["  ".join(f"{name} {share:.1%}" for name, share in row) for row in found]

    def write_csv(self, path: str | Path, names: Sequence[object]) -> None:
        """Write a row per sample: its name, its class or classes, and every probability or number.

        Raises:
            WriteError: if it cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        values = self.values.flatten(1)
        flat = [f"value{i}" for i in range(values.shape[1])]
        columns = list(self.classes) if len(self.classes) == values.shape[1] else flat
        named = self.labels
        words = None if isinstance(named, Tensor) else [_label_text(label) for label in named]
        rows.writerow(["sample", *(["class"] if words else []), *columns])
        for i, (name, row) in enumerate(zip(names, values.tolist(), strict=True)):
            rows.writerow([name, *([words[i]] if words else []), *(f"{v:.6g}" for v in row)])
        write_text(path, text.getvalue())

    def _require(self, *kinds: str) -> None:
        if self.loss.labels not in kinds:
            raise NotPossible(
                f"a network trained by {self.loss.name} gives numbers, not classes", "take `values`"
            )


def _label_text(label: str | list[str]) -> str:
    return label if isinstance(label, str) else " ".join(label)
