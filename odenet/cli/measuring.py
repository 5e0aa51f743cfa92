"""`odenet eval`, `odenet compare` and `odenet study`, which import torch when they run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from odenet.cli.output import say, write
from odenet.cli.shared_options import (
    DataName,
    DataRoot,
    Download,
    Json,
    Last,
    Plugins,
    Run,
    Settings,
    read_settings,
    run_options,
)
from odenet.extras import require
from odenet.json_text import to_json
from odenet.model.reading.settings import data_setting


def evaluate(
    run: Run,
    set_: Settings = None,
    data: DataName = None,
    data_root: DataRoot = None,
    download: Download = False,
    batch: Annotated[
        int | None, typer.Option(help="As in training; a pass here takes twice as many.")
    ] = None,
    last: Last = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for tables and pictures of the classes and the worst samples."
        ),
    ] = None,
    json_: Json = False,
    plugin: Plugins = None,
) -> None:
    """Measure the network of a run on a test split: its own, or that of another data set.

    Numbers of the scheme may differ from those in training: --set γ=0.5, --set h=0.05.
    """
    require("train", "odenet eval")
    options = {"data_root": data_root, "download": download or None}
    from rich.console import Console

    from odenet.training.runs.evaluation import evaluate as measure
    from odenet.training.runs.evaluation_output import details_as_lines
    from odenet.training.runs.results import show_damaged

    settings = read_settings(set_, None)
    if data is not None:
        settings["data"] = data_setting(data)
    if batch is not None:
        settings["batch"] = str(batch)
    weights = "last" if last else "best"
    results = measure(run, settings, run_options(run, options), weights, out=out)
    if json_:
        write(to_json(results))
    else:
        say(f"{results['data']}: {_metrics_text(results)}, loss {results['loss']:.4f}")
        say("\n".join(details_as_lines(results)))
        if out is not None:
            say(f"wrote {out}")
        show_damaged(results["damaged"], Console())


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the curves into this picture.")
    ] = None,
    json_: Json = False,
) -> None:
    """Print the results of runs side by side, and draw their curves."""
    require("train", "odenet compare")
    from rich.console import Console

    from odenet.training.figures import require_format
    from odenet.training.runs.comparison import draw_comparison, read_results, show_comparison

    if out is not None:
        require_format(out)
    results = read_results(runs)
    if json_:
        write(to_json([vars(result) for result in results]))
    else:
        show_comparison(results, Console())
    if out is not None:
        draw_comparison(runs, out)


def study(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    data_root: DataRoot = None,
    samples: Annotated[int, typer.Option(min=1, help="Test samples to measure on.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the pictures [default: RUN/study]."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Study trained flows along their depth: lesions, norms, energy and spectrum.

    A lesion leaves out or shuffles steps. The rates of several runs are also drawn in one figure,
    over time, and if their depths differ, how the change of a step depends on the depth.
    """
    require("train", "odenet study")
    from rich.console import Console

    from odenet.training.runs.comparison import shortest_distinct_paths
    from odenet.training.trained_runs import study_figures
    from odenet.training.trained_runs.studies import depth_law, study_run

    console, studies = Console(), []
    for run, subfolder in zip(runs, shortest_distinct_paths(runs), strict=True):
        studies.append(study_run(run, samples, options=run_options(run, {"data_root": data_root})))
        study_figures.show_study(studies[-1], console)
        folder = run / "study" if out is None else out / subfolder
        for picture in study_figures.draw_study(studies[-1], folder):
            say(f"wrote {picture}")
    common_folder = out or runs[0] / "study"
    if len(runs) > 1 and len({len(study.flows) for study in studies}) == 1:
        study_figures.draw_rates(studies, common_folder / "rates.png")
        say(f"wrote {common_folder / 'rates.png'}")
    if len({study.depth for study in studies}) > 1:
        picture = common_folder / "depth.png"
        study_figures.draw_depth_law(studies, picture)
        say(f"|hF|/|u| falls as depth^{depth_law(studies):.2f}; wrote {picture}")


def _metrics_text(results: dict[str, Any]) -> str:
    """The metrics among the results of `evaluate`, `accuracy 97.30%`."""
    from odenet.model.tables.losses import METRICS

    metrics = [METRICS[name] for name in results if name in METRICS]
    return ", ".join(f"{metric.title} {metric.show(results[metric.name])}" for metric in metrics)
