"""The losses of `loss = …` and the metrics that go with them, as tables.

The code that computes them is in `odenet.training.learning.losses`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from odenet.model.tables.argument_kinds import Call, Number, Word
from odenet.model.tables.choices import Parameter

# What a label is: a class (of a sample, or of each of its places), several classes each of which
# applies or not, numbers, the next tokens of a text, or nothing.
LabelKind = Literal["class", "several", "numbers", "tokens", "none"]


@dataclass(frozen=True, kw_only=True)
class MetricKind:
    """A metric: a number that says how good a network is on a split of the data.

    Args:
        name: the name of its column in metrics.csv, after that of the split: `test_accuracy`.
        title: its name in tables and figures.
        number_format: its format, for str.format.
        best: whether larger or smaller is better.
    """

    name: str
    title: str
    number_format: str = "{:.4g}"
    best: Literal["max", "min"] = "max"

    def show(self, value: float) -> str:
        """A value of the metric as text."""
        return self.number_format.format(value)

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return value > other if self.best == "max" else value < other


@dataclass(frozen=True, kw_only=True)
class LossKind:
    """A row of the table: one loss.

    Args:
        name: its name in the language.
        meaning: what it is for, for the documentation.
        source: "module:class" of the `odenet.training.learning.losses.Objective` that computes it.
        labels: what its labels are.
        metrics: measured on a split in addition to the loss; the first selects the best epoch.
        place_metrics: the metrics where every place of a sample has a label of its own, as in
            segmentation; empty if they are the same.
        needs_density: whether the net has to give the density of its input, as a normalising flow.
        arguments: by name, in positional order.
    """

    name: str
    meaning: str
    source: str
    labels: LabelKind
    metrics: tuple[str, ...]
    place_metrics: tuple[str, ...] = ()
    needs_density: bool = False
    arguments: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])

    def metrics_for(self, per_place: bool) -> tuple[MetricKind, ...]:
        """Its metrics; `per_place` is whether every place of a sample has a label."""
        names = self.place_metrics if per_place and self.place_metrics else self.metrics
        return tuple(METRICS[name] for name in names)


METRICS = {
    row.name: row
    for row in (
        MetricKind(name="accuracy", title="accuracy", number_format="{:.2%}"),
        MetricKind(name="top5_accuracy", title="top-5 accuracy", number_format="{:.2%}"),
        MetricKind(name="mean_iou", title="mean IoU", number_format="{:.2%}"),
        MetricKind(name="f1", title="F1"),
        MetricKind(name="average_precision", title="average precision"),
        MetricKind(name="rmse", title="RMSE", best="min"),
        MetricKind(name="r2", title="R²"),
        MetricKind(name="bits_per_byte", title="bits per byte", number_format="{:.3f}", best="min"),
        MetricKind(name="perplexity", title="perplexity", number_format="{:.2f}", best="min"),
        MetricKind(name="bits_per_dim", title="bits per dimension", best="min"),
    )
}

_BALANCE = Parameter(
    Word(("equal", "balanced")),
    "says what a class weighs: all alike, or the less the more often it occurs",
    "equal",
)
_DELTA = Parameter(
    Number(0, open_low=True),
    "is the error, in the labels' unit, above which it grows linearly",
    1.0,
)
_REGRESSION = ("rmse", "r2")

ROWS = (
    LossKind(
        name="cross_entropy",
        meaning="one class for a sample, or for each of its places",
        source="odenet.training.learning.losses:CrossEntropy",
        labels="class",
        metrics=("accuracy", "top5_accuracy"),
        place_metrics=("mean_iou", "accuracy"),
        arguments={"weights": _BALANCE},
    ),
    LossKind(
        name="bce",
        meaning="several classes, each of which holds or does not",
        source="odenet.training.learning.losses:BinaryCrossEntropy",
        labels="several",
        metrics=("f1", "average_precision"),
    ),
    LossKind(
        name="mse",
        meaning="numbers, by the square of the error",
        source="odenet.training.learning.losses:SquaredError",
        labels="numbers",
        metrics=_REGRESSION,
    ),
    LossKind(
        name="mae",
        meaning="numbers, by the size of the error",
        source="odenet.training.learning.losses:AbsoluteError",
        labels="numbers",
        metrics=_REGRESSION,
    ),
    LossKind(
        name="huber",
        meaning="numbers, by half the square of small errors and the size of large ones",
        source="odenet.training.learning.losses:Huber",
        labels="numbers",
        metrics=_REGRESSION,
        arguments={"delta": _DELTA},
    ),
    LossKind(
        name="next_token",
        meaning="text, by the token that follows each",
        source="odenet.training.learning.next_token:NextToken",
        labels="tokens",
        metrics=("bits_per_byte", "perplexity"),
    ),
    LossKind(
        name="likelihood",
        meaning="samples without labels: how improbable an invertible net finds them, in nats",
        source="odenet.training.learning.likelihood:Likelihood",
        labels="none",
        metrics=("bits_per_dim",),
        needs_density=True,
    ),
)

LOSSES = {row.name: row for row in ROWS}

DEFAULT_LOSS = Call("cross_entropy", (), {"weights": "equal"})  # where a recipe names none


def loss_kind(loss: Call | None) -> LossKind:
    """The row of a recipe's loss."""
    return LOSSES[(loss or DEFAULT_LOSS).name]
