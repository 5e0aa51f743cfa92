"""Refusing recipes and devices for which weights cannot be updated in the backward pass."""

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from odenet.model.tables.recipe import Recipe
from odenet.training.errors import BadOption

OPTION = "--update-in-backward"


def require_in_backward(trainer: Trainer, recipe: Recipe) -> None:
    """Refuse devices and settings that need all gradients at once.

    Raises:
        TrainingError: names the key or the option, and what to write.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        reason = "several average gradients when the backward pass is over"
        help_ = f"leave out {OPTION}, or --devices and --strategy"
        raise BadOption(f"{OPTION} is for one device: {reason}", help_)
    conflicts = (
        ("accumulate", recipe.accumulate > 1, "accumulate=1",
         "gradients of all weights wait for the last batch, so that nothing would be saved"),
        ("precision", recipe.precision == "fp16", "precision=bf16",
         "whether a scaled gradient has overflowed is known only when all are there"),
        ("levels", bool(recipe.levels), "levels=[]",
         "the optimizer acts on the steps that exist when training begins"),
        ("on_nan", recipe.on_nan == "skip", "on_nan=rollback",
         "weights have moved before all gradients have been looked at"),
    )  # fmt: skip
    for key, is_set, remedy, reason in conflicts:
        if is_set:
            message = f"{OPTION} does not go with this `{key}`: {reason}"
            raise BadOption(message, f"--set {remedy}, or leave {OPTION} out")
