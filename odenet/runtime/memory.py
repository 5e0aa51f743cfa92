"""Runs the steps of a flow in one of its memory modes: stored, recomputed, or within a budget."""

from itertools import chain
from typing import Literal, cast

import torch
from torch import Tensor, nn

from odenet.runtime.budget_share import BudgetShare, as_bytes
from odenet.runtime.learned.constants import step_values
from odenet.runtime.learned.slices import sliced_attributes
from odenet.runtime.passes.equations import Equations
from odenet.runtime.passes.flow_weights import FlowWeights
from odenet.runtime.passes.memory_format import kernel_reordering
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.recomputation import run_recomputed_steps
from odenet.runtime.passes.torch_settings import Autocast, has_saved_tensors_hooks
from odenet.runtime.passes.volume import run_step
from odenet.runtime.repetition.refusals import refuse_transforms
from odenet.runtime.repetition.replica_pool import ReplicaPools
from odenet.runtime.repetition.saved_tensors import SavedTensors
from odenet.runtime.tracing import refuse_trace

Memory = Literal["reversible", "stored", "checkpoint"] | int


def parse_memory(memory: Memory | str) -> Memory:
    """A memory mode from what a user gives: a word, or a budget as a number of bytes.

    Raises:
        ValueError: if it is neither.
    """
    if memory in ("reversible", "stored", "checkpoint") or isinstance(memory, BudgetShare):
        return cast(Memory, memory)
    try:
        return as_bytes(memory)
    except ValueError:
        raise ValueError(
            'memory is "reversible", "stored", "checkpoint" or a number of bytes, as in '
            f'"2GB", not {memory!r}'
        ) from None


def run_all_steps(flow: Equations, state: State, memory: Memory) -> State:
    """Runs all steps in a memory mode, or as plain tensor code if no gradient is needed."""
    steps = range(flow.steps)
    tensors = chain(state, flow.context.tensors, flow.parameters())  # lazily: listing takes time
    differentiable = any(t.requires_grad for t in tensors)
    if not (differentiable and torch.is_grad_enabled()) or torch.compiler.is_exporting():
        return run_plain_steps(flow, state, steps)
    if memory == "stored":
        return run_plain_steps(flow, state, steps)
    if not torch.compiler.is_compiling():
        refuse_trace(type(flow).__name__)
    if memory in ("reversible", "checkpoint"):
        return run_recomputed_steps(flow, state, steps, undo=memory == "reversible")
    if torch.compiler.is_compiling():  # as in `run_recomputed_steps`
        return torch.compiler.disable(run_budgeted_steps)(flow, state, memory)  # pyright: ignore[reportCallIssue]
    return run_budgeted_steps(flow, state, memory)


def run_plain_steps(flow: Stepwise, state: State, steps: range) -> State:
    """Runs steps as plain tensor code, which autograd differentiates by storing activations.

    In autograd the gradient of one index into a stack is as large as the whole stack, so that N
    steps would cost N^2; ``unbind`` takes all slices at once.
    """
    flow_copy = flow
    if flow.slices is not None and torch.is_grad_enabled():
        flow_copy = flow.shallow_copy()
        flow_copy.__dict__.update(sliced_attributes(flow, flow.slices))
    elif not torch.compiler.is_compiling():
        flow_copy, reorder = flow.shallow_copy(), kernel_reordering(state[0])
        for name, parameter in flow.named_parameters():
            if "." not in name:
                stack = reorder(parameter)
                flow_copy.__dict__[name] = stack.unbind() if torch.is_grad_enabled() else stack
    if flow_copy is not flow:
        for name in flow.varying:
            flow_copy.__dict__[name] = step_values(getattr(flow, name), flow.steps)
    for step in steps:
        state = run_step(flow_copy, state, step)
    return state


def run_budgeted_steps(flow: Equations, state: State, budget: int) -> State:
    """Runs all steps, with the activations of the last ones stored, as far as a budget allows.

    The backward pass has freed these before it needs memory to undo the other steps.

    Args:
        flow: a reversible flow.
        state: the state before the first step.
        budget: bytes for stored activations.
    """
    refuse_transforms()
    key = _memory_key(flow, state)
    # Within `checkpoint` the step is measured again, since both calls have to save the same.
    steps_done = int(key not in flow.step_bytes or has_saved_tensors_hooks())
    if steps_done:
        state, flow.step_bytes[key] = _run_first_step(flow, state)
    bytes_per_step = max(1, flow.step_bytes[key])
    if isinstance(budget, BudgetShare):
        budget = budget.for_need(flow.steps * bytes_per_step)
    reversible_steps = range(steps_done, max(steps_done, flow.steps - budget // bytes_per_step))
    if reversible_steps:
        state = run_recomputed_steps(flow, state, reversible_steps)
    return run_plain_steps(flow, state, range(reversible_steps.stop, flow.steps))


def _memory_key(flow: Equations, state: State) -> tuple:
    """The properties that the stored bytes of a step depend on."""
    tensor_types = tuple((t.shape, t.dtype, t.device) for t in state)
    requires_grad = tuple(p.requires_grad for p in flow.parameters())
    return (*tensor_types, requires_grad, flow.training, Autocast.current(state[0].device))


def _run_first_step(flow: Equations, state: State) -> tuple[State, int]:
    """Runs the first step in mode "reversible", and measures what autograd would store of it.

    The step is not run a second time for planning, which could have side effects.

    Returns:
        The state after the step, and the number of bytes.
    """
    if FlowWeights(flow, flow.learned_names()).fsdp_units:
        raise ValueError(
            "a budget needs whole parameters, and the blocks of this flow are units of FSDP2: "
            'set flow.memory = "reversible", or shard the flow as a whole'
        )
    saved = SavedTensors(flow.parameters())
    return run_recomputed_steps(flow, state, range(1), saved_tensors=saved), saved.bytes


def run_checkpointed(module: nn.Module, input: Tensor) -> Tensor:
    """The output of a module whose backward pass stores its input only, and runs it again."""
    return run_recomputed_steps(_ModuleAsFlow(module), (input,), range(1), undo=False)[0]


class _ModuleAsFlow(Stepwise):
    """A module as the single step of a flow without an inverse."""

    slots = ("x",)
    steps = 1
    stochastic = True

    def __init__(self, module: nn.Module):
        self.module = nn.ModuleList([module])
        self.collected = {}
        self.replica_pools = ReplicaPools()
        self.named_parameters = module.named_parameters

    def learned_names(self) -> tuple[str, ...]:
        return ("module",)

    def advance(self, state: State, step: int = 0) -> State:
        return (self.module[step](*state),)
