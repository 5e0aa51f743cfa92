"""How a flow holds what its backward needs: stored, recomputed per step, or within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from odenet.runtime.ambient import Autocast, RandomTape, frozen_statistics
from odenet.runtime.chain import reversible_steps

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow

State = tuple[Tensor, ...]
Memory = Literal["reversible", "stored", "checkpoint"] | int


def all_steps(flow: Flow, state: State, memory: Memory) -> State:
    """All steps of a flow; plain tensor code where nothing is to be differentiated."""
    differentiable = any(t.requires_grad for t in (*state, *flow.parameters()))
    if not (differentiable and torch.is_grad_enabled()) or torch.compiler.is_exporting():
        return plain_steps(flow, state, range(flow.steps))
    if memory == "stored":
        return plain_steps(flow, state, range(flow.steps))
    if memory == "checkpoint":
        return checkpointed_steps(flow, state)
    if memory == "reversible":
        return reversible_steps(flow, state)
    return budgeted_steps(flow, state, memory)


def plain_steps(flow: Flow, state: State, steps: range) -> State:
    """Steps as plain tensor code, which autograd differentiates by storing activations."""
    with _unbound(flow) if torch.is_grad_enabled() else nullcontext():
        for step in steps:
            state = flow.advance(state, step)
    return state


def checkpointed_steps(flow: Flow, state: State) -> State:
    """All steps, each stored by its first state and run again in the backward."""
    with _unbound(flow):
        for step in range(flow.steps):
            state = _again(flow, flow.stochastic, flow.advance, state, step)
    return state


def recomputed(module: nn.Module, input: Tensor) -> Tensor:
    """A module of which the backward stores the input, and runs it again; norms count it once."""
    return _again(module, True, module, input)


def _again(module: nn.Module, stochastic: bool, function: Callable, *inputs: Any) -> Any:
    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), frozen_statistics(module)

    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=stochastic,
        context_fn=contexts,
    )


def budgeted_steps(flow: Flow, state: State, budget: int) -> State:
    """As many steps with stored activations as fit into a budget of bytes, the rest reversed."""
    stored = min(flow.steps, budget // max(1, bytes_per_step(flow, state)))
    state = plain_steps(flow, state, range(stored))
    return reversible_steps(flow, state, stored) if stored < flow.steps else state


def bytes_per_step(flow: Flow, state: State) -> int:
    """What autograd would store of one step, in bytes; runs step 0 once to see.

    Neither the random streams nor batch statistics notice. The answer for a kind of input is kept.
    """
    key = tuple((t.shape, t.dtype, t.device, t.requires_grad) for t in state)
    key = (*key, flow.training, Autocast.here(state[0].device))
    if key not in flow._step_bytes:
        own = {p.untyped_storage().data_ptr() for p in flow.parameters()}
        stored: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            place = tensor.untyped_storage().data_ptr()
            if place not in own:
                stored[place] = max(stored.get(place, 0), tensor.nbytes)
            return tensor

        with RandomTape(state[0].device).preserved(), frozen_statistics(flow):
            with saved_tensors_hooks(pack, lambda tensor: tensor):
                end = flow.advance(state, 0)  # kept alive, so that no address is met twice
        del end
        flow._step_bytes[key] = sum(stored.values())
    return flow._step_bytes[key]


@contextmanager
def _unbound(flow: Flow) -> Iterator[None]:
    """Stacked parameters as tuples of their slices, made by one ``unbind`` each.

    Autograd gives every indexing of a stack a gradient as large as the whole of it, so that N steps
    would cost N^2; ``unbind`` gathers the slices once. An entry of the instance hides a parameter.
    """
    names = (
        () if torch.compiler.is_compiling() else tuple(dict(flow.named_parameters(recurse=False)))
    )
    flow.__dict__.update({name: getattr(flow, name).unbind() for name in names})
    try:
        yield
    finally:
        for name in names:
            del flow.__dict__[name]
