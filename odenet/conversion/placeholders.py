"""Placeholders: tensors without values, which blocks of a flow return until the flow is run.

A block maps a state to the next one, its value. It returns the value, or a tuple or list of the
value and side outputs. A flow runs its blocks as reversible steps, in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from odenet.conversion.side_outputs import SIDE_OUTPUT_DIFFERS, SideOutputs, same_values, tensors_in

if TYPE_CHECKING:
    from odenet.conversion.module_flow import ModuleFlow

# How a side output depends on the state, the input of the block.
INDEPENDENT, NO_TENSORS, DEPENDENT = "independent", "no tensors", "dependent"
# Where a side output comes from: one of these; the index of the argument that it is; None for None.
Source = int | str | None

Call = tuple[tuple[Any, ...], dict[str, Any]]  # arguments of a block after the state


@dataclass(frozen=True)
class DeferredSteps:
    """The steps of a flow whose blocks have been called, and which have not been taken yet.

    Attributes:
        flow: the flow.
        start: the input of its first step.
        calls: the arguments of each block so far.
        differentiable: whether gradients were enabled in the first call.
        autocast: whether autocast was enabled in the first call, and its type.
        expected: the results of the blocks so far, as far as they are known.
    """

    flow: ModuleFlow
    start: Tensor
    calls: tuple[Call, ...]
    differentiable: bool
    autocast: tuple[bool, torch.dtype]
    expected: tuple[ExpectedResult, ...] = ()


@dataclass(frozen=True)
class ResultStructure:
    """The structure of what a block returns: a tensor alone, or a value with side outputs.

    Attributes:
        container: the class of the list or tuple; None for a tensor alone.
        sources: where each side output comes from; an index is that of an argument (among the
            pytree leaves of the call) that the block returns unchanged.
    """

    container: type | None = None
    sources: tuple[Source, ...] = ()

    @staticmethod
    def infer(result: Any, leaves: list[Any]) -> ResultStructure:
        """The structure of a result; `leaves` are the pytree leaves of the arguments."""
        if not isinstance(result, tuple | list):
            return ResultStructure()
        ids = [id(leaf) for leaf in leaves]
        # Two arguments that are one object in this call may be two in the next.
        indices = {i: index for index, i in enumerate(ids) if ids.count(i) == 1}

        def source(entry: Any) -> Source:
            if entry is None or isinstance(entry, Tensor):
                return None if entry is None else indices.get(id(entry), DEPENDENT)
            return DEPENDENT if tensors_in(entry) else NO_TENSORS

        return ResultStructure(type(result), tuple(map(source, result[1:])))

    def with_independent(self, independent: tuple[bool, ...]) -> ResultStructure:
        """This structure with the flagged side outputs marked as independent of the state."""
        sources = (
            INDEPENDENT if is_independent and source == DEPENDENT else source
            for source, is_independent in zip(self.sources, independent, strict=True)
        )
        return ResultStructure(self.container, tuple(sources))

    def wrap(self, value: Tensor, side_outputs: SideOutputs, leaves: list[Any]) -> Any:
        """The result with this value, and with side outputs or placeholders for them."""
        if self.container is None:
            return value
        entries: list[Any] = []
        for index, source in enumerate(self.sources, start=1):
            if isinstance(source, int):
                entries.append(leaves[source])
            elif source == NO_TENSORS:
                entries.append(side_outputs.entry(index))
            else:
                output = (side_outputs, index) if source == INDEPENDENT else None
                entries.append(None if source is None else Placeholder.create(None, value, output))
        construct: Any = getattr(self.container, "_make", self.container)  # of named tuples
        return construct((value, *entries))


@dataclass(frozen=True)
class ExpectedResult:
    """What a block returned to the model's code before its flow was run.

    Attributes:
        structure: the structure of the result.
        side_outputs: the side outputs, evaluated when something reads them.
    """

    structure: ResultStructure
    side_outputs: SideOutputs

    def check(self, block: Any, result: Any, call: Call) -> None:
        """Raise RuntimeError if the block returns something else when the flow is run."""
        if not self._matches(result, pytree.tree_leaves(call)):
            raise RuntimeError(SIDE_OUTPUT_DIFFERS.format(block=type(block).__name__))

    def _matches(self, result: Any, leaves: list[Any]) -> bool:
        if self.structure.container is None:
            return not isinstance(result, tuple | list)
        sources = self.structure.sources
        if not isinstance(result, tuple | list) or len(result) != 1 + len(sources):
            return False
        entries = enumerate(zip(result[1:], sources, strict=True), start=1)
        return all(self._entry_matches(*pair, index, leaves) for index, pair in entries)

    def _entry_matches(self, value: Any, source: Source, index: int, leaves: list[Any]) -> bool:
        if isinstance(source, int):
            return value is leaves[source]
        if source is None:
            return value is None
        if source == DEPENDENT:  # reading its placeholder is refused
            return value is not None
        if not self.side_outputs.is_evaluated:  # nothing has read it yet
            if isinstance(value, Tensor):
                self.side_outputs.values_in_flow[index] = value.detach()
            return value is not None
        expected = self.side_outputs.result[index]
        if isinstance(value, Tensor) and isinstance(expected, Tensor):
            return same_values(value.detach(), expected.detach())
        return type(value) is type(expected) and bool(value == expected)


# Functions of torch that may be called on a placeholder.
METADATA_FUNCTIONS = {
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "layout", "ndim")),
    *(getattr(Tensor, name).__get__ for name in ("requires_grad", "is_cuda", "is_nested")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.get_device),
}


class Placeholder(Tensor):
    """A tensor without values, for one that only the flow computes: shape, type and device.

    Attributes:
        steps: the steps that compute it; None for a side output.
        side_output: for a side output that is independent of the state, the side outputs of its
            block and its index, 1 for the first of them; otherwise None.
    """

    steps: DeferredSteps | None
    side_output: tuple[SideOutputs, int] | None

    @staticmethod
    def create(
        steps: DeferredSteps | None, like: Tensor, output: tuple[SideOutputs, int] | None = None
    ) -> Placeholder:
        """A placeholder of the shape, type and device of a tensor."""
        placeholder: Placeholder = Tensor._make_wrapper_subclass(
            Placeholder, like.shape, dtype=like.dtype, device=like.device
        )
        placeholder.steps, placeholder.side_output = steps, output
        return placeholder

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = fill_side_outputs((args, kwargs or {}))
        leaves, _ = pytree.tree_flatten((args, kwargs))
        placeholder = next((leaf for leaf in leaves if isinstance(leaf, Placeholder)), None)
        if placeholder is None:
            return func(*args, **kwargs)
        # The shape of a side output is not known.
        if func in METADATA_FUNCTIONS and placeholder.steps is not None:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        raise RuntimeError(placeholder.refusal_message(getattr(func, "__name__", "an operation")))

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return cls.__torch_function__(func, types, args, kwargs)

    def refusal_message(self, reader: str) -> str:
        """The message where something other than the next block, the reader, reads this."""
        if self.steps is None:
            return (
                f"{reader} reads what a block gives beside its value, which a flow does not hand "
                "on: its steps are taken at once, and again in the backward pass"
            )
        flow, calls_so_far = self.steps.flow, len(self.steps.calls)
        return (
            f"{reader} reads the value after block {calls_so_far} of {flow.steps} that are steps "
            "of one flow: the steps are taken at once, where the last of these blocks is called. "
            "Values between them (hidden states, an early exit, a block wrapped in other "
            "operations) are those of flow.trajectory(x), or leave the blocks out of the conversion"
        )

    def __repr__(self) -> str:
        return f"Placeholder(shape={tuple(self.shape)})"


def fill_side_outputs(call: Call) -> Call:
    """The call with side outputs in the place of placeholders for them."""

    def resolve(leaf: Any) -> Any:
        if not isinstance(leaf, Placeholder) or leaf.side_output is None:
            return leaf
        side_outputs, index = leaf.side_output
        return side_outputs.entry(index)

    leaves, tree = pytree.tree_flatten(call, is_leaf=_is_size)
    return pytree.tree_unflatten(map(resolve, leaves), tree)


def _is_size(value: Any) -> bool:
    """Whether a value is a torch.Size, which pytree would rebuild as a tuple."""
    return isinstance(value, torch.Size)
