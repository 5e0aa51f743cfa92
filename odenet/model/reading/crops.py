"""Whether the middle of a picture that a recipe takes is there."""

from odenet.diagnostics import Report
from odenet.model.tables.layer_kinds import Shape
from odenet.model.tables.recipe import Recipe

LARGEST = 4  # times what the network takes; less than a sixteenth does not show the picture
USUAL = 8 / 7  # 256 to 224 (Krizhevsky et al. 2012)


def check_crops(recipe: Recipe, shape: Shape | None, report: Report) -> None:
    """Report a `center_crop` that cannot be taken from pictures for a network.

    Args:
        recipe: its `augment` may have one.
        shape: what `input` says, None without a net.
        report: takes what is wrong.
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
    takes, least = " x ".join(map(str, shape.space)), min(shape.space)
    where = crop.argument_span("resize")
    help_ = f"{round(USUAL * least)} is to {least} what the usual 256 is to 224"
    if resize < least:
        message = f"pictures whose shorter side is {resize} have no {takes} in their middle"
        report.error("recipe-conflict", message, where, help_)
    elif resize > LARGEST * least:
        message = f"{takes} are less than 1/{LARGEST**2} of pictures whose shorter side is {resize}"
        report.error("recipe-conflict", message, where, help_)
