"""Outputs of a block other than its value, where they do not depend on the block's input.

The position bias that the first layer of a T5 makes for all layers is one. A flow takes all its
steps in one call, so such outputs have to be known before: they are made by another evaluation of
the block, and compared with those of the flow when it is run.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.utils import _pytree as pytree

from odenet.conversion.blocks import WITHIN_FLOW
from odenet.runtime.repetition.replay import evaluating


class SideOutputs:
    """The outputs of a block other than its value, in one call.

    Args:
        block: in whatever mode; it is evaluated in evaluation mode, and counts nothing.
        x: a tensor like its input, on which they do not depend.
        args: what else it is called with.
        kwargs: the same by keyword.
    """

    def __init__(self, block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self._call = block, x, args, kwargs
        self.taken: dict[int, Tensor] = {}  # what its flow was given, if it was run before

    @cached_property
    def result(self) -> Any:
        """All that it gives; evaluated when it is first read."""
        block, x, args, kwargs = self._call
        del self._call
        self._kind, self._x = type(block).__name__, x.detach().requires_grad_()
        with isolated_random_streams(x), evaluating(block), WITHIN_FLOW:
            found = call_keeping_buffers(block, self._x, args, kwargs)
        self._versions, self._without = _versions(found[1:]), set[int]()
        return found

    def entry(self, place: int) -> Any:
        """What it gives at a place.

        Raises:
            RuntimeError: if x has a part in it, or its flow was given something else.
        """
        found = self.result[place]
        if place not in self._without:
            taken = self.taken.get(place)
            other = taken is not None and not same_values(taken, found)
            if other or any(_depends(tensor, self._x) for tensor in tensors_in(found)):
                raise RuntimeError(NOT_AS_ASKED.format(block=self._kind))
            self._without.add(place)
        return found

    @property
    def evaluated(self) -> bool:
        """Whether `result` was read."""
        return "result" in self.__dict__

    @property
    def changed(self) -> bool:
        """Whether something changed it in place."""
        return self.evaluated and _versions(self.result[1:]) != self._versions


# Only outputs that do not depend on the input can be known before the call.
NOT_AS_ASKED = (
    "this {block} gives something else beside its value than when it was asked in advance: that "
    "depends on its input, on chance, on counters or on how it is called, and the steps of a flow "
    "are taken at once; leave the block out of the conversion"
)


def call_keeping_buffers(
    block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What a block gives, in an evaluation that leaves its buffers as they are."""
    buffers = {name: buffer.clone() for name, buffer in block.named_buffers()}
    return torch.func.functional_call(block, buffers, (x, *args), kwargs)


def isolated_random_streams(x: Tensor) -> AbstractContextManager[None]:
    """A context whose draws count for nothing outside."""
    return torch.random.fork_rng([x.device] if x.is_cuda else [])


def independent_outputs(
    block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, ...]:
    """Which outputs of a block after the first are tensors that do not depend on x.

    Those that depend on chance or on the mode of the block are not among them. Tensors without
    values are judged by their graph alone.

    Args:
        block: gives a tuple or a list.
        x: what it is handed.
        args: what else it is called with.
        kwargs: the same by keyword.
    """
    with isolated_random_streams(x), WITHIN_FLOW:
        other = torch.randn_like(x)
        with torch.no_grad():
            again = call_keeping_buffers(block, other, args, kwargs)
        with torch.enable_grad(), evaluating(block):
            probe = x.detach().requires_grad_()
            first = call_keeping_buffers(block, probe, args, kwargs)
    return tuple(_without(a, b, probe) for a, b in zip(first[1:], again[1:], strict=True))


def _without(entry: Any, again: Any, x: Tensor) -> bool:
    """Whether x has no part in a tensor, as another evaluation without it and its graph say."""
    if not isinstance(entry, Tensor) or not isinstance(again, Tensor):
        return False
    return same_values(entry, again) and not _depends(entry, x)


def same_values(a: Tensor, b: Tensor) -> bool:
    """Whether tensors are equal, as far as they have values."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.is_meta or isinstance(a, FakeTensor) or torch.equal(a, b)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in tuples, lists and dictionaries."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _versions(value: Any) -> list[int]:
    return [0 if t.is_inference() else t._version for t in tensors_in(value)]


def _depends(tensor: Tensor, x: Tensor) -> bool:
    if not tensor.requires_grad:
        return False
    ones = torch.ones_like(tensor)
    found = torch.autograd.grad(tensor, x, ones, retain_graph=True, allow_unused=True)
    return found[0] is not None
