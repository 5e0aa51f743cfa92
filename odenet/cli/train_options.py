"""The options of `odenet train`, and how the values of two of them are read."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from odenet.cli.memory_options import read_size

Spec = Annotated[
    Path | None,
    typer.Argument(help="The specification; with --convert a model of torchvision or timm."),
]
OutFolder = Annotated[
    str | None,
    typer.Option(help="Folder of the run [default: runs/NAME-1, or the next that is free]."),
]
Resume = Annotated[Path | None, typer.Option(metavar="RUN", help="Resume a run that was stopped.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.")]
Batch = Annotated[int | None, typer.Option(help="Samples per step, over all devices.")]
LearningRate = Annotated[float | None, typer.Option(help="The optimizer's learning rate.")]
Fraction = Annotated[float | None, typer.Option(help="Share of the training samples to use.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the random numbers.")]
Seeds = Annotated[
    int | None,
    typer.Option(min=2, help="Train with this many consecutive seeds, and give the mean."),
]
Sweep = Annotated[
    str | None,
    typer.Option(
        metavar="GRID",
        help='Train at every point of a grid, as in "h=0.05,0.1 lr=1e-3,1e-2"; --devices then '
        "says how many points at a time.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Run a few batches, estimate the rest, and write nothing.")
]
FindLr = Annotated[
    bool,
    typer.Option(
        "--find-lr",
        help="Raise the learning rate over 100 steps, and suggest one; write only a figure, "
        "NAME-lr.png or --out.",
    ),
]
Precision = Annotated[str | None, typer.Option(help="float32, tf32, bf16, fp16 or float64.")]
Guard = Annotated[
    str | None, typer.Option(help="When steps are too long for the weights: warn or rescale them.")
]
OnNan = Annotated[
    str | None,
    typer.Option(
        help="When a loss or gradient is not finite: stop, skip the step, or rollback to the "
        "start of the epoch."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="reversible, stored, checkpoint, or what all flows together may store, such as "
        "2GB; the peak is more."
    ),
]
Exact = Annotated[bool, typer.Option("--exact", help="Reverse flows in exact arithmetic.")]
Compile = Annotated[bool, typer.Option("--compile", help="Compile flows by torch.compile.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="The same numbers each time, also on a GPU.")
]
Unchecked = Annotated[
    bool, typer.Option("--unchecked", help="Train although a claim of the spec is not proved.")
]
UpdateInBackward = Annotated[
    bool,
    typer.Option(
        "--update-in-backward",
        help="Update each weight as soon as its gradient is complete, so that only the gradients "
        "of one step of a flow are in memory at a time.",
    ),
]
ClipBy = Annotated[
    Literal["exact", "last"] | None,
    typer.Option(
        help="The gradient norm that --update-in-backward clips by: exact, from a second backward "
        "pass, or last, from the step before [default: exact]."
    ),
]
Logger = Annotated[
    Literal["tensorboard", "wandb", "mlflow"] | None,
    typer.Option(metavar="NAME", help="Also log each epoch to tensorboard, wandb (W&B) or mlflow."),
]
Convert = Annotated[
    str | None,
    typer.Option(
        metavar="SCHEME",
        help="Train a model of torchvision or timm whose residual blocks become steps of this "
        "scheme, such as momentum or midpoint(h = 0.5).",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Initial weights for --convert: a file, or `default`."),
]
Fit = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Take the largest batch predicted to fit into a size such as 8GB."
    ),
]
Nodes = Annotated[int | None, typer.Option(min=1, max=10**6, help="Machines [default: 1].")]
Strategy = Annotated[
    str | None,
    typer.Option(help="How devices share the work, such as ddp or fsdp [default: auto]."),
]
Devices = Annotated[
    str | None, typer.Option(help="Processors per machine, or auto for all [default: 1].")
]


def read_devices(devices: str | None) -> int | str | None:
    """The value of --devices: a number of processors, or `auto`."""
    if devices is None or devices == "auto":
        return devices
    if not re.fullmatch("[1-9][0-9]{0,8}", devices):
        raise typer.BadParameter("a number, at least 1, or auto", param_hint="--devices")
    return int(devices)


def read_memory(memory: str | None) -> int | str | None:
    """The value of --memory: a mode of flows, or a size in bytes."""
    if memory is None or memory in ("reversible", "stored", "checkpoint"):
        return memory
    return read_size(memory, "--memory", "reversible, stored, checkpoint, or ")
