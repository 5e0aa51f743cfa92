"""The final metrics and timings of a run, `Result`, and how they are printed and drawn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.counted import counted
from odenet.diagnostics import printable, shell_quoted
from odenet.model.tables.losses import METRICS, MetricKind
from odenet.model.tables.recipe import Recipe
from odenet.rich_tables import print_table
from odenet.training.checksums import read_sealed_json, sealed_json
from odenet.training.console import format_share
from odenet.training.errors import Diverged
from odenet.training.figures import figure_text, save_figure
from odenet.training.run_folder.records import Row


@dataclass(frozen=True)
class Result:
    """The final metrics and timings of a run.

    Args:
        folder: the run's folder.
        watched: the name of the split that was measured after each epoch to choose the best: "val"
            if training samples were held out for that, else "test".
        accuracy: the accuracy after the last epoch, on the watched split. This and the other
            accuracies are None if the loss has no accuracy.
        best_accuracy: the accuracy of the best epoch, on the watched split.
        best_epoch: the number of that epoch, counted from 1.
        test_accuracy: the accuracy on the test split, with the weights of the best epoch if
            `watched` is "val", else with those of the last epoch.
        epochs: the number of completed epochs.
        parameters: the number of learned numbers of the final network.
        seconds: the seconds spent on training batches.
        samples_per_second: training samples per second.
        stability: the largest h ω / limit of all steps: below 1 the flow is stable. Operator norms
            bound the frequency ω; None if no bound is known.
        memory: peak bytes on the GPU; None on a CPU.
        saved: the share of time that was saved by training first with fewer steps per flow (recipe
            key `levels`); None without levels.
        damaged: a line for each picture that could not be read.
        weights: the SHA-256 of `weights.safetensors`.
        loss: the name of the recipe's loss.
        measure: the name of the metric by which the best epoch is chosen.
        last: the value of that metric after the last epoch, on the watched split.
        best: its value after the best epoch, on the watched split.
        test_loss: the mean loss on the test split, with the same weights as `test_accuracy`.
        metrics: all metrics on the test split with these weights, by name; None for a metric that
            is not defined there.
        pictures: whether `odenet predict` can be used: the network takes pictures, and is not a
            density.
        tokens_per_second: training tokens per second of a text; None for other data.
        diverged: how far the loss grew, if the last training loss is over ten times the first; else
            empty. (A loss that becomes infinite or nan ends a run without a result.)
        stopped_early: why there are fewer epochs than in the recipe; else empty.
    """

    folder: str
    watched: str
    accuracy: float | None
    best_accuracy: float | None
    best_epoch: int
    test_accuracy: float | None
    epochs: int
    parameters: int
    seconds: float
    samples_per_second: float
    stability: float | None = None
    memory: int | None = None
    saved: float | None = None
    damaged: tuple[str, ...] = ()
    weights: str = ""
    loss: str = "cross_entropy"
    measure: str = "accuracy"
    last: float | None = None
    best: float | None = None
    pictures: bool = True
    test_loss: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    tokens_per_second: float | None = None
    diverged: str = ""
    stopped_early: str = ""

    @property
    def chosen_by(self) -> MetricKind:
        """The metric by which the best epoch is chosen."""
        return METRICS[self.measure]

    def show(self, value: float | None) -> str:
        """A value of the metric `measure` as it is printed; a dash for None."""
        return "–" if value is None else self.chosen_by.show(value)

    def evaluate(self, **keywords: Any) -> dict[str, Any]:
        """Measure the run on its test split, or on other data. See `odenet.evaluate`."""
        from odenet.training.runs.evaluation import evaluate  # here, since it imports this module

        return evaluate(self.folder, **keywords)

    def __repr__(self) -> str:
        name = f"{self.watched} {self.chosen_by.title}"
        best = f"{self.show(self.best)} after epoch {self.best_epoch} of {self.epochs}"
        return f"<result of {printable(self.folder)}: {name} {best}>"

    def __str__(self) -> str:
        console = Console(  # plain text, also in a notebook or on a terminal
            file=StringIO(), width=100, color_system=None, force_jupyter=False, force_terminal=False
        )
        show_result(self, console)
        return console.file.getvalue().rstrip()  # pyright: ignore[reportAttributeAccessIssue]

    def to_json(self) -> str:
        """The text of `result.json`, with a checksum."""
        return sealed_json(asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Result":
        """The result in a file that `to_json` wrote; raises TrainingError if it is damaged."""
        help = f"remove it, and write it again: odenet train --resume {shell_quoted(path.parent)}"
        return read_sealed_json(path, cls, help)


def show_result(result: Result, console: Console) -> None:
    """Print the table at the end of a run."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    if result.diverged:
        table.add_row("outcome", Text("diverged", "bold red"))
    if result.stopped_early:
        table.add_row("stopped early", Text(result.stopped_early))
    split, name = {"test": "test", "val": "held-out"}[result.watched], result.chosen_by.title
    last, best = result.show(result.last), result.show(result.best)
    table.add_row(f"{split} {name}", f"[bold]{last}[/bold] after epoch {result.epochs}")
    table.add_row("best epoch", f"{best} after epoch {result.best_epoch}")
    if result.watched == "val":
        value = result.show(result.metrics.get(result.measure, result.test_accuracy))
        table.add_row(f"test {name}", f"[bold]{value}[/bold] of the best epoch")
    if result.test_loss is not None:
        others = {METRICS[n]: v for n, v in result.metrics.items() if n != result.measure}
        texts = [f"{m.title} {'–' if v is None else m.show(v)}" for m, v in others.items()]
        table.add_row("test loss", ", ".join([f"{result.test_loss:.4g}", *texts]))
    table.add_row("parameters", f"{result.parameters:,}")
    speed = f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"
    if result.tokens_per_second is not None:
        speed = f"{result.seconds:.1f} s, {result.tokens_per_second:,.0f} tokens/s"
    table.add_row("training", speed)
    if result.stability is not None:
        limit_share = format_share(result.stability)
        table.add_row("stability", f"h·ω is at most {limit_share} of its limit")
    if result.saved is not None:
        share = f"{abs(result.saved):.0%} {'less' if result.saved >= 0 else 'more'}"
        table.add_row("levels took", f"{share} time than the last one throughout")
    if result.memory is not None:
        table.add_row("peak memory", f"{result.memory / 2**20:,.0f} MiB")
    table.add_row("run", Text(printable(result.folder)))
    folder = shell_quoted(result.folder)
    if result.tokens_per_second is not None:
        table.add_row("next", Text(f'odenet sample {folder} --prompt "…"'))
    else:
        command = f"odenet predict {folder} FILES…"
        if not result.pictures:
            command = f"odenet.load_run({json.dumps(printable(result.folder), ensure_ascii=False)})"
        table.add_row("next", Text(command))
        table.add_row("", Text(f"odenet export {folder} -o network.onnx"))
    table.add_row("", Text(f"odenet report {folder}"))
    print_table(table, console)
    if result.diverged:
        outcome = Text(f"diverged: {result.diverged}", "red")
        console.print(outcome, soft_wrap=not console.is_terminal)
    show_damaged(result.damaged, console)


