"""Checks that a `center_crop` of the recipe fits the size of the network's input."""

from odenet.diagnostics import Report
from odenet.model.tables.layer_kinds import Shape
from odenet.model.tables.recipe import Recipe

# Shorter side of the resized picture / shorter side of the network's input.
LARGEST_RATIO = 4  # a crop of less than a sixteenth does not show the picture
USUAL_RATIO = 8 / 7  # 256 to 224 (Krizhevsky et al. 2012)


def check_crops(recipe: Recipe, shape: Shape | None, report: Report) -> None:
    """Report a `center_crop` that does not fit the network's input, or comes after another.

    Args:
        recipe: the recipe, whose `augment` may have a `center_crop`.
        shape: the shape of the network's input; None without a net.
        report: collects the errors.
    """
    crops = [call for call in recipe.augment if call.name == "center_crop"]
    for extra in crops[1:]:
        report.error("given-twice", "there is a center_crop already", extra.span, "remove one")
    if not crops or shape is None:
        return
    crop, resize = crops[0], crops[0]["resize"]
    if shape.token_ids or len(shape.space) != 2:
        message = "center_crop takes the middle of pictures, and this net takes none"
        help_ = "leave it out, or write `input(3, H, W)`"
        report.error("recipe-conflict", message, crop.span, help_)
        return
    size, shorter_side = " x ".join(map(str, shape.space)), min(shape.space)
    span = crop.argument_span("resize")
    help_ = f"{round(USUAL_RATIO * shorter_side)} is to {shorter_side} what the usual 256 is to 224"
    if resize < shorter_side:
        message = f"pictures whose shorter side is {resize} have no {size} in their middle"
        report.error("recipe-conflict", message, span, help_)
    elif resize > LARGEST_RATIO * shorter_side:
        share = f"1/{LARGEST_RATIO**2}"
        message = f"{size} are less than {share} of pictures whose shorter side is {resize}"
        report.error("recipe-conflict", message, span, help_)
