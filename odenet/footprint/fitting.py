"""The largest batch that fits into a given memory, by the prediction."""

from collections.abc import Callable
from typing import cast

from odenet.compiler import Program
from odenet.footprint.step import Mode, predicted
from odenet.training.records import Options

LEAST = 2  # samples, which a batch norm needs to learn
MOST = 2**20


def largest_batch(peak: Callable[[int], int], limit: int) -> int | None:
    """The largest number of samples with which a step stays within a limit.

    Brackets it by going to where the straight line through the last two numbers meets the limit,
    and at least to twice the last, since a peak is a constant and a share for each sample, or
    nearly so. It divides the bracket likewise; in halves where that gets on too slowly.

    Args:
        peak: bytes for a number of samples; grows with it.
        limit: in bytes.

    Returns:
        At least `LEAST` and at most `MOST`; None where even `LEAST` do not fit.
    """
    low, at_low = LEAST, peak(LEAST)
    if at_low > limit:
        return None
    high, at_high = low, at_low
    while at_high <= limit:
        share = (at_high - at_low) / max(1, high - low)
        low, at_low = high, at_high
        if high == MOST:
            return MOST
        further = int((limit - at_low) / share) + 1 if share > 0 else 0
        high = min(low + max(low, further), MOST)
        at_high = peak(high)
    halve = False
    while (width := high - low) > 1:
        line = low + int((limit - at_low) * width / (at_high - at_low))
        middle = low + width // 2 if halve else min(max(line, low + 1), high - 1)
        found = peak(middle)
        if found <= limit:
            low, at_low = middle, found
        else:
            high, at_high = middle, found
        halve = high - low > width // 2
    return low


def mode_of(program: Program, options: Options) -> Mode:
    """The memory mode that flows are trained in; a budget of bytes is at least reversible."""
    undone = program.discretised and program.derivation.reversible
    own: Mode = "reversible" if undone else "stored"
    if isinstance(options.memory, int):
        return own
    return "exact" if options.exact else cast(Mode, options.memory or own)


def batch_within(program: Program, options: Options, limit: int, device: str) -> int | None:
    """The largest batch of which a training step stays within a limit, in bytes, by prediction."""
    mode, early = mode_of(program, options), options.update_in_backward
    return largest_batch(lambda n: predicted(program, n, mode, device, early).peak, limit)
