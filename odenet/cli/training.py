"""`odenet train`, `odenet eval` and `odenet compare`; torch is imported when one of them runs."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odenet.cli.existing import existing_program
from odenet.cli.header import announce, announce_step
from odenet.cli.output import say, write
from odenet.cli.settings import Plugins, Settings, read_settings
from odenet.cli.trying import begin_sweep, is_sweep, run_sweep, search_rate, try_out
from odenet.extras import require
from odenet.json_text import to_json
from odenet.model.reading.settings import data_setting
from odenet.sizes import parse_size

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.training.records import Options

DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="A data set as recipes name it, such as digits or cifar10, or folder:PATH with one "
        "folder of pictures per class.",
    ),
]
DataRoot = Annotated[
    str | None, typer.Option(help="Where published data sets lie or are put [default: data].")
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the data set if it is not there.")
]
Devices = Annotated[
    str | None, typer.Option(help="Processors per machine, or auto for all [default: 1].")
]


def train(
    spec: Annotated[
        Path | None,
        typer.Argument(help="The specification; with --convert a model of torchvision or timm."),
    ] = None,
    set_: Settings = None,
    data: DataName = None,
    data_root: DataRoot = None,
    download: Download = False,
    out: Annotated[
        str | None,
        typer.Option(help="Folder of the run [default: runs/NAME-1, or the next that is free]."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples per step, over all devices.")] = None,
    lr: Annotated[float | None, typer.Option(help="The optimizer's learning rate.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Share of the training samples.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the random numbers.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=2, help="Train with this many consecutive seeds, and give the mean."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="GRID",
            help='Train at every point of a grid, as in "h=0.05,0.1 lr=1e-3,1e-2"; --devices then '
            "says how many points at a time.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Run a few batches, estimate the rest, and write nothing."),
    ] = False,
    find_lr: Annotated[
        bool,
        typer.Option(
            "--find-lr",
            help="Raise the learning rate over 100 steps, and suggest one; write only a figure, "
            "NAME-lr.png or --out.",
        ),
    ] = False,
    precision: Annotated[
        str | None, typer.Option(help="float32, tf32, bf16, fp16 or float64.")
    ] = None,
    guard: Annotated[
        str | None,
        typer.Option(help="When steps are too long for the weights: warn or rescale them."),
    ] = None,
    on_nan: Annotated[
        str | None,
        typer.Option(
            help="When a loss or gradient is not finite: stop, skip the step, or rollback to the "
            "start of the epoch."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="reversible, stored, checkpoint, or what all flows together may store, such as "
            "2GB; the peak is more."
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Reverse flows in exact arithmetic.")
    ] = False,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile flows by torch.compile.")
    ] = False,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="The same numbers each time, also on a GPU."),
    ] = False,
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Train although a claim of the spec is not proved."),
    ] = False,
    update_in_backward: Annotated[
        bool,
        typer.Option(
            "--update-in-backward",
            help="Move each weight as soon as its gradient is complete: gradients of one step of a "
            "flow live at a time.",
        ),
    ] = False,
    clip_by: Annotated[
        str | None,
        typer.Option(
            help="How --update-in-backward knows the norm that clip limits: exact, by a second "
            "backward pass, or last, that of the last step [default: exact]."
        ),
    ] = None,
    logger: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Also log each epoch to tensorboard, wandb (W&B) or mlflow."
        ),
    ] = None,
    convert: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEME",
            help="Train a model of torchvision or timm, its residual blocks as steps of a scheme, "
            "such as momentum or midpoint(h = 0.5).",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A state_dict that such a model begins with, or `default`."
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="The largest batch of which a step is predicted to fit into 8GB, say.",
        ),
    ] = None,
    devices: Devices = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="Machines [default: 1].")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="How devices share the work, such as ddp or fsdp [default: auto]."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Train the network of a specification by its recipe, or go on with a run.

    What the specification claims by `require` has to be proved; else nothing is written.
    """
    if spec is None and resume is None:
        raise typer.BadParameter("give a specification, or a run with --resume")
    if seeds is not None and (resume is not None or devices or nodes):
        raise typer.BadParameter("starts new runs on one device", param_hint="--seeds")
    if sweep is not None and (resume is not None or seeds or nodes):
        raise typer.BadParameter(
            "starts new runs: leave out --resume, --seeds and --nodes", param_hint="--sweep"
        )
    if dry_run and (resume is not None or seeds or sweep):
        raise typer.BadParameter(
            "tries a new run: leave out --resume, --seeds and --sweep", param_hint="--dry-run"
        )
    if find_lr and (resume is not None or seeds or sweep or dry_run):
        raise typer.BadParameter(
            "tries a new run: leave out --resume, --seeds, --sweep and --dry-run",
            param_hint="--find-lr",
        )
    limit = _limit(fit, batch)
    new_alone = resume is None and not seeds and not sweep
    if not new_alone and (convert or fit):
        name = "--convert" if convert else "--fit"
        raise typer.BadParameter(
            "starts one new run: leave out --resume, --seeds and --sweep", param_hint=name
        )
    require("train", "odenet train")
    if logger is not None:
        if logger not in ("tensorboard", "wandb", "mlflow"):
            raise typer.BadParameter("tensorboard, wandb or mlflow", param_hint="--logger")
        require(logger, f"--logger {logger}")
    settings = read_settings(set_, None if convert else spec)
    short = {
        "epochs": epochs,
        "batch": batch,
        "optimizer.lr": lr,
        "fraction": fraction,
        "seed": seed,
        "precision": precision,
        "guard": guard,
        "on_nan": on_nan,
    }
    settings |= {name: str(value) for name, value in short.items() if value is not None}
    if data is not None:
        settings["data"] = data_setting(data)
    given = {
        "data_root": data_root,
        "download": download or None,
        "devices": _devices(devices),
        "nodes": nodes,
        "strategy": strategy,
        "memory": _memory(memory),
        "exact": exact or None,
        "compile": compile_ or None,
        "logger": logger,
        "deterministic": deterministic or None,
        "update_in_backward": update_in_backward or None,
        "clip_by": _clip_by(clip_by),
        "weights": weights,
    }
    sweeps = sweep is not None or (resume is not None and is_sweep(resume))
    new = resume is None and not sweeps
    program = _compiled(str(spec), settings, unchecked, convert) if new else None
    # Idle threads sleep. By default they spin, and a program beside this one then slows it tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
    from rich.console import Console

    from odenet.training.errors import Diverged
    from odenet.training.results import show_diverged, show_result
    from odenet.training.run import first_process
    from odenet.training.run import resume as go_on
    from odenet.training.run import train as start
    from odenet.training.seeds import show_seeds, train_seeds
    from odenet.training.stopping import Stopped

    console = Console(quiet=not first_process())
    if sweeps:
        at_once = _at_once(given.pop("devices"))
        if resume is None:
            shared = _options(None, given)
            resume = begin_sweep(Path(str(spec)), str(sweep), settings, shared, out, unchecked)
        run_sweep(resume, at_once, console)
        return
    options = _options(resume, given)
    if program is not None and limit is not None:
        settings["batch"] = str(_batch_within(program, options, limit))
        program = _read(str(spec), settings, convert)
    if program is not None and seeds is None:
        announce_step(program, options)
    if program is not None and dry_run:
        try_out(program, options, console, unchecked)
        return
    if program is not None and find_lr:
        search_rate(program, options, console, unchecked, out)
        return
    try:
        if spec is not None and seeds is not None:
            results = train_seeds(spec, seeds, settings, options, out, console, unchecked)
            show_seeds(results, console)
            return
        if program is not None:
            result = start(program, settings, options, out, console, unchecked)
        else:
            result = go_on(str(resume), settings, options, spec, console, unchecked)
    except Diverged as error:
        say(error, err=True)
        show_diverged(error, console)
        raise typer.Exit(1) from None
    except Stopped as stopped:
        folder = stopped.checkpoint.parent.parent
        if first_process():
            say(f"stopped; go on with: odenet train --resume {folder}")
        raise typer.Exit(128 + stopped.number) from None
    if result is not None:
        show_result(result, console)
        if result.diverged:
            raise typer.Exit(1)


