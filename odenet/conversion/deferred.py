"""Blocks that are steps of a flow, called by code that knows nothing of flows.

A model calls its blocks one after the other, whereas a flow takes all of its steps at once. So
the first block of a flow gives a placeholder in place of a value, each block after it adds to the
placeholder what it was called with, and the last one runs the flow. Whatever the code between the
blocks does with a placeholder, other than to hand it on, is refused.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from odenet.conversion.borrowed import WITHIN_FLOW, changed, first_given, twin_of, within_flow
from odenet.runtime.replay import evaluating

if TYPE_CHECKING:
    from odenet.conversion.module_flow import ModuleFlow

Call = tuple[tuple[Any, ...], dict[str, Any]]  # what a block was called with, beside the state


@dataclass(frozen=True)
class Deferred:
    """Steps of a flow that were asked for and not taken yet.

    Attributes:
        flow: whose steps.
        start: the input of the first.
        calls: one for each step.
        differentiable: whether gradients were on at the first of them.
    """

    flow: ModuleFlow
    start: Tensor
    calls: tuple[Call, ...]
    differentiable: bool


@dataclass(frozen=True)
class Result:
    """In what a block gives its value.

    Attributes:
        container: a list, or a kind of tuples; None for a tensor alone.
        beside: which of the entries after the first are something.
    """

    container: type | None = None
    beside: tuple[bool, ...] = ()

    @staticmethod
    def of(value: Any) -> Result:
        """As this one is."""
        if not isinstance(value, tuple | list):
            return Result()
        return Result(type(value), tuple(entry is not None for entry in value[1:]))

    def around(self, value: Tensor) -> Any:
        """A value as the block gives it, with placeholders beside it."""
        if self.container is None:
            return value
        others = (Placeholder.of(None, value) if there else None for there in self.beside)
        make: Any = getattr(self.container, "_make", self.container)  # of named tuples
        return make((value, *others))


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
    """

    steps: Deferred | None

    @staticmethod
    def of(steps: Deferred | None, like: Tensor) -> Placeholder:
        """One that looks like a tensor."""
        made: Placeholder = Tensor._make_wrapper_subclass(
            Placeholder, like.shape, dtype=like.dtype, device=like.device
        )
        made.steps = steps
        return made

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in READABLE:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs or {})
        values, _ = pytree.tree_flatten((args, kwargs))
        found = next(value for value in values if isinstance(value, Placeholder))
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


class Step:
    """Comes before the class of a block: outside of flows a call of it is deferred.

    Attributes:
        kind: the class of the block.
        flow_of_step: the flow that it is a step of.
        index_of_step: which one.
    """

    kind: type[nn.Module]
    flow_of_step: ModuleFlow
    index_of_step: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value within a flow; else a placeholder, or the end of the flow."""
        if torch.compiler.is_compiling():
            run = torch.compiler.disable(type(self).called)
            return run(self, *args, **kwargs)
        return self.called(*args, **kwargs)

    def called(self, *args: Any, **kwargs: Any) -> Any:
        """As `__call__`, never compiled."""
        own = self.__dict__
        backward = torch._C._current_graph_task_id() != -1
        # In the backward pass a checkpoint within a flow evaluates the block again, and a
        # checkpoint around blocks defers them again.
        if "flow_of_step" not in own or within_flow() or (backward and not own.get("deferred")):
            return self.value(*args, **kwargs)
        own["deferred"] = True
        return _deferred(self, args, kwargs)

    def value(self, *args: Any, **kwargs: Any) -> Any:
        """What the block computes."""
        return super().__call__(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle and copies: its class is made again."""
        return _bare, (self.kind,), self.__dict__


