"""Mean and deviation, by which samples and labels are standardised."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from odenet.model.tables.recipe import Call

RESOLUTION = 1e-6  # of float32: a channel that varies less, relative to its mean, is constant


def standardise_over(augment: Sequence[Call]) -> str:
    """What a recipe standardises over: "data" (the training split), "image" (itself), "none"."""
    return next((call["over"] for call in augment if call.name == "standardise"), "data")


def channel_moments(pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and deviation per channel, each (C,) float32; a channel that is constant has 1.

    Args:
        pieces: chunks of the samples, each (B, C, …) or (B,).
    """
    shift, count = torch.zeros(()), 0
    total, squares = torch.zeros(()), torch.zeros(())
    for piece in pieces:
        values = piece.double()
        rows = (values[:, None] if values.ndim == 1 else values).movedim(1, -1).flatten(0, -2)
        if not count:  # sums about 0 would lose what large numbers differ by
            shift = rows.mean(0)
        count += len(rows)
        total = total + (rows - shift).sum(0)
        squares = squares + (rows - shift).square().sum(0)
    mean = shift + total / count
    deviation = (squares / count - (total / count).square()).clamp(min=0).sqrt()
    constant = deviation <= RESOLUTION * mean.abs()
    return mean.float(), torch.where(constant, torch.ones_like(deviation), deviation).float()
