"""Sequences of one number per step, computed alike by the compiler and by generated modules."""

import random

DIVISIONS = 1000  # equal parts that a range is divided into


def interpolate(low: float, high: float, numerator: int) -> float:
    """The number at ``numerator / DIVISIONS`` of the way from one number to another."""
    if numerator in (0, DIVISIONS):
        return high if numerator else low
    return (low * (DIVISIONS - numerator) + high * numerator) / DIVISIONS


def uniform(low: float, high: float, seed: int, steps: int) -> tuple[float, ...]:
    """Uniform random numbers from a range, on a grid of ``DIVISIONS``.

    Sequences of one seed and different lengths begin with the same numbers.
    """
    draws = random.Random(seed)
    return tuple(interpolate(low, high, draws.randint(0, DIVISIONS)) for _ in range(steps))


def geometric(first: float, ratio: float, steps: int) -> tuple[float, ...]:
    """The geometric sequence: first, first * ratio, first * ratio**2 and so on."""
    return tuple(first * ratio**step for step in range(steps))
