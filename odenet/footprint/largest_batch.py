"""The largest batch whose training step is predicted to fit into a given memory."""

from collections.abc import Callable
from typing import cast

from odenet.compiler import Program
from odenet.footprint.step import Mode, predict
from odenet.training.run_folder.records import Options

MIN_BATCH = 2  # a batch norm in training mode needs two samples
MAX_BATCH = 2**20


def largest_batch(peak: Callable[[int], int], limit: int) -> int | None:
    """The largest batch with which a step stays within a limit.

    The peak is nearly an affine function of the batch. An upper bound is searched along the secant
    through the last two peaks, at least doubling the batch; then the bracket is narrowed by regula
    falsi, and by bisection where that converges slowly.

    Args:
        peak: the bytes of a step as a function of the batch; increasing.
        limit: the limit in bytes.

    Returns:
        At least `MIN_BATCH` and at most `MAX_BATCH`; None if not even `MIN_BATCH` samples fit.
    """
    low, low_peak = MIN_BATCH, peak(MIN_BATCH)
    if low_peak > limit:
        return None
    high, high_peak = low, low_peak
    while high_peak <= limit:
        per_sample = (high_peak - low_peak) / max(1, high - low)
        low, low_peak = high, high_peak
        if high == MAX_BATCH:
            return MAX_BATCH
        increment = int((limit - low_peak) / per_sample) + 1 if per_sample > 0 else 0
        high = min(low + max(low, increment), MAX_BATCH)
        high_peak = peak(high)
    bisect = False
    while (width := high - low) > 1:
        secant = low + int((limit - low_peak) * width / (high_peak - low_peak))
        middle = low + width // 2 if bisect else min(max(secant, low + 1), high - 1)
        middle_peak = peak(middle)
        if middle_peak <= limit:
            low, low_peak = middle, middle_peak
        else:
            high, high_peak = middle, middle_peak
        bisect = high - low > width // 2
    return low


def training_mode(program: Program, options: Options) -> Mode:
    """The memory mode of flows in training; for a budget in bytes, the mode that stores least."""
    is_reversible = program.discretised and program.derivation.reversible
    default: Mode = "reversible" if is_reversible else "stored"
    if isinstance(options.memory, int):
        return default
    return "exact" if options.exact else cast(Mode, options.memory or default)


def largest_training_batch(
    program: Program, options: Options, limit: int, device: str
) -> int | None:
    """The largest batch of a program whose training step is predicted to stay within a limit.

    Args:
        program: the program that has the network and the recipe.
        options: the options of the training.
        limit: the limit in bytes.
        device: "cpu" or "cuda".

    Returns:
        The same as `largest_batch`.
    """
    mode, in_backward = training_mode(program, options), options.update_in_backward
    return largest_batch(lambda n: predict(program, n, mode, device, in_backward).peak, limit)
