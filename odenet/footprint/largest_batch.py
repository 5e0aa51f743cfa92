"""The largest batch that fits into a given memory, by the prediction."""

from collections.abc import Callable
from typing import cast

from odenet.compiler import Program
from odenet.footprint.step import Mode, predicted
from odenet.training.run_folder.records import Options

LEAST = 2  # samples: what a batch norm needs in training mode
MOST = 2**20


def largest_batch(peak: Callable[[int], int], limit: int) -> int | None:
    """The largest number of samples with which a step stays within a limit.

    A peak is nearly affine in the batch. So the number is bracketed by the secant through the last
    two peaks, and at least by twice the last number; then found by regula falsi, with bisection
    where that converges slowly.

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
        per_sample = (at_high - at_low) / max(1, high - low)
        low, at_low = high, at_high
        if high == MOST:
            return MOST
        further = int((limit - at_low) / per_sample) + 1 if per_sample > 0 else 0
        high = min(low + max(low, further), MOST)
        at_high = peak(high)
    halve = False
    while (width := high - low) > 1:
        secant = low + int((limit - at_low) * width / (at_high - at_low))
        middle = low + width // 2 if halve else min(max(secant, low + 1), high - 1)
        found = peak(middle)
        if found <= limit:
            low, at_low = middle, found
        else:
            high, at_high = middle, found
        halve = high - low > width // 2
    return low


def mode_of(program: Program, options: Options) -> Mode:
    """The memory mode that flows are trained in; for a budget of bytes that which stores least."""
    undone = program.discretised and program.derivation.reversible
    own: Mode = "reversible" if undone else "stored"
    if isinstance(options.memory, int):
        return own
    return "exact" if options.exact else cast(Mode, options.memory or own)


def batch_within(program: Program, options: Options, limit: int, device: str) -> int | None:
    """The largest batch of which a training step stays within a limit, in bytes, by prediction."""
    mode, in_backward = mode_of(program, options), options.update_in_backward
    return largest_batch(lambda n: predicted(program, n, mode, device, in_backward).peak, limit)
