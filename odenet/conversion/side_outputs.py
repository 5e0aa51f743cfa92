"""Side outputs: what a block returns after its value, in a tuple `(value, side output, …)`.

An example is the position bias that the first layer of a T5 computes for all layers. A flow takes
all its steps in one call, after the model has read the side outputs. So they have to be independent
of the block's input: they are computed by another evaluation of the block, and compared with those
of the flow when it is run.
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
from odenet.runtime.repetition.recorder import evaluation_mode


class SideOutputs:
    """The side outputs of a block in one call, evaluated when they are first read.

    Args:
        block: the block; it is evaluated in evaluation mode, and its buffers are left as they are.
        x: a tensor of the shape of its input, on which side outputs do not depend.
        args: the arguments after the input.
        kwargs: the keyword arguments.

    Attributes:
        values_in_flow: index of a side output -> what the block returned when the flow was run, if
            nothing had read `result` by then.
    """

    def __init__(self, block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self._call = block, x, args, kwargs
        self.values_in_flow: dict[int, Tensor] = {}

    @cached_property
    def result(self) -> Any:
        """The whole result of the block, with its value first."""
        block, x, args, kwargs = self._call
        del self._call
        self._block_name, self._x = type(block).__name__, x.detach().requires_grad_()
        with isolated_random_streams(x), evaluation_mode(block), WITHIN_FLOW:
            result = call_keeping_buffers(block, self._x, args, kwargs)
        self._versions, self._independent = _versions(result[1:]), set[int]()
        return result

    def entry(self, index: int) -> Any:
        """The entry of the result at an index, 1 for the first side output.

        Raises:
            RuntimeError: if it depends on x, or the block returned another one in its flow.
        """
        value = self.result[index]
        if index not in self._independent:
            in_flow = self.values_in_flow.get(index)
            differs = in_flow is not None and not same_values(in_flow, value)
            if differs or any(_depends_on(tensor, self._x) for tensor in tensors_in(value)):
                raise RuntimeError(SIDE_OUTPUT_DIFFERS.format(block=self._block_name))
            self._independent.add(index)
        return value

    @property
    def is_evaluated(self) -> bool:
        """Whether `result` has been read."""
        return "result" in self.__dict__

    @property
    def is_changed_in_place(self) -> bool:
        """Whether something changed a side output in place."""
        return self.is_evaluated and _versions(self.result[1:]) != self._versions


# Side outputs that depend on the input cannot be computed before the flow runs.
SIDE_OUTPUT_DIFFERS = (
    "what this {block} gives beside its value is not what it gave in advance: it depends on its "
    "input, on chance, on counters or on how it is called, and the steps of a flow are taken at "
    "once; leave the block out of the conversion"
)


def call_keeping_buffers(
    block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The result of a block, evaluated on copies of its buffers."""
    buffers = {name: buffer.clone() for name, buffer in block.named_buffers()}
    return torch.func.functional_call(block, buffers, (x, *args), kwargs)


def isolated_random_streams(x: Tensor) -> AbstractContextManager[None]:
    """A context that restores the states of the random number generators on exit."""
    return torch.random.fork_rng([x.device] if x.is_cuda else [])


def independent_outputs(
    block: nn.Module, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, ...]:
    """Which side outputs of a block are tensors that do not depend on its input.

    False for those that are random or depend on the mode of the block. Fake tensors, which have no
    values, are judged by their graph alone.

    Args:
        block: a block that returns a tuple or a list.
        x: its input.
        args: the arguments after the input.
        kwargs: the keyword arguments.
    """
    with isolated_random_streams(x), WITHIN_FLOW:
        noise = torch.randn_like(x)
        with torch.no_grad():
            second = call_keeping_buffers(block, noise, args, kwargs)
        with torch.enable_grad(), evaluation_mode(block):
            probe = x.detach().requires_grad_()
            first = call_keeping_buffers(block, probe, args, kwargs)
    return tuple(_is_independent(a, b, probe) for a, b in zip(first[1:], second[1:], strict=True))


def _is_independent(value: Any, other: Any, x: Tensor) -> bool:
    """Whether a tensor does not depend on x, by its graph and by another evaluation without x."""
    if not isinstance(value, Tensor) or not isinstance(other, Tensor):
        return False
    return same_values(value, other) and not _depends_on(value, x)


def same_values(a: Tensor, b: Tensor) -> bool:
    """Whether tensors are equal; of fake tensors only shapes and types are compared."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.is_meta or isinstance(a, FakeTensor) or torch.equal(a, b)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in tuples, lists and dictionaries."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _versions(value: Any) -> list[int]:
    """The version counters of all tensors in a value; torch increments them at changes in place."""
    return [0 if t.is_inference() else t._version for t in tensors_in(value)]


def _depends_on(tensor: Tensor, x: Tensor) -> bool:
    """Whether autograd has a path from x to a tensor."""
    if not tensor.requires_grad:
        return False
    ones = torch.ones_like(tensor)
    gradients = torch.autograd.grad(tensor, x, ones, retain_graph=True, allow_unused=True)
    return gradients[0] is not None
