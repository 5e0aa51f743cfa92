"""TF32 matrix products on a GPU, for runs whose recipe has `precision = tf32`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """A context in which torch computes with the precision of a recipe.

    With "tf32", matrix products and convolutions round their factors to 10 bits of mantissa, on
    devices that support it. Any other value changes nothing. These settings of torch hold for the
    whole process; at the end they are what they were before.
    """
    if precision != "tf32":
        yield
        return
    # torch has newer names for these settings; once they are set, reading the older ones fails.
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
