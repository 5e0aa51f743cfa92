"""Counts in words: `1 step`, `2 steps`."""


def counted(count: float, noun: str) -> str:
    """A number of things; three digits of one that is not whole, as in `2.32 bits`."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:.3g}"
    return f"{number} {noun}{'' if number == '1' else 's'}"
