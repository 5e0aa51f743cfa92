"""Blocks that are steps of a flow, and are called by the model's own code, one by one.

A model calls its blocks one after the other, whereas a flow takes all of its steps at once. So
the first block of a flow returns a placeholder, each block after it adds its arguments to the
placeholder, and the last one runs the flow. Code between the blocks may pass a placeholder on;
anything else that it does with one is refused.
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
    blocks_changed_message,
    expecting,
    shallow_copy,
    split_first_argument,
    within_flow,
)
from odenet.conversion.placeholders import (
    Call,
    DeferredSteps,
    ExpectedResult,
    Placeholder,
    ResultStructure,
    fill_side_outputs,
)
from odenet.conversion.side_outputs import (
    SideOutputs,
    call_keeping_buffers,
    independent_outputs,
    isolated_random_streams,
)
from odenet.runtime.repetition.recorder import evaluation_mode

if TYPE_CHECKING:
    from odenet.conversion.module_flow import ModuleFlow


class Step:
    """Mixin before the class of a block: a call of it is deferred, unless its flow makes it.

    Attributes:
        block_class: the original class of the block.
        flow_of_step: the flow that it is a step of.
        index_of_step: the index of the step, from 0.

    `was_deferred` is set in its `__dict__` by the first call that is deferred.
    """

    block_class: type[nn.Module]
    flow_of_step: ModuleFlow
    index_of_step: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The block's value within its flow; otherwise a placeholder, or the value of the flow."""
        if torch.compiler.is_compiling():
            call = torch.compiler.disable(type(self).call_uncompiled)
            return call(self, *args, **kwargs)
        return self.call_uncompiled(*args, **kwargs)

    def call_uncompiled(self, *args: Any, **kwargs: Any) -> Any:
        """As `__call__`, which excludes this from torch.compile."""
        attributes = self.__dict__
        in_backward_pass = torch._C._current_graph_task_id() != -1
        # In the backward pass a checkpoint within a flow evaluates the block again, and a
        # checkpoint around blocks defers them again: such blocks have been called by the model
        # itself, and so were deferred in the forward pass.
        is_recomputed = in_backward_pass and not attributes.get("was_deferred")
        if "flow_of_step" not in attributes or within_flow() or is_recomputed:
            return self.evaluate_block(*args, **kwargs)
        attributes["was_deferred"] = True
        return _defer(self, args, kwargs)

    def evaluate_block(self, *args: Any, **kwargs: Any) -> Any:
        """Call the block itself."""
        return super().__call__(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle and copy, which cannot find a class that is made at run time."""
        return _new_instance, (self.block_class,), self.__dict__


@cache
def step_class(block_class: type[nn.Module]) -> type[nn.Module]:
    """The class of steps for a class of blocks; it has the same name."""
    members: dict[str, Any] = {
        "block_class": block_class,
        "__module__": block_class.__module__,
        "__qualname__": block_class.__qualname__,
        "__doc__": block_class.__doc__,
    }
    if hasattr(block_class, "gradient_checkpointing"):
        # Ignore transformers' switch: steps store nothing, so checkpoints would only cost time.
        members["gradient_checkpointing"] = property(lambda step: False, lambda step, value: None)
    return type(block_class.__name__, (Step, block_class), members)


def _new_instance(block_class: type[nn.Module]) -> nn.Module:
    return object.__new__(step_class(block_class))


def make_step(block: nn.Module) -> nn.Module:
    """A copy of a block that can be a step; it shares parameters, buffers and children."""
    block_class = type(block)
    original = block_class.block_class if issubclass(block_class, Step) else block_class
    step = shallow_copy(block, step_class(original))
    for name, hooks in block.__dict__.items():
        if "hooks" in name and isinstance(hooks, dict):
            step.__dict__[name] = hooks.copy()
    for name in ("flow_of_step", "index_of_step", "was_deferred"):
        step.__dict__.pop(name, None)
    return step


def assign_to_flow(block: nn.Module, flow: ModuleFlow, index: int) -> None:
    """Tell a step which flow it belongs to, and its index there."""
    block.__dict__.update(flow_of_step=flow, index_of_step=index)  # not as a submodule


def refuse_lone_call(block: object) -> NoReturn:
    """Raise RuntimeError: a block that is a step was called outside of its sequence."""
    raise RuntimeError(
        f"this {type(block).__name__} is a step of a flow now, and on its own it would compute "
        "the original network: call the stage that it belongs to, or convert the model with "
        "the part left out; the block of the original model can be called. If layers are left out "
        "at random in training (layerdrop), turn that off with config.layerdrop = 0"
    )


def _refuse_skipped(step: Any, calls_so_far: int) -> NoReturn:
    raise RuntimeError(
        f"block {step.index_of_step + 1} of a flow is called after block {calls_so_far}, and those "
        "between them are not: the steps of a flow are all taken, in their order. Turn "
        "off what leaves layers out at random (config.layerdrop = 0), or leave these blocks out of "
        "the conversion"
    )


def _defer(step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a block: a placeholder, or after the last block of a flow the flow's output."""
    flow, index = step.flow_of_step, step.index_of_step
    try:
        x, args, kwargs = split_first_argument(step, args, kwargs)
    except LookupError:
        refuse_lone_call(step)
    args, kwargs = fill_side_outputs((args, kwargs))
    _refuse_caches(step, args, kwargs)
    if index == 0:
        if not isinstance(x, Tensor):
            refuse_lone_call(step)
        deferred = DeferredSteps(flow, x, (), torch.is_grad_enabled(), _autocast(x))
    else:
        deferred = x.steps if isinstance(x, Placeholder) else None
        if deferred is None or deferred.flow is not flow:
            refuse_lone_call(step)
        if len(deferred.calls) != index:
            _refuse_skipped(step, len(deferred.calls))
        if deferred.autocast != _autocast(deferred.start):
            raise RuntimeError(
                "autocast has changed between the call of the first block of a flow and that of "
                f"block {index + 1}: all steps of a flow are taken with one setting"
            )
    leaves, tree = pytree.tree_flatten((args, kwargs))
    structure = _result_structure(step, flow, deferred.start, (args, kwargs), leaves, str(tree))
    side_outputs = SideOutputs(step, deferred.start, args, kwargs)
    wrap = partial(structure.wrap, side_outputs=side_outputs, leaves=leaves)
    calls = (*deferred.calls, (args, kwargs))
    expected = (*deferred.expected, ExpectedResult(structure, side_outputs))
    if len(calls) < flow.steps:
        deferred = replace(deferred, calls=calls, expected=expected)
        return wrap(Placeholder.create(deferred, deferred.start))
    if deferred.differentiable != torch.is_grad_enabled():
        raise RuntimeError(
            "gradients were on where the first block of a flow was called, and are off at the "
            "last: checkpoints around its blocks need use_reentrant=False"
        )
    with expecting(flow, expected):
        value = _run_flow(flow, deferred.start, calls)
    if any(result.side_outputs.is_changed_in_place for result in expected):
        raise RuntimeError(
            "something changes in place what a block of this flow gave beside its value, and the "
            "steps of a flow are taken at once: leave the blocks out of the conversion"
        )
    return wrap(value)


def _autocast(x: Tensor) -> tuple[bool, torch.dtype]:
    """Whether autocast is enabled on the device of a tensor, and its dtype."""
    device_type = x.device.type
    if not torch.amp.is_autocast_available(device_type):  # as on "meta"
        return False, x.dtype
    return torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)


