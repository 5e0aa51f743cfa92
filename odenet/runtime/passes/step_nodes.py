"""The steps of a flow as a chain of nodes in autograd's graph, one for each step.

The passes are the same as in `recomputation`. What differs is when the gradient of a weight is
handed over: with the node of the first step that reads it, which the backward pass undoes last.
Autograd's engine, which knows all uses of a weight, then adds what other layers contribute, and
knows when the gradient is complete. No step that remains to be undone reads the weight, so that an
optimizer may change it at once.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from odenet.runtime.learned.slices import Slices
from odenet.runtime.passes.backward import BackwardPass
from odenet.runtime.passes.flow_weights import WeightPart
from odenet.runtime.passes.forward import ForwardPass
from odenet.runtime.passes.protocol import State
from odenet.runtime.repetition.refusals import refuse, refuse_in_backward


class StepChain:
    """The nodes of a forward pass, and the backward pass that they share.

    Args:
        forward_pass: the forward pass, which `apply` runs.
        state: the state before its steps.
        context: the tensors of the further inputs.
        slices: the slices of stacked parameters (one tensor for all steps) that get gradients of
            their own.

    Attributes:
        sliced: positions, among the weights of the pass, of the parameters that have such slices.
        first_read: step -> the weights, or slices of weights, that no step before it reads.
        unread: positions of the weights that no step reads.
        slices_read: the slices that steps read; autograd watches them for changes.
        forward_inputs: state, weights and context for the forward pass; None once it has run.
    """

    def __init__(
        self, forward_pass: ForwardPass, state: State, context: tuple[Tensor, ...], slices: Slices
    ):
        weights = forward_pass.weights.tensors
        self.forward_pass = forward_pass
        self.state: State = state
        self.context = context
        self._slices_of = {position: slices.get(tensor) for position, tensor in enumerate(weights)}
        self.sliced = {position for position, found in self._slices_of.items() if found is not None}
        self.first_read = forward_pass.weights.first_read(forward_pass.steps, self.sliced)
        parts = [part for parts in self.first_read.values() for part in parts]
        self.unread = set(range(len(weights))) - {part.position for part in parts}
        self.slices_read = [self._tensor(part) for part in parts if part.slice is not None]
        self._grad_required = [tensor.requires_grad for tensor in (*weights, *context)]
        self._context_nodes = [_node(tensor) for tensor in context]
        weight_views = [with_own_node(weight) for weight in weights]

        self.forward_inputs: tuple[State, list[Tensor], tuple[Tensor, ...]] | None
        self.forward_inputs = tuple(t.detach() for t in state), weight_views, context
        self.backward_pass: BackwardPass | None = None
        self._nodes: dict[WeightPart, Any] = {}

    def apply(self) -> tuple[Tensor, ...]:
        """Runs the steps; returns the last state and the sums of further results."""
        # Each node hands a token to the next. It requires a gradient, so that the backward pass
        # runs over all steps, whichever of their inputs require one.
        token: Any = torch.empty((), device=self.state[0].device, requires_grad=True)
        for step in self.forward_pass.steps:
            inputs = (*self.state, *self.context) if step == self.forward_pass.steps.start else ()
            # Views have nodes, by which the engine tells which gradients are wanted. The engine
            # continues with the youngest node, so the views of a step are made after the node of
            # the step before: gradients are then complete before the next step is undone.
            views = {part: with_own_node(self._tensor(part)) for part in self.first_read[step]}
            self._nodes |= {part: _node(tensor) for part, tensor in views.items()}
            token = _StepNode.apply(self, step, token, *inputs, *views.values())
        self.forward_inputs, self.state, self.context = None, (), ()  # autograd holds the tensors
        return token

    def begin(self, saved: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...]) -> None:
        """Begins a backward pass.

        Args:
            saved: the tensors that the forward pass saved.
            gradients: the gradients with respect to the results of `apply`.
        """
        weights = self.forward_pass.weights.tensors
        saved_by_pass = saved[: len(saved) - len(self.slices_read)]
        wanted_by_engine: list[bool] = [False] * len(weights)
        for part, node in self._nodes.items():
            wanted_by_engine[part.position] |= will_execute(node)
        wanted_by_engine += map(will_execute, self._context_nodes)
        required = self._grad_required
        wanted = [w and r for w, r in zip(wanted_by_engine, required, strict=True)]
        self.backward_pass = BackwardPass(
            self.forward_pass, saved_by_pass, gradients, required, wanted, self.sliced
        )

    def undo(self, step: int) -> tuple[Tensor | None, ...]:
        """Undoes a step; returns the gradients with respect to the inputs of its node."""
        back = self.backward_pass
        assert back is not None, "the node of the last step has called `begin`"
        back.undo(step)
        first_gradients: tuple[Tensor | None, ...] = ()
        if step == self.forward_pass.steps.start:
            self.backward_pass, first_gradients = None, back.finish()
        return (*first_gradients, *(back.take(part) for part in self.first_read[step]))

    def _tensor(self, part: WeightPart) -> Tensor:
        """The weight, or the slice of a weight."""
        if part.slice is None:
            return self.forward_pass.weights.tensors[part.position]
        return (self._slices_of[part.position] or [])[part.slice]


class FirstOrder(torch.autograd.Function):
    """An autograd function with a backward pass, and without forward-mode derivatives."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> NoReturn:
        """Refuses forward-mode derivatives."""
        refuse("differentiated in forward mode")


class _StepNode(FirstOrder):
    """One step in autograd's graph; the node of the last step runs and saves all of them."""

    @staticmethod
    def forward(chain: StepChain, step: int, token: Tensor, *tensors: Tensor) -> Any:
        """Runs all steps without a graph if this is the last one; else hands on a token."""
        if step + 1 < chain.forward_pass.steps.stop:
            return torch.empty_like(token)
        assert chain.forward_inputs is not None, "the forward pass is run once"
        return chain.forward_pass.run(*chain.forward_inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        """Saves what the backward pass needs, in the node of the last step."""
        chain, step = inputs[:2]
        ctx.chain, ctx.step = chain, step
        ctx.set_materialize_grads(False)
        if step + 1 == chain.forward_pass.steps.stop:
            slices = (tensor.detach() for tensor in chain.slices_read)
            tensors = chain.forward_pass.tensors_to_save(chain.context, chain.unread)
            ctx.save_for_backward(*tensors, *slices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Undoes the step; the gradients of the state pass from step to step in the chain."""
        refuse_in_backward(gradients)
        if ctx.step + 1 == ctx.chain.forward_pass.steps.stop:
            ctx.chain.begin(ctx.saved_tensors, gradients)
        return (None, None, None, *ctx.chain.undo(ctx.step))


def with_own_node(tensor: Tensor) -> Tensor:
    """A view of the tensor, whose node tells whether the engine wants its gradient."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor


def _node(tensor: Tensor) -> Any:
    """The node of autograd's graph that a tensor comes from; None if it requires no gradient."""
    return get_gradient_edge(tensor).node if tensor.requires_grad else None


def will_execute(node: Any) -> bool:
    """Whether the engine will execute a node of the graph in the backward pass that is running."""
    if node is None or node.name() == "torch::autograd::AccumulateGrad":
        return node is not None
    return torch._C._will_engine_execute_node(node)
