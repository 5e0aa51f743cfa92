"""Copies of models whose tensors are fake: they have shapes and types, and no values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn.parameter import is_lazy

from odenet.conversion.call_recorder import copy_model


def fake_copy(model: nn.Module) -> nn.Module:
    """A copy of a model with fake weights and buffers; called within a ``FakeTensorMode``.

    Raises:
        ValueError: if lazy layers have no shapes yet.
    """
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise ValueError(
            f"{type(model).__name__} has lazy layers, whose weights its first call makes: call it "
            "once before"
        )
    fake_tensors: dict[int, Any] = {}
    for parameter in model.parameters():
        fake_tensors[id(parameter)] = nn.Parameter(fake_tensor(parameter), parameter.requires_grad)
    for buffer in model.buffers():
        fake_tensors[id(buffer)] = fake_tensor(buffer)
    with unset_fake_temporarily():  # else tensors in plain attributes could not be copied
        return copy_model(model, fake_tensors)


def fake_tensor(tensor: Tensor) -> Tensor:
    """A fake tensor of the same shape, strides, type and device; on a CPU in place of "meta"."""
    if isinstance(tensor, FakeTensor):
        return tensor
    device = "cpu" if tensor.is_meta else tensor.device
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
