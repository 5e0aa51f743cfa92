"""How a device multiplies numbers of single precision while a run trains."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """With `precision = tf32` matrix products and convolutions round their factors to 10 bits.

    Where the device can. Any other precision leaves torch as it is set, and so does the end: torch
    holds this for the whole process.
    """
    if precision != "tf32":
        yield
        return
    # The newer names of the same settings cannot be read by those who know the older ones.
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
