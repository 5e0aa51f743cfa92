"""What is in the place of the values of blocks that are steps of a flow, until it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from odenet.conversion.side_outputs import NOT_AS_ASKED, SideOutputs, same_values, tensors_in

if TYPE_CHECKING:
    from odenet.conversion.module_flow import ModuleFlow

# Where blocks have what they give beside their value.
MADE, NUMBERS, OF_THE_STATE = "made", "numbers", "of the state"

Call = tuple[tuple[Any, ...], dict[str, Any]]  # what a block was called with, beside the state


@dataclass(frozen=True)
class Deferred:
    """Steps of a flow that were asked for and not taken yet.

    Attributes:
        flow: whose steps.
        start: the input of the first.
        calls: one for each step.
        differentiable: whether gradients were on at the first of them.
        autocast: whether autocast was, and to what.
        assumed: what each was taken to give.
    """

    flow: ModuleFlow
    start: Tensor
    calls: tuple[Call, ...]
    differentiable: bool
    autocast: tuple[bool, torch.dtype]
    assumed: tuple[Assumed, ...] = ()


@dataclass(frozen=True)
class Result:
    """In what a block gives its value.

    Attributes:
        container: a list, or a kind of tuples; None for a tensor alone.
        beside: where the entries after the first come from: the place of one among the leaves of
            the call; `MADE`, `NUMBERS` of which none is a tensor, or `OF_THE_STATE`; None for an
            entry that is nothing.
    """

    container: type | None = None
    beside: tuple[int | str | None, ...] = ()

    @staticmethod
    def of(value: Any, leaves: list[Any]) -> Result:
        """As this one is, of a call with these leaves."""
        if not isinstance(value, tuple | list):
            return Result()
        ids = [id(leaf) for leaf in leaves]
        # What is there twice in this call may be two things in the next one.
        places = {i: place for place, i in enumerate(ids) if ids.count(i) == 1}

        def source(entry: Any) -> int | str | None:
            if entry is None or isinstance(entry, Tensor):
                return None if entry is None else places.get(id(entry), OF_THE_STATE)
            return OF_THE_STATE if tensors_in(entry) else NUMBERS

        return Result(type(value), tuple(map(source, value[1:])))

    def made(self, which: tuple[bool, ...]) -> Result:
        """The same where some entries are made without the state."""
        beside = (
            MADE if there and source == OF_THE_STATE else source
            for source, there in zip(self.beside, which, strict=True)
        )
        return Result(self.container, tuple(beside))

    def around(self, value: Tensor, made: SideOutputs, leaves: list[Any]) -> Any:
        """A value as the block gives it, with placeholders beside it for what is not there."""
        if self.container is None:
            return value
        others: list[Any] = []
        for entry, source in enumerate(self.beside, start=1):
            if isinstance(source, int):
                others.append(leaves[source])
            elif source == NUMBERS:
                others.append(made.entry(entry))
            else:
                what = (made, entry) if source == MADE else None
                others.append(None if source is None else Placeholder.of(None, value, what))
        make: Any = getattr(self.container, "_make", self.container)  # of named tuples
        return make((value, *others))


@dataclass(frozen=True)
class Assumed:
    """What a block was taken to give in a call, before its flow was run.

    Attributes:
        result: in what it gives its value.
        made: what it gives beside that, where it was evaluated.
    """

    result: Result
    made: SideOutputs

    def require(self, block: Any, given: Any, call: Call) -> None:
        """Raise RuntimeError if the block gives something else in the call."""
        leaves = pytree.tree_leaves(call)
        if not self._fits(given, leaves):
            raise RuntimeError(NOT_AS_ASKED.format(block=type(block).__name__))

    def _fits(self, given: Any, leaves: list[Any]) -> bool:
        if self.result.container is None:
            return not isinstance(given, tuple | list)
        if not isinstance(given, tuple | list) or len(given) != 1 + len(self.result.beside):
            return False
        sources = enumerate(self.result.beside, start=1)
        return all(self._is(given[entry], entry, source, leaves) for entry, source in sources)

    def _is(self, value: Any, entry: int, source: int | str | None, leaves: list[Any]) -> bool:
        if isinstance(source, int):
            return value is leaves[source]
        if source is None:
            return value is None
        if source == OF_THE_STATE:  # which nothing can read
            return value is not None
        if not self.made.evaluated:  # nothing has read it yet
            if isinstance(value, Tensor):
                self.made.taken[entry] = value.detach()
            return value is not None
        made = self.made.result[entry]
        if isinstance(value, Tensor) and isinstance(made, Tensor):
            return same_values(value.detach(), made.detach())
        return type(value) is type(made) and bool(value == made)


# What may be asked of a value that is not there yet.
READABLE = {
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "layout", "ndim")),
    *(getattr(Tensor, name).__get__ for name in ("requires_grad", "is_cuda", "is_nested")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.get_device),
}


class Placeholder(Tensor):
    """In the place of a value that only the flow has: it has a shape, a type and a device.

    Attributes:
        steps: those it is the end of; None for what blocks give beside their value.
        made: where that is made, and its place there, if the state has no part in it.
    """

    steps: Deferred | None
    made: tuple[SideOutputs, int] | None

    @staticmethod
    def of(
        steps: Deferred | None, like: Tensor, made: tuple[SideOutputs, int] | None = None
    ) -> Placeholder:
        """One that looks like a tensor."""
        placeholder: Placeholder = Tensor._make_wrapper_subclass(
            Placeholder, like.shape, dtype=like.dtype, device=like.device
        )
        placeholder.steps, placeholder.made = steps, made
        return placeholder

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = with_made((args, kwargs or {}))
        values, _ = pytree.tree_flatten((args, kwargs))
        found = next((value for value in values if isinstance(value, Placeholder)), None)
        if found is None:
            return func(*args, **kwargs)
        if func in READABLE and found.steps is not None:  # else its shape is not known
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        raise RuntimeError(found.refusal(getattr(func, "__name__", "an operation")))

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return cls.__torch_function__(func, types, args, kwargs)

    def refusal(self, user: str) -> str:
        """What is said where something but the next block reads it."""
        if self.steps is None:
            return (
                f"{user} reads what a block gives beside its value, which a flow does not hand on: "
                "its steps are taken at once, and again in the backward pass"
            )
        flow, done = self.steps.flow, len(self.steps.calls)
        return (
            f"{user} reads the value after block {done} of {flow.steps} that are steps of one "
            "flow: the steps are taken at once, where the last of these blocks is called. Values "
            "between them (hidden states, an early exit, a block wrapped in other operations) "
            "are those of flow.trajectory(x), or leave the blocks out of the conversion"
        )

    def __repr__(self) -> str:
        return f"Placeholder(shape={tuple(self.shape)})"


def with_made(call: Call) -> Call:
    """A call with what blocks made beside their values in the place of placeholders for it."""

    def read(value: Any) -> Any:
        if not isinstance(value, Placeholder) or value.made is None:
            return value
        made, entry = value.made
        return made.entry(entry)

    leaves, spec = pytree.tree_flatten(call, is_leaf=_whole)
    return pytree.tree_unflatten(map(read, leaves), spec)


def _whole(value: Any) -> bool:
    """A size is a leaf, which torch would rebuild as a tuple."""
    return isinstance(value, torch.Size)
