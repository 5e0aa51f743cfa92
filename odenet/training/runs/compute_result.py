"""Computing the `Result` of a run from its metrics and its last weights."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from odenet.model.tables.losses import MetricKind
from odenet.model.tables.recipe import Recipe
from odenet.training.callbacks.stability_guard import EXACT_ITERATIONS
from odenet.training.callbacks.stopping import TARGET_MARGIN
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.windows import Windows
from odenet.training.flows import stability
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Row, RunFolder
from odenet.training.runs.results import Result, time_saved

DIVERGED_FACTOR = 10  # last loss / first loss, above which a run counts as diverged


def compute_result(folder: RunFolder, task: Task, data: SplitLoaders, rows: list[Row]) -> Result:
    """The result of a run.

    Args:
        folder: the run's folder.
        task: the task, with the weights of the last epoch.
        data: the data that it was trained on.
        rows: the metrics of all epochs.
    """
    metric = task.objective.metric_kinds[0]
    values = [row[f"{task.validation_name}_{metric.name}"] for row in rows]
    best = (max if metric.best == "max" else min)(values)
    is_accuracy = metric.name == "accuracy"
    seconds = rows[-1]["seconds"]
    used_cuda = task.device.type == "cuda" or torch.cuda.is_initialized()
    result = Result(
        folder=str(folder.path),
        watched=task.validation_name,
        accuracy=values[-1] if is_accuracy else None,
        best_accuracy=best if is_accuracy else None,
        best_epoch=values.index(best) + 1,
        test_accuracy=None,
        epochs=len(rows),
        parameters=sum(p.numel() for p in task.network.parameters()),
        seconds=seconds,
        samples_per_second=data.samples_per_epoch * len(rows) / seconds,
        stability=stability(task.network, EXACT_ITERATIONS),
        memory=torch.cuda.max_memory_allocated() if used_cuda else None,
        saved=time_saved(rows, task.recipe),
        damaged=tuple(data.damaged),
        diverged=_divergence_text(task, rows),
        stopped_early=_early_stop_text(task.recipe, metric, values),
        loss=task.objective.kind.name,
        measure=metric.name,
        last=values[-1],
        best=best,
        pictures=len(data.transforms.shape) == 3 and not task.objective.kind.needs_density,
    )
    windows = data.train.inputs
    if isinstance(windows, Windows):
        result = replace(result, tokens_per_second=windows.size * result.samples_per_second)
    split = f"{task.validation_name}_"
    scores = {name.removeprefix(split): v for name, v in rows[-1].items() if name.startswith(split)}
    return with_test_scores(result, task, scores)  # replaced later if the split is not "test"


def _divergence_text(task: Task, rows: list[Row]) -> str:
    """How far the training loss has grown, and what to do about it.

    Empty unless the last loss is more than `DIVERGED_FACTOR` times the first.
    """
    first, last = task.first_loss, rows[-1]["train_loss"]
    if first is None or not last > DIVERGED_FACTOR * first.item() > 0:
        return ""
    rate = task.recipe.optimizer["lr"]
    return (
        f"the training loss grew from {first.item():.3g} to {last:.3g}; lower the rate, as in "
        f"--lr {rate / 10:g}, add a warmup to the schedule, or set clip = 1"
    )


def _early_stop_text(recipe: Recipe, metric: MetricKind, values: list[float]) -> str:
    """Why training ended before the recipe's last epoch, in words; empty if it did not.

    Args:
        recipe: gives `epochs`, and the reasons to stop early, `target` and `patience`.
        metric: the metric that early stopping watches.
        values: its value after each epoch.
    """
    if len(values) >= recipe.epochs:
        return ""
    when = f"after epoch {len(values)} of {recipe.epochs}"
    if not math.isfinite(values[-1]):
        return f"{when}: {metric.title} is {values[-1]}"
    margin = TARGET_MARGIN[metric.best]
    if recipe.target and not metric.is_better(recipe.target, values[-1] + margin):
        return f"{when}: {metric.title} is {metric.show(values[-1])}, the target"
    return f"{when}: {metric.title} was no better for {recipe.patience}"


def with_test_scores(result: Result, task: Task, scores: Mapping[str, Any]) -> Result:
    """A copy of a result with the loss and the metrics on the test split.

    Args:
        result: the result of the run.
        task: its loss decides which metrics there are.
        scores: the loss and the metrics, by name.
    """
    metrics = {m.name: scores[m.name] for m in task.objective.metric_kinds}
    finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    accuracy, loss = finite.get("accuracy"), scores["loss"]
    return replace(result, test_accuracy=accuracy, test_loss=loss, metrics=finite)
