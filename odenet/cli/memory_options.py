"""Sizes in options such as `--fit 8GB`, and predictions of what a training step needs."""

from typing import TYPE_CHECKING

import typer

from odenet.byte_sizes import parse_size
from odenet.cli.output import say

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.footprint.step import Footprint, Mode
    from odenet.training.run_folder.records import Options


def read_size(text: str, option: str, alternatives: str = "") -> int:
    """A size such as 500MB, in bytes.

    Args:
        text: what the user wrote.
        option: the name of the option, for the message.
        alternatives: what else the option takes, for the message, such as `"stored, or "`.

    Raises:
        typer.BadParameter: if the text is not a size.
    """
    size = parse_size(text)
    if size is None:
        raise typer.BadParameter(f"{alternatives}a size such as 500MB or 8GB", param_hint=option)
    return size


def read_fit(size: str | None, batch: int | None) -> int | None:
    """The value of --fit in bytes; raises BadParameter if --batch is given too."""
    if size is None:
        return None
    if batch is not None:
        raise typer.BadParameter("says the batch: leave --batch out", param_hint="--fit")
    return read_size(size, "--fit")


def largest_batch(program: "Program", options: "Options", memory_limit: int) -> int:
    """The largest batch whose training step is predicted to fit into a limit; prints it, too.

    Args:
        program: the network and its recipe.
        options: the options of the run.
        memory_limit: the limit in bytes.

    Raises:
        NotPossible: if the network does not run on a batch of its inputs.
        BadOption: if not even the smallest batch fits.
    """
    import torch

    from odenet.footprint.largest_batch import largest_training_batch
    from odenet.training.errors import BadOption, NotPossible

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        batch = largest_training_batch(program, options, memory_limit, device)
    except Exception as error:  # of any type: networks of libraries are foreign code
        raise NotPossible(_failure(program, "inputs", error)) from error
    if batch is None:
        raise BadOption("--fit: not even a step on 2 samples fits", "allow for more")
    say(f"  the largest batch that is predicted to fit has {batch:,} samples")
    return batch


def predict_footprint(
    program: "Program", mode: "Mode", device: str, in_backward: bool
) -> "Footprint | None":
    """The predicted memory of a step; None if tensor sizes in the network depend on tensor values.

    Args:
        program: the network, and a recipe that has the batch.
        mode: how flows keep activations for the backward pass.
        device: "cpu" or "cuda".
        in_backward: whether the optimizer acts in the backward pass.

    Raises:
        TrainingError: if the network does not run on such a batch.
    """
    from torch._subclasses import fake_tensor

    from odenet.footprint.step import predict
    from odenet.training.errors import NotPossible

    batch = program.recipe.batch
    try:
        return predict(program, batch, mode, device, in_backward)
    except (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException):
        return None
    except Exception as error:  # of any type: networks of libraries are foreign code
        raise NotPossible(_failure(program, f"a batch of {batch} inputs", error)) from error


def _failure(program: "Program", inputs: str, error: Exception) -> str:
    """The message for a step that fails on `inputs`, such as "a batch of 2 inputs"."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"a step on {inputs} {program.model.input_shape} is not possible: {reason}"