def _run_flow(flow: ModuleFlow, start: Tensor, calls: tuple[Call, ...]) -> Tensor:
    """The output of a flow, given the arguments of the calls of its blocks."""
    blocks = flow.blocks
    if blocks is not None and len(blocks.modules()) != len(calls):
        raise RuntimeError(blocks_changed_message(blocks.holder))
    args, kwargs = calls[0]
    if all(_same_arguments(call, calls[0]) for call in calls[1:]):
        return flow(start, *args, **kwargs)
    return flow.flow_of_calls(start, calls)


def _same_arguments(call: Call, other: Call) -> bool:
    """Whether two calls have identical tensors and equal other arguments."""
    leaves, tree = pytree.tree_flatten(call)
    other_leaves, other_tree = pytree.tree_flatten(other)
    return tree == other_tree and all(
        a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b))
        for a, b in zip(leaves, other_leaves, strict=True)
    )


def _refuse_caches(step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse what a step cannot be given.

    Caches and records of hidden states would be filled twice; a placeholder among the arguments
    after the first one has no values yet.
    """
    block_name = type(step).__name__
    for value in (*args, *kwargs.values()):
        if hasattr(value, "get_seq_length"):  # as every cache of transformers
            raise RuntimeError(
                f"{block_name} is a step of a flow, which takes no cache of keys and values: say "
                "use_cache=False, in model.generate(…, use_cache=False) too"
            )
    leaves, _ = pytree.tree_flatten((args, kwargs))
    for value in leaves:
        if isinstance(value, Placeholder):
            raise RuntimeError(value.refusal_message(block_name))
    capturing: Any = sys.modules.get("transformers.utils.output_capturing")
    active = getattr(capturing, "_active_collector", None)
    records = active.get() if active is not None else None
    if records:
        names = ", ".join(f"output_{name}" for name in records if not name.startswith("_"))
        records.clear()  # it would be found by the next call
        raise RuntimeError(
            f"{block_name} is a step of a flow, whose steps are taken at once: {names} cannot be "
            "recorded; flow.trajectory(x) gives the states"
        )


def _result_structure(
    step: Any, flow: ModuleFlow, x: Tensor, arguments: Call, leaves: list, tree_form: str
) -> ResultStructure:
    """The structure of what a block returns in a call of this form; evaluated once and cached.

    `leaves` and `tree_form` are the pytree leaves of the arguments, and their structure as text.
    """
    args, kwargs = arguments
    flags = (v if v is None or isinstance(v, bool) else type(v) for v in (*args, *kwargs.values()))
    key = (step.block_class, step.index_of_step, *kwargs, *flags)
    cache = flow.result_structures
    structure = cache.get(key) or ResultStructure.infer(_evaluate(step, x, args, kwargs), leaves)
    cache[key] = structure
    if not any(source is not None for source in structure.sources):
        return structure
    # Which side outputs there are may differ with the mode and the arguments.
    key = (*key, step.training, tree_form)
    if key not in cache:
        structure = ResultStructure.infer(_evaluate(step, x, args, kwargs), leaves)
        cache[key] = structure.with_independent(independent_outputs(step, x, args, kwargs))
    return cache[key]


def _evaluate(step: Any, x: Tensor, args: tuple, kwargs: dict) -> Any:
    """The result of a block, without gradients and side effects on its buffers."""
    with isolated_random_streams(x), torch.no_grad(), evaluation_mode(step), WITHIN_FLOW:
        return call_keeping_buffers(step, x, args, kwargs)
