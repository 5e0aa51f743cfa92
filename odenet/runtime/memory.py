"""How a flow holds what its backward needs: stored, recomputed per step, or within a budget."""

from itertools import chain
from typing import Literal, cast

import torch
from torch import Tensor, nn

from odenet.runtime.budget import BudgetShare, as_bytes
from odenet.runtime.learned.constants import all_values
from odenet.runtime.learned.slices import taken_apart
from odenet.runtime.passes.equations import Equations
from odenet.runtime.passes.flow_weights import FlowWeights
from odenet.runtime.passes.memory_format import kernel_order
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.recomputation import recomputed_steps
from odenet.runtime.passes.torch_settings import Autocast, saved_tensors_hooked
from odenet.runtime.passes.volume import one_step
from odenet.runtime.repetition.refusals import refuse_transforms
from odenet.runtime.repetition.replica_pool import ReplicaPools
from odenet.runtime.repetition.saved_tensors import SavedTensors
from odenet.runtime.tracing import refuse_trace

Memory = Literal["reversible", "stored", "checkpoint"] | int


def as_mode(memory: Memory | str) -> Memory:
    """A memory mode as a flow keeps it: a word, or a number of bytes.

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


def all_steps(flow: Equations, state: State, memory: Memory) -> State:
    """All steps of a flow; plain tensor code where nothing is to be differentiated."""
    steps = range(flow.steps)
    tensors = chain(state, flow.context.tensors, flow.parameters())  # which take a while to find
    differentiable = any(t.requires_grad for t in tensors)
    if not (differentiable and torch.is_grad_enabled()) or torch.compiler.is_exporting():
        return plain_steps(flow, state, steps)
    if memory == "stored":
        return plain_steps(flow, state, steps)
    if not torch.compiler.is_compiling():
        refuse_trace(type(flow).__name__)
    if memory in ("reversible", "checkpoint"):
        return recomputed_steps(flow, state, steps, undo=memory == "reversible")
    if torch.compiler.is_compiling():  # as in `recomputed_steps`
        return torch.compiler.disable(budgeted_steps)(flow, state, memory)  # pyright: ignore[reportCallIssue]
    return budgeted_steps(flow, state, memory)


def plain_steps(flow: Stepwise, state: State, steps: range) -> State:
    """Steps as plain tensor code, which autograd differentiates by storing activations.

    Autograd gives every indexing of a stack a gradient as large as the whole of it, so that N steps
    would cost N^2; ``unbind`` gathers the slices once.
    """
    view = flow
    if flow.slices is not None and torch.is_grad_enabled():
        view = flow.view()
        view.__dict__.update(taken_apart(flow, flow.slices))
    elif not torch.compiler.is_compiling():
        view, order = flow.view(), kernel_order(state[0])
        for name, parameter in flow.named_parameters():
            if "." not in name:
                stack = order(parameter)
                view.__dict__[name] = stack.unbind() if torch.is_grad_enabled() else stack
    if view is not flow:
        for name in flow.varying:
            view.__dict__[name] = all_values(getattr(flow, name), flow.steps)
    for step in steps:
        state = one_step(view, state, step)
    return state


def budgeted_steps(flow: Equations, state: State, budget: int) -> State:
    """As many steps with stored activations as fit into a budget of bytes, the rest reversed.

    The last ones are stored: the backward pass is done with them before it needs memory to undo.
    """
    refuse_transforms()
    kind = _kind(flow, state)
    # Hooks may be those of a checkpoint, which calls again and has to find the same tensors saved.
    begun = int(kind not in flow.step_bytes or saved_tensors_hooked())
    if begun:
        state, flow.step_bytes[kind] = _measured(flow, state)
    per_step = max(1, flow.step_bytes[kind])
    if isinstance(budget, BudgetShare):
        budget = budget.of(flow.steps * per_step)
    undone = range(begun, max(begun, flow.steps - budget // per_step))
    if undone:
        state = recomputed_steps(flow, state, undone)
    return plain_steps(flow, state, range(undone.stop, flow.steps))


def _kind(flow: Equations, state: State) -> tuple:
    """What the memory of a step depends on."""
    kinds = tuple((t.shape, t.dtype, t.device) for t in state)
    frozen = tuple(p.requires_grad for p in flow.parameters())
    return (*kinds, frozen, flow.training, Autocast.current(state[0].device))


def _measured(flow: Equations, state: State) -> tuple[State, int]:
    """The state after the first step, which is reversed, and the bytes that autograd stores of one.

    No evaluation is for planning alone: something outside of the modules might notice it.
    """
    if FlowWeights(flow, flow.learned()).units:
        raise ValueError(
            "a budget needs whole parameters, and the blocks of this flow are units of FSDP2: "
            'set flow.memory = "reversible", or shard the flow as a whole'
        )
    saved = SavedTensors(flow.parameters())
    return recomputed_steps(flow, state, range(1), saved=saved), saved.bytes


def recomputed(module: nn.Module, input: Tensor) -> Tensor:
    """A module of which the backward stores the input, and runs it again, on a copy."""
    return recomputed_steps(_OneModule(module), (input,), range(1), undo=False)[0]


class _OneModule(Stepwise):
    """A module as the only step of a flow without an inverse."""

    slots = ("x",)
    steps = 1
    stochastic = True

    def __init__(self, module: nn.Module):
        self.module = nn.ModuleList([module])
        self.collected = {}
        self.replica_pools = ReplicaPools()
        self.named_parameters = module.named_parameters

    def learned(self) -> tuple[str, ...]:
        return ("module",)

    def advance(self, state: State, step: int = 0) -> State:
        return (self.module[step](*state),)