def show_diverged(error: Diverged, console: Console) -> None:
    """Print the table at the end of a run that became infinite or nan."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    epoch = f" in epoch {error.epoch}" if error.epoch else ""
    table.add_row("outcome", Text(f"diverged{epoch}", "bold red"))
    if error.run is not None:
        table.add_row("run", Text(printable(error.run)))
        command = f"odenet train --resume {shell_quoted(error.run)} --set lr={error.rate / 10:g}"
        table.add_row("next", Text(command))
    print_table(table, console)


def show_damaged(damaged: Sequence[str], console: Console, limit: int = 5) -> None:
    """Print a line for each picture that was left out, up to a limit."""
    if not damaged:
        return
    console.print(Text(f"left out {counted(len(damaged), 'damaged picture')}:", "yellow"))
    for line in damaged[:limit]:
        console.print(Text(f"  {printable(line)}"), highlight=False)
    if len(damaged) > limit:
        console.print(f"  and {len(damaged) - limit} more")


def time_saved(rows: list[Row], recipe: Recipe) -> float | None:
    """The share of time saved by training in levels, from few steps per flow to many.

    It is compared with a training in which every epoch takes the mean time of an epoch on the last
    level. None if there are no levels, or the last one was not reached.
    """
    level_ends = (*(epoch for epoch in recipe.levels if epoch < recipe.epochs), recipe.epochs)
    times = [0.0, *(row["seconds"] for row in rows)]  # since training began, after each epoch
    if len(level_ends) == 1 or len(rows) <= level_ends[-2]:
        return None
    durations = [after - before for before, after in pairwise(times)]  # of epochs
    on_last_level = durations[level_ends[-2] :]
    return 1 - sum(durations) / (len(durations) * sum(on_last_level) / len(on_last_level))


def draw_curves(runs: Mapping[str, list[Row]], path: Path) -> None:
    """Draw the loss, and the first metric that all runs have, against the epoch.

    Curves of the training split are dashed.

    Args:
        runs: the rows of `metrics.csv` of each run, by its name in the legend.
        path: the file to write.
    """
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    quantities = {"loss": "loss"} | _shared_metric(list(runs.values()))
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, (quantity, label) in zip(panels, quantities.items(), strict=True):
        for number, (name, rows) in enumerate(runs.items()):
            epochs = [row["epoch"] + 1 for row in rows]  # the column counts from 0
            for split, style in (("train", "--"), ("val", "-"), ("test", "-")):
                if f"{split}_{quantity}" in rows[0]:
                    values = [row[f"{split}_{quantity}"] for row in rows]
                    axes.plot(
                        epochs, values, f"o{style}", markersize=3.5, color=f"C{number % 10}",
                        markerfacecolor="none" if split == "train" else None,
                        label=figure_text(f"{name} {split}"),
                    )  # fmt: skip
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False, fontsize="small")
    save_figure(figure, path, dpi=150)


def _shared_metric(runs: Sequence[list[Row]]) -> dict[str, str]:
    """The name of the first metric that every run has, with its label; empty if there is none."""
    # `METRICS` has no name that begins with val_ or test_, so only columns train_… are found.
    shared = set.intersection(*(set(rows[0]) for rows in runs))
    names = [column.removeprefix("train_") for column in runs[0][0] if column in shared]
    return next(({name: METRICS[name].title} for name in names if name in METRICS), {})
