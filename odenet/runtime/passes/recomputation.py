"""All steps of a flow as one autograd function that stores no activations.

The forward pass keeps the first and the last state. The backward pass undoes one step after the
other (Gomez et al. 2017, Algorithm 1). That needs every right-hand side once more, and so do the
vector-Jacobian products: one evaluation with gradients on gives both. In mode "checkpoint", and for
schemes without an inverse, each step is instead run again from a state that was kept.
"""

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from odenet.runtime.passes.backward import BackwardPass
from odenet.runtime.passes.fixed_point import FixedPointRegisters
from odenet.runtime.passes.forward import ForwardPass
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Registers
from odenet.runtime.passes.step_nodes import FirstOrder, StepChain, will_execute, with_own_node
from odenet.runtime.passes.steps import retreat
from odenet.runtime.passes.torch_settings import deterministic
from odenet.runtime.repetition.recorder import RandomStates, random_states_preserved
from odenet.runtime.repetition.refusals import refuse_in_backward, refuse_transforms, refuse_types
from odenet.runtime.repetition.saved_tensors import SavedTensors


def run_recomputed_steps(
    flow: Stepwise,
    state: State,
    steps: range,
    undo: bool = True,
    saved_tensors: SavedTensors | None = None,
) -> State:
    """Runs steps of a flow, differentiable, with no activations stored.

    Args:
        flow: the flow, whose ``context`` is set; it is reversible if its steps are to be undone.
        state: the state before the first of the steps.
        steps: the steps to run.
        undo: rebuild states by undoing steps; otherwise one state per step is kept.
        saved_tensors: counts what autograd would store of these steps, if given.

    Returns:
        The state after the last step.
    """
    # Under a user's torch.compile the graph breaks here once: a traced one would grow with depth.
    if torch.compiler.is_compiling():
        return torch.compiler.disable(_run_eagerly)(flow, state, steps, undo, saved_tensors)  # pyright: ignore[reportCallIssue]
    return _run_eagerly(flow, state, steps, undo, saved_tensors)


def _run_eagerly(
    flow: Stepwise, state: State, steps: range, undo: bool, saved_tensors: SavedTensors | None
) -> State:
    refuse_transforms()
    refuse_types(flow, state)
    forward = ForwardPass(flow, steps, state, undo, saved_tensors)
    if flow.slices is not None and not forward.weights.fsdp_units:
        chain = StepChain(forward, state, flow.context.tensors, flow.slices)
        return _last_state(flow, forward, chain.apply())
    # Views of the weights have nodes, by which the engine tells which gradients are wanted.
    weights = [with_own_node(weight) for weight in forward.weights.tensors]
    tensors = (*state, *weights, *flow.context.tensors)
    if forward.weights.fsdp_units and not any(t.requires_grad for t in tensors):
        # The parameters of FSDP2 units are not inputs, but this backward has to run for them.
        state = (state[0].detach().requires_grad_(), *state[1:])
        tensors = (*state, *weights, *flow.context.tensors)
    if forward.weights.fsdp_units:
        _refuse_overlap(forward)
    return _last_state(flow, forward, RecomputedSteps.apply(forward, *tensors))


def _last_state(flow: Stepwise, forward: ForwardPass, results: tuple[Tensor, ...]) -> State:
    """The last state among the results of a pass; the flow collects the further results."""
    slots = len(flow.slots)
    flow.collect(dict(zip(forward.further_names, results[slots:], strict=True)))
    return results[:slots]


# FSDP2 unit -> the passes over it that have a graph.
_passes_with_graph: WeakKeyDictionary[nn.Module, WeakSet[ForwardPass]] = WeakKeyDictionary()


def _refuse_overlap(forward: ForwardPass) -> None:
    """Refuses two passes at once: FSDP2 ends a unit's backward with the first pass back over it.

    Raises:
        RuntimeError: if a pass over the same units still waits for its backward.
    """
    passes = _passes_with_graph.setdefault(forward.weights.fsdp_units[0], WeakSet())
    if any(not other.was_differentiated for other in passes):
        raise RuntimeError(
            "a flow whose blocks are units of FSDP2 is called once per backward pass, and this one "
            "is called again before the backward of its last call: shard the flow as a whole, "
            'fully_shard(flow), or set flow.memory = "stored"'
        )
    passes.add(forward)


@torch.no_grad()
def run_exact_steps(flow: Stepwise, state: FixedPointRegisters) -> FixedPointRegisters:
    """Runs all steps in exact arithmetic; returns the last state."""
    forward = ForwardPass(flow, range(flow.steps), state, undo=True)
    forward.compiled = None  # a compiled step computes in floating point
    state = state.copy()
    with deterministic():
        for step in forward.steps:
            forward.advance(state, step, forward.weights.tensors)
    state.verify()
    return state


@torch.no_grad()
def undo_exact_steps(flow: Stepwise, state: FixedPointRegisters) -> FixedPointRegisters:
    """Undoes all steps in exact arithmetic; returns the first state, bit for bit what it was."""
    state = state.copy()
    with deterministic():
        undo_steps(flow, state, range(flow.steps))
    state.verify()
    return state


@torch.no_grad()
def undo_steps(flow: Stepwise, state: Registers, steps: range) -> None:
    """Undoes steps in place, on replicas of modules.

    Args:
        flow: a reversible flow.
        state: the state after the steps; becomes the one before them.
        steps: the steps to undo.

    Raises:
        RuntimeError: if a right-hand side draws random numbers, since the steps drew others.
    """
    forward = ForwardPass(flow, steps, state, undo=True)
    with random_states_preserved(state.device) as states_before:
        for step in reversed(steps):
            state.rename(forward.relabel_back)
            shears = forward.shears(step, forward.weights.tensors)
            retreat(shears, state, partial(forward.evaluate_on_replicas, state, step))
        if flow.stochastic and not states_before.equals(RandomStates.read(state.device)):
            raise RuntimeError(
                f"{type(flow).__name__} draws random numbers in training, and other numbers do not "
                "undo its steps: call eval() first"
            )


class RecomputedSteps(FirstOrder):
    """Steps of a flow as one node of autograd's graph; see the docstring of the module."""

    @staticmethod
    def forward(forward_pass: ForwardPass, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Runs the steps without a graph; returns the last state and sums of further results."""
        slots, weights = len(forward_pass.flow.slots), len(forward_pass.weights.tensors)
        # Detached, since autograd cannot save an input that is also an output.
        state = tuple(tensor.detach() for tensor in tensors[:slots])
        return forward_pass.run(state, tensors[slots : slots + weights], tensors[slots + weights :])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        """Saves the kept states, the weights and the context."""
        ctx.forward_pass = forward_pass = inputs[0]
        ctx.set_materialize_grads(False)
        preceding = 1 + len(forward_pass.flow.slots) + len(forward_pass.weights.tensors)
        ctx.save_for_backward(*forward_pass.tensors_to_save(inputs[preceding:]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Runs the backward pass over the steps."""
        refuse_in_backward(gradients)
        n = len(ctx.forward_pass.flow.slots)  # the state comes first among the tensors
        pairs = zip(ctx.needs_input_grad[1:], ctx.next_functions, strict=False)
        wanted = [needed and (node is None or will_execute(node)) for needed, (node, _) in pairs]
        ctx.forward_pass.was_differentiated = True
        required = ctx.needs_input_grad[1 + n :]
        back = BackwardPass(ctx.forward_pass, ctx.saved_tensors, gradients, required, wanted[n:])
        return (None, *back.run())
