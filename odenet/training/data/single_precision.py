"""Refuses samples and labels that single precision, in which they are kept, would distort."""

from typing import Any

import torch
from torch import Tensor

from odenet.training.data.lazy_samples import CHUNK_SIZE, as_tensor
from odenet.training.errors import UnreadableData

LARGEST_FLOAT32 = torch.finfo(torch.float32).max
MAX_ROUNDING = 0.01  # the share of a channel's range by which rounding may move its values


def require_single_precision(description: str, values: Any) -> None:
    """Refuse numbers that are too large for single precision, or that it cannot tell apart.

    Numbers that are not finite are refused elsewhere.

    Args:
        description: what messages call the numbers.
        values: (N, channels, …) or (N,), an array or a tensor, perhaps in a file.

    Raises:
        TrainingError: says which channel, and its range.
    """
    lows, highs, errors = [], [], []
    for start in range(0, len(values), CHUNK_SIZE):
        chunk = as_tensor(values[start : start + CHUNK_SIZE])
        if chunk.element_size() < 4 or chunk.dtype == torch.float32 or not chunk[0].numel():
            return
        wide = chunk.double()
        if not wide.isfinite().all():
            return
        rows = wide.view(len(wide), 1) if wide.dim() == 1 else wide.movedim(1, -1).flatten(0, -2)
        lows.append(rows.min(0).values)
        highs.append(rows.max(0).values)
        errors.append((rows - rows.float()).abs().max(0).values)
    low, high = torch.stack(lows).min(0).values, torch.stack(highs).max(0).values
    _refuse(description, low, high, torch.stack(errors).max(0).values)


def _refuse(description: str, low: Tensor, high: Tensor, error: Tensor) -> None:
    """Raise where rounding moves a channel by too much, (channels,) each."""
    refused = ((low < high) & (error > MAX_ROUNDING * (high - low))) | error.isinf()
    if not refused.any():
        return
    channel = int(refused.nonzero()[0])
    least, most = low[channel].item(), high[channel].item()
    where = description if len(low) == 1 else f"channel {channel} of {description}"
    if error[channel].isinf():
        raise UnreadableData(
            f"{where} has values from {least:.6g} to {most:.6g}, and single precision ends at "
            f"{LARGEST_FLOAT32:.3g}",
            "take another unit",
        )
    raise UnreadableData(
        f"{where} has values from {least:.17g} to {most:.17g}, which single precision cannot tell "
        "apart",
        "subtract the same number from all of them",
    )
