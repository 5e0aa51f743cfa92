"""Deterministic kernels of torch, for `--deterministic`: a run repeated gives the same numbers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from odenet.training.errors import BadOption

# What torch requires of the environment. It is read when CUDA is first used.
CUBLAS_VARIABLE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """A context in which torch uses only kernels that give the same numbers each time.

    Args:
        enabled: False for a context that changes nothing.

    Raises:
        TrainingError: an operation within has no deterministic kernel.
    """
    if not enabled:
        yield
        return
    os.environ.setdefault(*CUBLAS_VARIABLE)
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "deterministic" not in text:
            raise
        message = f"--deterministic: {text.partition('. ')[0]}"
        raise BadOption(message, "leave --deterministic out, or train on a CPU") from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.benchmark = before[1]
