"""Blocks that are steps of a flow, called by code that knows nothing of flows.

A model calls its blocks one after the other, whereas a flow takes all of its steps at once. So
the first block of a flow gives a placeholder in place of a value, each block after it adds to the
placeholder what it was called with, and the last one runs the flow. Whatever the code between the
blocks does with a placeholder, other than to hand it on, is refused.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from odenet.conversion.blocks import (
    WITHIN_FLOW,
    assuming,
    changed,
    first_given,
    twin_of,
    within_flow,
)
from odenet.conversion.placeholders import (
    Assumed,
    Call,
    Deferred,
    Placeholder,
    Result,
    with_made,
)
from odenet.conversion.side_outputs import (
    SideOutputs,
    call_keeping_buffers,
    independent_outputs,
    isolated_random_streams,
)
from odenet.runtime.repetition.replay import evaluating

if TYPE_CHECKING:
    from odenet.conversion.module_flow import ModuleFlow


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
    args, kwargs = with_made((args, kwargs))
    _refuse_recorders(step, args, kwargs)
    if index == 0:
        if not isinstance(x, Tensor):
            refuse_alone(step)
        before = Deferred(flow, x, (), torch.is_grad_enabled(), _autocast(x))
    else:
        before = x.steps if isinstance(x, Placeholder) else None
        if before is None or before.flow is not flow:
            refuse_alone(step)
        if len(before.calls) != index:
            _refuse_left_out(step, len(before.calls))
        if before.autocast != _autocast(before.start):
            raise RuntimeError(
                "autocast was another where the first block of a flow was called than it is at "
                f"block {index + 1}: all steps of a flow are taken with one setting"
            )
    leaves, spec = pytree.tree_flatten((args, kwargs))
    result = _learn_result(step, flow, before.start, (args, kwargs), leaves, str(spec))
    made = SideOutputs(step, before.start, args, kwargs)
    around = partial(result.around, made=made, leaves=leaves)
    calls = (*before.calls, (args, kwargs))
    assumed = (*before.assumed, Assumed(result, made))
    if len(calls) < flow.steps:
        steps = replace(before, calls=calls, assumed=assumed)
        return around(Placeholder.of(steps, before.start))
    if before.differentiable != torch.is_grad_enabled():
        raise RuntimeError(
            "gradients were on where the first block of a flow was called, and are off at the "
            "last: checkpoints around its blocks need use_reentrant=False"
        )
    with assuming(flow, assumed):
        value = _run(flow, before.start, calls)
    if any(one.made.changed for one in assumed):
        raise RuntimeError(
            "something changes in place what a block of this flow gave beside its value, and the "
            "steps of a flow are taken at once: leave the blocks out of the conversion"
        )
    return around(value)


def _autocast(x: Tensor) -> tuple[bool, torch.dtype]:
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind):  # as on "meta"
        return False, x.dtype
    return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)


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


def _learn_result(
    step: Any, flow: ModuleFlow, x: Tensor, given: Call, leaves: list, form: str
) -> Result:
    """What such a block gives in such a call: found once, by evaluations that count nothing."""
    args, kwargs = given
    flags = (v if v is None or isinstance(v, bool) else type(v) for v in (*args, *kwargs.values()))
    call = (step.kind, *kwargs, *flags)
    result = flow.gives.get(call) or Result.of(_evaluated(step, x, args, kwargs), leaves)
    flow.gives[call] = result
    if not any(source is not None for source in result.beside):
        return result
    # Layers of a kind may differ in this, and so do places among more or fewer tensors.
    call = (*call, step.index_of_step, step.training, form)
    if call not in flow.gives:
        result = Result.of(_evaluated(step, x, args, kwargs), leaves)
        flow.gives[call] = result.made(independent_outputs(step, x, args, kwargs))
    return flow.gives[call]


def _evaluated(step: Any, x: Tensor, args: tuple, kwargs: dict) -> Any:
    with isolated_random_streams(x), torch.no_grad(), evaluating(step), WITHIN_FLOW:
        return call_keeping_buffers(step, x, args, kwargs)
