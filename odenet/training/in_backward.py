"""What a recipe asks for that an optimizer in the backward pass cannot give, refused by name."""

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from odenet.model.tables.recipe import Recipe
from odenet.training.errors import BadOption

OPTION = "--update-in-backward"


def require_in_backward(trainer: Trainer, recipe: Recipe) -> None:
    """Refuse what needs all gradients at once.

    Raises:
        TrainingError: names the key or the option, and what to write.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise BadOption(
            f"{OPTION} is for one device: several average gradients when the backward pass is over",
            "leave one of --devices, --strategy and it out",
        )
    reasons = {
        "accumulate": recipe.accumulate > 1
        and "gradients of all weights wait for the last batch, so that nothing would be saved",
        "precision": recipe.precision == "fp16"
        and "whether a scaled gradient has overflowed is known only when all are there",
        "levels": bool(recipe.levels) and "the optimizer acts on the steps that there are",
        "on_nan": recipe.on_nan == "skip"
        and "weights have moved before all gradients have been looked at",
    }
    instead = {
        "accumulate": "accumulate=1",
        "precision": "precision=bf16",
        "levels": "levels=[]",
        "on_nan": "on_nan=rollback",
    }
    for key, reason in reasons.items():
        if reason:
            raise BadOption(
                f"{OPTION} does not go with this `{key}`: {reason}",
                f"--set {instead[key]}, or leave {OPTION} out",
            )
