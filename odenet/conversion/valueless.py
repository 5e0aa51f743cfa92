"""Copies of models without values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn.parameter import is_lazy

from odenet.conversion.watching import copied


def without_values(model: nn.Module) -> nn.Module:
    """A copy whose weights and buffers have sizes alone, within a ``FakeTensorMode``.

    Raises:
        ValueError: if they have no sizes yet.
    """
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise ValueError(
            f"{type(model).__name__} has lazy layers, whose weights its first call makes: call it "
            "once before"
        )
    known: dict[int, Any] = {}
    for parameter in model.parameters():
        known[id(parameter)] = nn.Parameter(fake(parameter), parameter.requires_grad)
    for buffer in model.buffers():
        known[id(buffer)] = fake(buffer)
    with unset_fake_temporarily():  # else tensors that are no buffers could not be copied
        return copied(model, known)


def fake(tensor: Tensor) -> Tensor:
    """A tensor of the same size, type and place; one on the device "meta" is on a CPU then."""
    if isinstance(tensor, FakeTensor):
        return tensor
    device = "cpu" if tensor.is_meta else tensor.device
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
