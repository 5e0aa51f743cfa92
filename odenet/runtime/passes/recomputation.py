"""All steps of a flow as one autograd function that stores no activations.

The forward pass keeps the first state and the last. The backward pass undoes one step after the
other (Gomez et al. 2017, Algorithm 1): that needs every right-hand side once more, and so do the
vector-Jacobian products, so that one evaluation with gradients on gives both. In mode "checkpoint",
and for schemes without an inverse, it begins each step from a state that was kept instead.
"""

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from odenet.runtime.passes.backward import BackwardPass
from odenet.runtime.passes.fixed_point import Fixed
from odenet.runtime.passes.forward import ForwardPass
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Registers
from odenet.runtime.passes.step_nodes import FirstOrder, StepChain, executed, view
from odenet.runtime.passes.steps import retreat
from odenet.runtime.passes.torch_settings import same_bits
from odenet.runtime.repetition.recorder import RandomStates, random_states_preserved
from odenet.runtime.repetition.refusals import refuse_in_backward, refuse_transforms, refuse_types
from odenet.runtime.repetition.saved_tensors import SavedTensors


def recomputed_steps(
    flow: Stepwise, state: State, steps: range, undo: bool = True, saved: SavedTensors | None = None
) -> State:
    """Steps of a flow, differentiable, with no activations stored.

    Args:
        flow: with its context; a reversible one if its steps are to be undone.
        state: its slots before the first of the steps.
        steps: which.
        undo: rebuild states by undoing steps; otherwise one state per step is kept.
        saved: told what autograd would store of these steps.

    Returns:
        The slots after the last step.
    """
    # Within somebody's torch.compile the graph breaks here, once: traced, it would grow with depth.
    if torch.compiler.is_compiling():
        return torch.compiler.disable(_chain)(flow, state, steps, undo, saved)  # pyright: ignore[reportCallIssue]
    return _chain(flow, state, steps, undo, saved)


def _chain(
    flow: Stepwise, state: State, steps: range, undo: bool, saved: SavedTensors | None
) -> State:
    refuse_transforms()
    refuse_types(flow, state)
    forward = ForwardPass(flow, steps, state, undo, saved)
    if flow.slices is not None and not forward.weights.units:
        chain = StepChain(forward, state, flow.context.tensors, flow.slices)
        return _ended(flow, forward, chain.apply())
    # Views of the weights: the engine is asked by their nodes which gradients are wanted.
    weights = [view(weight) for weight in forward.weights.tensors]
    tensors = (*state, *weights, *flow.context.tensors)
    if forward.weights.units and not any(t.requires_grad for t in tensors):
        # Gradients go past autograd's list, and yet the backward has to come by here.
        state = (state[0].detach().requires_grad_(), *state[1:])
        tensors = (*state, *weights, *flow.context.tensors)
    if forward.weights.units:
        _refuse_overlap(forward)
    return _ended(flow, forward, RecomputedSteps.apply(forward, *tensors))


def _ended(flow: Stepwise, forward: ForwardPass, end: tuple[Tensor, ...]) -> State:
    """The last state of what a pass gave; the flow is told of the sums of further results."""
    slots = len(flow.slots)
    flow.collect(dict(zip(forward.further, end[slots:], strict=True)))
    return end[:slots]


# Unit of FSDP2 -> the passes over it that have a graph.
_open: WeakKeyDictionary[nn.Module, WeakSet[ForwardPass]] = WeakKeyDictionary()


def _refuse_overlap(forward: ForwardPass) -> None:
    """FSDP2 ends a unit's backward with the first pass back over it: a second one comes too late.

    Raises:
        RuntimeError: if a pass over the same units still waits for its backward.
    """
    passes = _open.setdefault(forward.weights.units[0], WeakSet())
    if any(not other.spent for other in passes):
        raise RuntimeError(
            "a flow whose blocks are units of FSDP2 is called once per backward pass, and this one "
            "is called again before the backward of its last call: shard the flow as a whole, "
            'fully_shard(flow), or set flow.memory = "stored"'
        )
    passes.add(forward)


@torch.no_grad()
def exact_steps(flow: Stepwise, state: Fixed) -> Fixed:
    """All steps in exact arithmetic."""
    forward = ForwardPass(flow, range(flow.steps), state, undo=True)
    forward.compiled = None
    state = state.copy()
    with same_bits():
        for step in forward.steps:
            forward.advance(state, step, forward.weights.tensors)
    state.verify()
    return state


@torch.no_grad()
def exact_steps_undone(flow: Stepwise, state: Fixed) -> Fixed:
    """All steps in exact arithmetic, undone bit for bit."""
    state = state.copy()
    with same_bits():
        undo_steps(flow, state, range(flow.steps))
    state.verify()
    return state


@torch.no_grad()
def undo_steps(flow: Stepwise, state: Registers, steps: range) -> None:
    """Registers after some steps become those before them; modules do not notice.

    Raises:
        RuntimeError: if a right-hand side draws random numbers, which the steps drew otherwise.
    """
    back = ForwardPass(flow, steps, state, undo=True)
    with random_states_preserved(state.device) as before:
        for step in reversed(steps):
            state.rename(back.undone)
            shears = back.shears(step, back.weights.tensors)
            retreat(shears, state, partial(back.unnoticed, state, step))
        if flow.stochastic and not before.same(RandomStates.read(state.device)):
            raise RuntimeError(
                f"{type(flow).__name__} draws random numbers in training, so that its steps are "
                "not undone by new ones: call eval() first"
            )


class RecomputedSteps(FirstOrder):
    """Differentiates some steps of a flow at once; see the module's text."""

    @staticmethod
    def forward(passed: ForwardPass, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Runs the steps without a graph; gives the last state and the sums of further results."""
        slots, weights = len(passed.flow.slots), len(passed.weights.tensors)
        # Others, since autograd cannot save an input that comes out as it went in.
        state = tuple(tensor.detach() for tensor in tensors[:slots])
        return passed.run(state, tensors[slots : slots + weights], tensors[slots + weights :])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        """Saves the kept states, and weights and context, which nobody may change in between."""
        ctx.passed = passed = inputs[0]
        ctx.set_materialize_grads(False)
        before = 1 + len(passed.flow.slots) + len(passed.weights.tensors)
        ctx.save_for_backward(*passed.saved(inputs[before:]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Goes back over the steps, gathering the gradients on the way."""
        refuse_in_backward(gradients)
        slots = len(ctx.passed.flow.slots)
        wanted = [
            needed and (node is None or executed(node))
            for needed, (node, _) in zip(ctx.needs_input_grad[1:], ctx.next_functions, strict=False)
        ]
        ctx.passed.spent = True
        needed = ctx.needs_input_grad[1 + slots :]
        back = BackwardPass(ctx.passed, ctx.saved_tensors, gradients, needed, wanted[slots:])
        return (None, *back.run())
