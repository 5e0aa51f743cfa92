"""Values for the steps of a flow that follow from a few numbers: the compiler and flows agree."""

import random

PARTS = 1000  # equal ones of a range, between which values are drawn or moved


def between(low: float, high: float, part: int) -> float:
    """So many of ``PARTS`` equal parts of the way from one number to another."""
    if part in (0, PARTS):
        return high if part else low
    return (low * (PARTS - part) + high * part) / PARTS


def uniform(low: float, high: float, seed: int, steps: int) -> tuple[float, ...]:
    """Numbers drawn evenly from a range, in thousandths of it; longer sequences begin alike."""
    draws = random.Random(seed)
    return tuple(between(low, high, draws.randint(0, PARTS)) for _ in range(steps))


def geometric(first: float, ratio: float, steps: int) -> tuple[float, ...]:
    """The first number, then each the one before it times a ratio."""
    return tuple(first * ratio**step for step in range(steps))
