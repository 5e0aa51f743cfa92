"""What blocks give beside their value, where the value of the block before has no part in it.

A flow takes its steps at once, so that when a block is called there is nothing yet that the block
before it gave. What that gave beside its value is known all the same where it was made of weights
and further inputs alone, as the position bias that the first layer of a T5 makes for all layers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from odenet.conversion.borrowed import WITHIN_FLOW
from odenet.runtime.replay import evaluating


class Made:
    """What a block gives in a call, beside a value that it is not asked for.

    Args:
        block: in whatever mode; it is evaluated in evaluation mode, and counts nothing.
        x: a tensor like the one that it is handed, which has no part in it.
        args: what else it is called with.
        kwargs: the same by keyword.
    """

    def __init__(self, block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self._call = block, x, args, kwargs

    @cached_property
    def result(self) -> Any:
        """All that it gives; evaluated when it is first read."""
        block, x, args, kwargs = self._call
        del self._call
        with own_random_streams(x), evaluating(block), WITHIN_FLOW:
            return block(x.detach(), *args, **kwargs)


def own_random_streams(x: Tensor) -> AbstractContextManager[None]:
    """A context whose draws count for nothing outside."""
    return torch.random.fork_rng([x.device] if x.is_cuda else [])


def made_without(
    block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, ...]:
    """Which entries after the first of what a block gives are tensors that x has no part in.

    Nor has what is drawn at random, or the mode of the block. Tensors without values are judged by
    their graph alone.

    Args:
        block: gives a tuple or a list.
        x: what it is handed.
        args: what else it is called with.
        kwargs: the same by keyword.
    """
    buffers = {name: buffer.clone() for name, buffer in block.named_buffers()}
    with own_random_streams(x), WITHIN_FLOW:
        other = torch.randn_like(x)
        with torch.no_grad():  # norms count in copies of their buffers
            again = torch.func.functional_call(block, buffers, (other, *args), kwargs)
        with torch.enable_grad(), evaluating(block):
            probe = x.detach().requires_grad_()
            first = block(probe, *args, **kwargs)
    return tuple(_without(a, b, probe) for a, b in zip(first[1:], again[1:], strict=True))


def _without(entry: Any, again: Any, x: Tensor) -> bool:
    """Whether x has no part in a tensor, as another evaluation without it and its graph say."""
    if not isinstance(entry, Tensor) or not isinstance(again, Tensor):
        return False
    return _equal(entry, again) and not _depends(entry, x)


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.is_meta or isinstance(a, FakeTensor) or torch.equal(a, b)


def _depends(tensor: Tensor, x: Tensor) -> bool:
    if not tensor.requires_grad:
        return False
    ones = torch.ones_like(tensor)
    found = torch.autograd.grad(tensor, x, ones, retain_graph=True, allow_unused=True)
    return found[0] is not None
