"""The closing numbers of a run: as a value, a table and a picture."""

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

from odenet.diagnostics import printable, typed
from odenet.model.tables.losses import METRICS, MetricKind
from odenet.model.tables.recipe import Recipe
from odenet.rich_tables import print_table
from odenet.training.checksums import read_sealed_json, sealed_json
from odenet.training.console import format_share
from odenet.training.errors import Diverged
from odenet.training.figures import label, save_figure
from odenet.training.run_folder.records import Row


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Args:
        folder: of the run.
        watched: "test", or "val" when part of the training samples was held out.
        accuracy: of the last epoch on the watched split; None where the task has none, as also the
            other accuracies.
        best_accuracy: of the best epoch on the watched split.
        best_epoch: which one that was, counted from 1.
        test_accuracy: of the best epoch's weights on the test split when another split was watched,
            else the last epoch's.
        epochs: done.
        parameters: learned numbers of the final network.
        seconds: spent on training batches.
        samples_per_second: through training batches.
        stability: h ω / limit of the least stable step, by operator norms: below 1 the flow is
            stable. None if no bound is known.
        memory: peak bytes on the GPU; None on a CPU.
        saved: share of the time that refining later saved; None without levels.
        damaged: a line for each picture that could not be read.
        weights: the SHA-256 of `weights.safetensors`.
        loss: the name of the recipe's loss.
        measure: the name of the metric that chose the best epoch.
        last: that metric after the last epoch on the watched split.
        best: likewise of the best epoch.
        test_loss: the mean loss on the test split, of the weights that `test_accuracy` is of.
        metrics: likewise every metric of the loss, by name; None where it is not defined.
        pictures: whether `odenet predict` has an answer: the network says something of a picture.
        tokens_per_second: of a text, through training batches; None for other data.
        diverged: how the loss has grown where training ended far above where it began; else empty.
        stopped_early: why there are fewer epochs than the recipe has; else empty.
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
        """The metric that chose the best epoch."""
        return METRICS[self.measure]

    def show(self, value: float | None) -> str:
        """A value of that metric as it is printed."""
        return "–" if value is None else self.chosen_by.show(value)

    def evaluate(self, **given: Any) -> dict[str, Any]:
        """Measure the run on its test split, or on other data. See `odenet.evaluate`."""
        from odenet.training.runs.evaluation import evaluate  # which reads results

        return evaluate(self.folder, **given)

    def __repr__(self) -> str:
        name = f"{self.watched} {self.chosen_by.words}"
        best = f"{self.show(self.best)} after epoch {self.best_epoch} of {self.epochs}"
        return f"<result of {printable(self.folder)}: {name} {best}>"

    def __str__(self) -> str:
        console = Console(  # of plain text, whatever prints it
            file=StringIO(),
            width=100,
            color_system=None,
            force_jupyter=False,
            force_terminal=False,
        )
        show_result(self, console)
        return console.file.getvalue().rstrip()  # pyright: ignore[reportAttributeAccessIssue]

    def to_json(self) -> str:
        """As the run folder keeps it."""
        return sealed_json(asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read what `to_json` wrote; raises TrainingError if it is damaged."""
        again = f"remove it, and write it again: odenet train --resume {typed(path.parent)}"
        return read_sealed_json(path, cls, again)


def show_result(result: Result, console: Console) -> None:
    """Print the closing table."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    if result.diverged:
        table.add_row("outcome", Text("diverged", "bold red"))
    if result.stopped_early:
        table.add_row("stopped early", Text(result.stopped_early))
    split, name = {"test": "test", "val": "held-out"}[result.watched], result.chosen_by.words
    last, best = result.show(result.last), result.show(result.best)
    table.add_row(f"{split} {name}", f"[bold]{last}[/bold] after epoch {result.epochs}")
    table.add_row("best epoch", f"{best} after epoch {result.best_epoch}")
    if result.watched == "val":
        value = result.show(result.metrics.get(result.measure, result.test_accuracy))
        table.add_row(f"test {name}", f"[bold]{value}[/bold] of the best epoch")
    if result.test_loss is not None:
        others = {METRICS[n]: v for n, v in result.metrics.items() if n != result.measure}
        shown = [f"{m.words} {'–' if v is None else m.show(v)}" for m, v in others.items()]
        table.add_row("test loss", ", ".join([f"{result.test_loss:.4g}", *shown]))
    table.add_row("parameters", f"{result.parameters:,}")
    speed = f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"
    if result.tokens_per_second is not None:
        speed = f"{result.seconds:.1f} s, {result.tokens_per_second:,.0f} tokens/s"
    table.add_row("training", speed)
    if result.stability is not None:
        margin = format_share(result.stability)
        table.add_row("stability", f"h·ω is at most {margin} of its limit")
    if result.saved is not None:
        share = f"{abs(result.saved):.0%} {'less' if result.saved >= 0 else 'more'}"
        table.add_row("levels took", f"{share} time than the last one throughout")
    if result.memory is not None:
        table.add_row("peak memory", f"{result.memory / 2**20:,.0f} MiB")
    table.add_row("run", Text(printable(result.folder)))
    folder = typed(result.folder)
    if result.tokens_per_second is not None:
        table.add_row("next", Text(f'odenet sample {folder} --prompt "…"'))
    else:
        ask = (
            f"odenet predict {folder} FILES…"
            if result.pictures
            else f"odenet.load_run({json.dumps(printable(result.folder), ensure_ascii=False)})"
        )
        table.add_row("next", Text(ask))
        table.add_row("", Text(f"odenet export {folder} -o network.onnx"))
    table.add_row("", Text(f"odenet report {folder}"))
    print_table(table, console)
    if result.diverged:
        console.print(
            Text(f"diverged: {result.diverged}", "red"), soft_wrap=not console.is_terminal
        )
    show_damaged(result.damaged, console)


def show_diverged(error: Diverged, console: Console) -> None:
    """Print the closing table of a run whose numbers went wrong."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    epoch = f" in epoch {error.epoch}" if error.epoch else ""
    table.add_row("outcome", Text(f"diverged{epoch}", "bold red"))
    if error.run is not None:
        table.add_row("run", Text(printable(error.run)))
        lower = f"odenet train --resume {typed(error.run)} --set lr={error.rate / 10:g}"
        table.add_row("next", Text(lower))
    print_table(table, console)


def show_damaged(damaged: Sequence[str], console: Console, most: int = 5) -> None:
    """Name the pictures that were left out."""
    if not damaged:
        return
    plural = "s" if len(damaged) > 1 else ""
    console.print(Text(f"left out {len(damaged)} damaged picture{plural}:", "yellow"))
    for line in damaged[:most]:
        console.print(Text(f"  {printable(line)}"), highlight=False)
    if len(damaged) > most:
        console.print(f"  and {len(damaged) - most} more")


def time_saved(rows: list[Row], recipe: Recipe) -> float | None:
    """The share of the time that training in levels saved against its last level throughout.

    Measured by the mean time of an epoch on the last level. None if there are no levels, or
    the last one was not reached.
    """
    ends = (*(level for level in recipe.levels if level < recipe.epochs), recipe.epochs)
    times = [0.0, *(row["seconds"] for row in rows)]
    if len(ends) == 1 or len(rows) <= ends[-2]:
        return None
    each = [after - before for before, after in pairwise(times)]
    last = each[ends[-2] :]
    return 1 - sum(each) / (len(each) * sum(last) / len(last))


def draw_curves(runs: Mapping[str, list[Row]], path: Path) -> None:
    """Draw the loss and the first metric that all have by epoch, dashed on the training split.

    Args:
        runs: the rows of each run, by the name it has in the legend.
        path: the picture.
    """
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    quantities = {"loss": "loss"} | _shared_metric(list(runs.values()))
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, (quantity, words) in zip(panels, quantities.items(), strict=True):
        for number, (name, rows) in enumerate(runs.items()):
            epochs = [row["epoch"] + 1 for row in rows]
            for split, style in (("train", "--"), ("val", "-"), ("test", "-")):
                if f"{split}_{quantity}" in rows[0]:
                    values = [row[f"{split}_{quantity}"] for row in rows]
                    axes.plot(
                        epochs, values, f"o{style}", markersize=3.5, color=f"C{number % 10}",
                        markerfacecolor="none" if split == "train" else None,
                        label=label(f"{name} {split}"),
                    )  # fmt: skip
        axes.set(xlabel="epoch", ylabel=words)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False, fontsize="small")
    save_figure(figure, path, dpi=150)


def _shared_metric(runs: Sequence[list[Row]]) -> dict[str, str]:
    """The first metric that every run has, with its words; empty if there is none."""
    shared = set.intersection(*(set(rows[0]) for rows in runs))
    names = [column.removeprefix("train_") for column in runs[0][0] if column in shared]
    return next(({name: METRICS[name].words} for name in names if name in METRICS), {})
