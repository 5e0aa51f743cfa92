"""`odenet train`, which imports torch only after its arguments are checked."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from odenet.cli import train_options
from odenet.cli.converted_spec import load_program
from odenet.cli.header import announce, announce_step
from odenet.cli.memory_options import largest_batch, read_fit
from odenet.cli.output import say
from odenet.cli.shared_options import (
    DataName,
    DataRoot,
    Download,
    Plugins,
    Settings,
    read_settings,
    run_options,
)
from odenet.cli.train_modes import begin_sweep, is_sweep, print_dry_run, run_sweep, search_lr
from odenet.diagnostics import shell_quoted
from odenet.extras import require
from odenet.model.reading.settings import data_setting

if TYPE_CHECKING:
    from odenet.compiler import Program


def train(
    spec: train_options.Spec = None,
    set_: Settings = None,
    data: DataName = None,
    data_root: DataRoot = None,
    download: Download = False,
    out: train_options.OutFolder = None,
    resume: train_options.Resume = None,
    epochs: train_options.Epochs = None,
    batch: train_options.Batch = None,
    lr: train_options.LearningRate = None,
    fraction: train_options.Fraction = None,
    seed: train_options.Seed = None,
    seeds: train_options.Seeds = None,
    sweep: train_options.Sweep = None,
    dry_run: train_options.DryRun = False,
    find_lr: train_options.FindLr = False,
    precision: train_options.Precision = None,
    guard: train_options.Guard = None,
    on_nan: train_options.OnNan = None,
    memory: train_options.Memory = None,
    exact: train_options.Exact = False,
    compile_: train_options.Compile = False,
    deterministic: train_options.Deterministic = False,
    unchecked: train_options.Unchecked = False,
    update_in_backward: train_options.UpdateInBackward = False,
    clip_by: train_options.ClipBy = None,
    logger: train_options.Logger = None,
    convert: train_options.Convert = None,
    weights: train_options.Weights = None,
    fit: train_options.Fit = None,
    devices: train_options.Devices = None,
    nodes: train_options.Nodes = None,
    strategy: train_options.Strategy = None,
    plugin: Plugins = None,
) -> None:
    """Train the network of a specification by its recipe, or resume a run.

    Every claim that the specification makes by `require` has to be proved; else nothing is written.
    """
    if spec is None and resume is None:
        raise typer.BadParameter("give a specification, or a run with --resume")
    one_run_message = "starts one new run: leave out --resume, --seeds and --sweep"
    for option, value, message, excluded_values in (
        ("--seeds", seeds, "starts new runs on one device", (resume, devices, nodes)),
        (
            "--sweep", sweep, "starts new runs: leave out --resume, --seeds and --nodes",
            (resume, seeds, nodes),
        ),
        (
            "--dry-run", dry_run, "tries a new run: leave out --resume, --seeds and --sweep",
            (resume, seeds, sweep),
        ),
        (
            "--find-lr", find_lr,
            "tries a new run: leave out --resume, --seeds, --sweep and --dry-run",
            (resume, seeds, sweep, dry_run),
        ),
        ("--convert", convert, one_run_message, (resume, seeds, sweep)),
        ("--fit", fit, one_run_message, (resume, seeds, sweep)),
    ):  # fmt: skip
        if value not in (None, False) and any(excluded_values):
            raise typer.BadParameter(message, param_hint=option)
    memory_limit = read_fit(fit, batch)
    require("train", "odenet train")
    if logger is not None:
        require(logger, f"--logger {logger}")
    recipe_options = {
        "epochs": epochs,
        "batch": batch,
        "optimizer.lr": lr,
        "fraction": fraction,
        "seed": seed,
        "precision": precision,
        "guard": guard,
        "on_nan": on_nan,
    }
    items = [f"{name}={value}" for name, value in recipe_options.items() if value is not None]
    settings = read_settings([*(set_ or ()), *items], None if convert else spec)
    if data is not None:
        settings["data"] = data_setting(data)
    changes = {  # of the run's `Options`; None where the command line does not change them
        "data_root": data_root,
        "download": download or None,
        "devices": train_options.read_devices(devices),
        "nodes": nodes,
        "strategy": strategy,
        "memory": train_options.read_memory(memory),
        "exact": exact or None,
        "compile": compile_ or None,
        "logger": logger,
        "deterministic": deterministic or None,
        "update_in_backward": update_in_backward or None,
        "clip_by": clip_by,
        "weights": weights,
    }
    is_a_sweep = sweep is not None or (resume is not None and is_sweep(resume))
    is_new_run = resume is None and not is_a_sweep
    program = _checked_program(str(spec), settings, unchecked, convert) if is_new_run else None
    # Let idle threads sleep. By default they spin, and another program then slows this one tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
    from rich.console import Console

    from odenet.training.callbacks.stopping import Stopped
    from odenet.training.errors import Diverged
    from odenet.training.runs.results import show_diverged, show_result
    from odenet.training.runs.run import is_first_process
    from odenet.training.runs.run import resume as resume_run
    from odenet.training.runs.run import train as train_run
    from odenet.training.runs.seeds import show_seeds, train_seeds

    console = Console(quiet=not is_first_process())
    if is_a_sweep:
        parallel_points = _parallel_points(changes.pop("devices"))
        if resume is None:
            options = run_options(None, changes)
            # The folder of the new sweep, which is then run like one that is resumed.
            resume = begin_sweep(Path(str(spec)), str(sweep), settings, options, out, unchecked)
        run_sweep(resume, parallel_points, console)
        return
    options = run_options(resume, changes)
    if program is not None and memory_limit is not None:
        settings["batch"] = str(largest_batch(program, options, memory_limit))
        program = load_program(str(spec), settings, convert)
    if program is not None:
        announce_step(program, options)
    if program is not None and dry_run:
        print_dry_run(program, options, console, unchecked)
        return
    if program is not None and find_lr:
        search_lr(program, options, console, unchecked, out)
        return
    try:
        if spec is not None and seeds is not None:
            results = train_seeds(spec, seeds, settings, options, out, console, unchecked)
            show_seeds(results, console)
            return
        if program is not None:
            result = train_run(program, settings, options, out, console, unchecked)
        else:
            result = resume_run(str(resume), settings, options, spec, console, unchecked)
    except Diverged as error:
        say(error, err=True)
        show_diverged(error, console)
        raise typer.Exit(1) from None
    except Stopped as stopped:
        folder = stopped.checkpoint.parent.parent
        if is_first_process():
            say(f"stopped; go on with: odenet train --resume {shell_quoted(folder)}")
        raise typer.Exit(128 + stopped.number) from None
    if result is not None:
        show_result(result, console)
        if result.diverged:
            raise typer.Exit(1)


def _checked_program(
    spec: str, settings: dict[str, Any], unchecked: bool, convert: str | None
) -> "Program":
    """Compile the program to train, check its claims, and print its network, data and claims.

    Raises:
        SpecError: if it has no network, or, unless `unchecked`, if a claim of it is not proved.
    """
    from odenet.training.runs.check_claims import check_claims

    program = load_program(spec, settings, convert)
    program.require_network()
    if program.model.discretisation.tolerance is not None:
        require("adaptive", "a flow with adaptive steps")
    check_claims(program, unchecked)
    announce(program)
    return program


def _parallel_points(devices: int | str | None) -> int | None:
    """How many points of a sweep are trained at a time; None for one per device."""
    return devices if isinstance(devices, int) else None
