"""`odenet train --fit 8GB`: the largest batch of which a step is predicted to fit."""

from typing import TYPE_CHECKING

import typer

from odenet.byte_sizes import parse_size
from odenet.cli.output import say

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.footprint.step import Footprint, Mode
    from odenet.training.run_folder.records import Options


def read_size(text: str, option: str, others: str = "") -> int:
    """An option's size in bytes.

    Args:
        text: what the user wrote.
        option: its name.
        others: what else it could be, for the message.

    Raises:
        typer.BadParameter: if it is not one.
    """
    size = parse_size(text)
    if size is None:
        raise typer.BadParameter(f"{others}a size such as 500MB or 8GB", param_hint=option)
    return size


def read_limit(size: str | None, batch: int | None) -> int | None:
    """A limit of --fit in bytes."""
    if size is None:
        return None
    if batch is not None:
        raise typer.BadParameter("says the batch: leave --batch out", param_hint="--fit")
    return read_size(size, "--fit")


def largest_batch(program: "Program", options: "Options", limit: int) -> int:
    """The largest batch that fits, said."""
    import torch

    from odenet.footprint.largest_batch import batch_within
    from odenet.training.errors import BadOption, NotPossible

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        batch = batch_within(program, options, limit, device)
    except Exception as error:  # of any kind: networks of libraries are not our code
        raise NotPossible(_failed(program, "inputs", error)) from error
    if batch is None:
        raise BadOption("--fit: not even a step on 2 samples fits", "allow for more")
    say(f"  the largest batch that is predicted to fit has {batch:,} samples")
    return batch


def footprint_or_refusal(
    program: "Program", mode: "Mode", device: str, in_backward: bool
) -> "Footprint | None":
    """What a step is predicted to take; None where that depends on values.

    Raises:
        TrainingError: if a step on such a batch fails.
    """
    from torch._subclasses import fake_tensor

    from odenet.footprint.step import predicted
    from odenet.training.errors import NotPossible

    batch = program.recipe.batch
    try:
        return predicted(program, batch, mode, device, in_backward)
    except (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException):
        return None
    except Exception as error:  # of any kind: networks of libraries are not our code
        raise NotPossible(_failed(program, f"a batch of {batch} inputs", error)) from error


def _failed(program: "Program", what: str, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"a step on {what} {program.model.input_shape} is not possible: {reason}"