@cache
def step_class(kind: type[nn.Module]) -> type[nn.Module]:
    """A class of blocks as that of steps, which has its name."""
    members: dict[str, Any] = {
        "kind": kind,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    if hasattr(kind, "gradient_checkpointing"):
        # The switch of transformers: steps store nothing, and checkpoints would add to the work.
        members["gradient_checkpointing"] = property(lambda step: False, lambda step, value: None)
    return type(kind.__name__, (Step, kind), members)


def _bare(kind: type[nn.Module]) -> nn.Module:
    found = step_class(kind)
    return object.__new__(found)


def as_step(block: nn.Module) -> nn.Module:
    """A block around the same parameters, buffers and parts, that can be a step of a flow."""
    kind = type(block)
    twin = twin_of(block, step_class(kind.kind if issubclass(kind, Step) else kind))
    for name, hooks in block.__dict__.items():
        if "hooks" in name and isinstance(hooks, dict):
            twin.__dict__[name] = hooks.copy()
    for name in ("flow_of_step", "index_of_step", "deferred"):
        twin.__dict__.pop(name, None)
    return twin


def assign(block: nn.Module, flow: ModuleFlow, index: int) -> None:
    """Tells a step which one of which flow it is."""
    block.__dict__.update(flow_of_step=flow, index_of_step=index)  # without registering the flow


def refuse_alone(block: object) -> NoReturn:
    """Raise: a block that is a step was called out of turn."""
    raise RuntimeError(
        f"this {type(block).__name__} is a step of a flow now, and on its own it would compute "
        "the original network: call the stage that it belongs to, or convert the model with "
        "the part left out; the block of the original model can be called. Layers that are left "
        "out at random while training (layerdrop) are so no more with config.layerdrop = 0"
    )


def _refuse_left_out(step: Any, done: int) -> NoReturn:
    raise RuntimeError(
        f"block {step.index_of_step + 1} of a flow is called after block {done}, and those between "
        "them are not: the steps of a flow are all taken, in their order. Turn off what leaves "
        "layers out at random (config.layerdrop = 0), or leave these blocks out of the conversion"
    )


def _deferred(step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    flow, index = step.flow_of_step, step.index_of_step
    try:
        x, args, kwargs = first_given(step, args, kwargs)
    except LookupError:
        refuse_alone(step)
    _refuse_recorders(step, args, kwargs)
    if index == 0:
        if not isinstance(x, Tensor):
            refuse_alone(step)
        before = Deferred(flow, x, (), torch.is_grad_enabled())
    else:
        before = x.steps if isinstance(x, Placeholder) else None
        if before is None or before.flow is not flow:
            refuse_alone(step)
        if len(before.calls) != index:
            _refuse_left_out(step, len(before.calls))
    result = _learn_result(step, flow, before.start, args, kwargs)
    calls = (*before.calls, (args, kwargs))
    if len(calls) < flow.steps:
        steps = Deferred(flow, before.start, calls, before.differentiable)
        return result.around(Placeholder.of(steps, before.start))
    if before.differentiable != torch.is_grad_enabled():
        raise RuntimeError(
            "gradients were on where the first block of a flow was called, and are off at the "
            "last: checkpoints around its blocks need use_reentrant=False"
        )
    return result.around(_run(flow, before.start, calls))


def _run(flow: ModuleFlow, start: Tensor, calls: tuple[Call, ...]) -> Tensor:
    blocks = flow.blocks
    if blocks is not None and len(blocks.read()) != len(calls):
        raise RuntimeError(changed(blocks.holder))
    args, kwargs = calls[0]
    if all(_same(call, calls[0]) for call in calls[1:]):
        return flow(start, *args, **kwargs)
    return flow.with_calls(start, calls)


def _same(call: Call, other: Call) -> bool:
    (leaves, spec), (others, as_other) = pytree.tree_flatten(call), pytree.tree_flatten(other)
    return spec == as_other and all(
        a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b))
        for a, b in zip(leaves, others, strict=True)
    )


def _refuse_recorders(step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse what a step that is taken again cannot fill: caches, records of hidden states."""
    kind = type(step).__name__
    for value in (*args, *kwargs.values()):
        if hasattr(value, "get_seq_length"):  # as every cache of transformers
            raise RuntimeError(
                f"{kind} is a step of a flow, which takes no cache of keys and values: say "
                "use_cache=False, in model.generate(…, use_cache=False) too"
            )
    others, _ = pytree.tree_flatten((args, kwargs))
    for value in others:
        if isinstance(value, Placeholder):
            raise RuntimeError(value.refusal(kind))
    capturing: Any = sys.modules.get("transformers.utils.output_capturing")
    active = getattr(capturing, "_active_collector", None)
    recorded = active.get() if active is not None else None
    if recorded:
        wanted = ", ".join(f"output_{name}" for name in recorded if not name.startswith("_"))
        recorded.clear()  # it would be found by the next call
        raise RuntimeError(
            f"{kind} is a step of a flow, whose steps are taken at once: {wanted} cannot be "
            "recorded; flow.trajectory(x) gives the states"
        )


def _learn_result(step: Any, flow: ModuleFlow, x: Tensor, args: tuple, kwargs: dict) -> Result:
    """What such a block gives in such a call: found once, by an evaluation that counts nothing."""
    flags = (v if v is None or isinstance(v, bool) else type(v) for v in (*args, *kwargs.values()))
    call = (step.kind, *kwargs, *flags)
    if call not in flow.gives:
        cuda = [x.device] if x.is_cuda else []
        with torch.random.fork_rng(cuda), torch.no_grad(), evaluating(step), WITHIN_FLOW:
            flow.gives[call] = Result.of(step(x, *args, **kwargs))
    return flow.gives[call]
