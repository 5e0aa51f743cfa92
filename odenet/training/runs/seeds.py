"""Training a spec with several seeds, and the confidence interval of its metric."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from scipy import stats

import odenet
from odenet.model.tables.losses import MetricKind
from odenet.training.run_folder.records import Options
from odenet.training.runs.comparison import show_comparison
from odenet.training.runs.results import Result
from odenet.training.runs.run import train

CONFIDENCE = 0.95


def train_seeds(
    spec: str | Path,
    count: int,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    out: str | None = None,
    console: Console | None = None,
    unchecked: bool = False,
) -> list[Result]:
    """Train a spec several times with consecutive seeds, one run after the other.

    Args:
        spec: the path of the .ode file.
        count: the number of runs.
        set: as for `train`; its `seed`, or else the recipe's, is the first seed.
        options: where and how they run.
        out: a folder for the runs' folders `seed-0`, `seed-1`, …; by default each run has the next
            free folder under `runs/`.
        console: where progress is shown.
        unchecked: as for `train`.

    Raises:
        SpecError: as for `train`.
        TrainingError: as for `train`; earlier runs are finished, and their folders stay.
    """
    results = []
    first_seed = odenet.load(spec, set=set).recipe.seed
    for seed in range(first_seed, first_seed + count):
        folder = None if out is None else str(Path(out) / f"seed-{seed}")
        result = train(spec, {**(set or {}), "seed": seed}, options, folder, console, unchecked)
        if result is not None:
            results.append(result)
    return results


def confidence_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of some values, and half the width of the 95 % confidence interval of the mean.

    It is Student's t interval, which assumes normally distributed values.
    """
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return fmean(values), quantile * stdev(values) / math.sqrt(len(values))


def show_seeds(results: Sequence[Result], console: Console) -> None:
    """Print a row for each run, and the mean of their last metrics with its interval."""
    show_comparison(results, console)
    (watched,) = {result.watched for result in results}
    metric = results[0].chosen_by
    text = _interval_text(metric, (result.last for result in results))
    meaning = f"{CONFIDENCE:.0%} interval of the mean of {len(results)} seeds"
    console.print(f"{watched} {text} ({meaning})", highlight=False)
    if watched == "val":
        text = _interval_text(metric, (result.metrics[metric.name] for result in results))
        console.print(f"test {text} of the best epochs", highlight=False)


def _interval_text(metric: MetricKind, values: Iterable[float | None]) -> str:
    """The name of a metric, and the confidence interval of its values without None."""
    mean, half_width = confidence_interval([value for value in values if value is not None])
    return f"{metric.title} {metric.show(mean)} ± {metric.show(half_width)}"
