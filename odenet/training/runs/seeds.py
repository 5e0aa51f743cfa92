"""One recipe trained several times, from other random numbers each time."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from scipy.stats import t

import odenet
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
    """Train a spec several times, one after the other, with consecutive seeds.

    Args:
        spec: the file.
        count: how many times.
        set: as for `train`; its `seed`, or the recipe's, is the first one.
        options: where they run.
        out: a folder for the runs' folders, `seed-0`, `seed-1`, …; by default they are next to
            all others under `runs/`.
        console: where progress is shown.
        unchecked: as for `train`.

    Raises:
        SpecError: as for `train`.
        TrainingError: as for `train`; the runs before it are finished and stay.
    """
    results = []
    first = odenet.load(spec, set=set).recipe.seed
    for seed in range(first, first + count):
        folder = None if out is None else str(Path(out) / f"seed-{seed}")
        settings = {**(set or {}), "seed": seed}
        result = train(spec, settings, options, folder, console, unchecked)
        if result is not None:
            results.append(result)
    return results


def confidence_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of some values, and half the width of the 95 % interval of the mean.

    By Student's distribution, as if the values were drawn from a normal one.
    """
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values)
    return fmean(values), half / math.sqrt(len(values))


def show_seeds(results: Sequence[Result], console: Console) -> None:
    """Print a row per run, and the mean of their last metrics with its interval."""
    show_comparison(results, console)
    (watched,) = {result.watched for result in results}
    measure = results[0].chosen_by
    mean, half = confidence_interval([result.last for result in results if result.last is not None])
    console.print(
        f"{watched} {measure.words} {measure.show(mean)} ± {measure.show(half)} "
        f"({CONFIDENCE:.0%} interval of the mean of {len(results)} seeds)",
        highlight=False,
    )
    if watched == "val":
        tested = [result.metrics[measure.name] for result in results]
        mean, half = confidence_interval([value for value in tested if value is not None])
        console.print(
            f"test {measure.words} {measure.show(mean)} ± {measure.show(half)} of the best epochs",
            highlight=False,
        )
