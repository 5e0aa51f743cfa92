"""The same numbers from the same machine, also on a GPU, for as long as that is asked for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from odenet.training.errors import BadOption

CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as torch asks for; read when CUDA is first used


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch take only kernels that give the same numbers each time.

    Raises:
        TrainingError: something that was computed within has no such kernel.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(*CUBLAS)
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