def _read(spec: str, settings: dict[str, Any], convert: str | None) -> "Program":
    """The program of a file, or of a converted network."""
    import odenet

    if convert is None:
        return odenet.load(spec, set=settings)
    return existing_program(spec, convert, settings)


def _batch_within(program: "Program", options: "Options", limit: int) -> int:
    """The largest batch that fits, said."""
    import torch

    from odenet.footprint.fitting import batch_within
    from odenet.training.errors import TrainingError

    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = batch_within(program, options, limit, device)
    if batch is None:
        raise TrainingError(
            "bad-option", "--fit: not even a step on 2 samples fits", "allow for more"
        )
    say(f"  the largest batch that is predicted to fit has {batch:,} samples")
    return batch


def _compiled(
    spec: str, settings: dict[str, Any], unchecked: bool, convert: str | None
) -> "Program":
    """The program to train, announced; refused here and now if it claims what does not hold."""
    from odenet.training.verdicts import judged

    program = _read(spec, settings, convert)
    program.require_network()
    if program.model.discretisation.tolerance is not None:
        require("adaptive", "a flow with adaptive steps")
    judged(program, unchecked)
    announce(program)
    return program


def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    set_: Settings = None,
    data: DataName = None,
    data_root: DataRoot = None,
    download: Download = False,
    batch: Annotated[int | None, typer.Option(help="Half of the samples at a time.")] = None,
    last: Annotated[
        bool, typer.Option("--last", help="The last epoch's weights, not the best's.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for tables and pictures of the classes and the worst samples."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    plugin: Plugins = None,
) -> None:
    """Measure the network of a run on a test split: its own, or another data set's.

    Numbers of the steps may be others than in training: --set γ=0.5, --set h=0.05.
    """
    require("train", "odenet eval")
    given = {"data_root": data_root, "download": download or None}
    from rich.console import Console

    from odenet.training.details_shown import in_lines
    from odenet.training.results import show_damaged
    from odenet.training.run import evaluate as measure

    settings = read_settings(set_, None)
    if data is not None:
        settings["data"] = data_setting(data)
    if batch is not None:
        settings["batch"] = str(batch)
    weights = "last" if last else "best"
    scores = measure(run, settings, _options(run, given), weights, out=out)
    if json_:
        write(to_json(scores))
    else:
        say(f"{scores['data']}: {_shown(scores)}, loss {scores['loss']:.4f}")
        say("\n".join(in_lines(scores)))
        if out is not None:
            say(f"wrote {out}")
        show_damaged(scores["damaged"], Console())


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the curves into this picture.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print the results of runs side by side, and draw their curves."""
    require("train", "odenet compare")
    from rich.console import Console

    from odenet.training.comparison import draw_comparison, read_results, show_comparison
    from odenet.training.figures import require_format

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

    A lesion leaves out or shuffles steps. Several runs of one network are drawn over time together,
    and if their depths differ, how the norms depend on it.
    """
    require("train", "odenet study")
    from rich.console import Console

    from odenet.training.comparison import places_of
    from odenet.training.studies import depth_law, study_run
    from odenet.training.study_figures import draw_depth_law, draw_rates, draw_study, show_study

    console, studies = Console(), []
    for run, place in zip(runs, places_of(runs), strict=True):
        options = _options(run, {"data_root": data_root})
        studies.append(study_run(run, samples, options=options))
        show_study(studies[-1], console)
        folder = run / "study" if out is None else out / place
        for picture in draw_study(studies[-1], folder):
            say(f"wrote {picture}")
    together = out or runs[0] / "study"
    if len(runs) > 1 and len({len(study.flows) for study in studies}) == 1:
        draw_rates(studies, together / "rates.png")
        say(f"wrote {together / 'rates.png'}")
    if len({study.depth for study in studies}) > 1:
        picture = together / "depth.png"
        draw_depth_law(studies, picture)
        say(f"|hF|/|u| falls as depth^{depth_law(studies):.2f}; wrote {picture}")


def _options(run: Path | None, given: dict[str, Any]) -> "Options":
    """The options on the command line, over those the run began with."""
    from dataclasses import replace

    from odenet.training.records import Options, RunFolder

    before = Options() if run is None else RunFolder(run).read_record().options
    return replace(before, **{name: value for name, value in given.items() if value is not None})


def _shown(scores: dict[str, Any]) -> str:
    """The metrics among what a run was measured by, in words."""
    from odenet.model.tables.losses import METRICS

    found = [METRICS[name] for name in scores if name in METRICS]
    return ", ".join(f"{metric.words} {metric.show(scores[metric.name])}" for metric in found)


def _devices(devices: str | None) -> int | str | None:
    if devices is None or devices == "auto":
        return devices
    if not re.fullmatch("[1-9][0-9]{0,8}", devices):
        raise typer.BadParameter("a number, at least 1, or auto", param_hint="--devices")
    return int(devices)


def _at_once(devices: int | str | None) -> int | None:
    """How many points of a sweep are trained at a time; None for one on each device."""
    return devices if isinstance(devices, int) else None


def _limit(size: str | None, batch: int | None) -> int | None:
    """A limit of --fit in bytes."""
    if size is None:
        return None
    if batch is not None:
        raise typer.BadParameter("says the batch: leave --batch out", param_hint="--fit")
    limit = parse_size(size)
    if limit is None:
        raise typer.BadParameter("a size such as 500MB or 8GB", param_hint="--fit")
    return limit


def _clip_by(word: str | None) -> str | None:
    if word not in (None, "exact", "last"):
        raise typer.BadParameter("exact or last", param_hint="--clip-by")
    return word


def _memory(memory: str | None) -> int | str | None:
    """A word, or a size in bytes."""
    if memory is None or memory in ("reversible", "stored", "checkpoint"):
        return memory
    size = parse_size(memory)
    if size is None:
        raise typer.BadParameter(
            "reversible, stored, checkpoint, or a size such as 500MB or 2GiB",
            param_hint="--memory",
        )
    return size
