"""All steps of a flow as one node of autograd's graph for each step.

The passes are those of `chain`. What differs is when gradients of weights are handed over: each
with the node of the first step that reads the weight, which is the last one that the backward pass
undoes. That the gradient is then complete, with what layers outside of the flow and other flows add
to it, is counted by autograd's engine, which knows all uses of a weight; and no step that is still
to be undone reads it. So an optimizer may change it at once.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from odenet.runtime.learned.slices import Slices
from odenet.runtime.passes.backward import BackwardPass
from odenet.runtime.passes.flow_weights import Part
from odenet.runtime.passes.forward import ForwardPass
from odenet.runtime.passes.protocol import State
from odenet.runtime.repetition.refusals import refuse, refuse_in_backward


class StepChain:
    """The nodes of a pass, and the backward pass that they share.

    Args:
        passed: the forward pass, which is still to be run.
        state: before its steps.
        context: the further inputs.
        slices: of the stacked parameters that are taken apart.

    Attributes:
        completed: step -> the weights of which it is the first reader, and so the last one undone.
        unread: places of weights that no step reads.
        slices: those that are read, to be watched for changes.
    """

    def __init__(
        self, passed: ForwardPass, state: State, context: tuple[Tensor, ...], slices: Slices
    ):
        weights = passed.weights.tensors
        self.passed = passed
        self.state: State = state
        self.context = context
        self._parts = {place: slices.of(tensor) for place, tensor in enumerate(weights)}
        self.apart = {place for place, parts in self._parts.items() if parts is not None}
        self.completed = passed.weights.completed(passed.steps, self.apart)
        read = [part for parts in self.completed.values() for part in parts]
        self.unread = set(range(len(weights))) - {part.place for part in read}
        self.slices = [self._tensor(part) for part in read if part.slice is not None]
        self._needed = [tensor.requires_grad for tensor in (*weights, *context)]
        self._asked = [_node(tensor) for tensor in context]
        given = [view(weight) for weight in weights]
        # What the forward pass is run on; held until it has been.
        self.given: tuple[State, list[Tensor], tuple[Tensor, ...]] | None
        self.given = tuple(t.detach() for t in state), given, context
        self.back: BackwardPass | None = None
        self._nodes: dict[Part, Any] = {}

    def apply(self) -> tuple[Tensor, ...]:
        """Runs the steps; gives the last state and the sums of further results."""
        # Steps are gone back over whatever of their inputs needs a gradient: drift is told of all.
        handed: Any = torch.empty((), device=self.state[0].device, requires_grad=True)
        for step in self.passed.steps:
            first = (*self.state, *self.context) if step == self.passed.steps.start else ()
            # Views: the engine is asked by their nodes which gradients are wanted. It goes on with
            # the youngest node, so that those of a step are made after the node of the one before:
            # gradients are then added up, and used up, before the next step is undone.
            views = {part: view(self._tensor(part)) for part in self.completed[step]}
            self._nodes |= {part: _node(seen) for part, seen in views.items()}
            handed = _StepNode.apply(self, step, handed, *first, *views.values())
        self.given, self.state, self.context = None, (), ()  # which autograd holds where needed
        return handed

    def begin(self, saved: tuple[Tensor, ...], gradients: tuple[Tensor | None, ...]) -> None:
        """Begins a backward pass."""
        weights = self.passed.weights.tensors
        of_pass = saved[: len(saved) - len(self.slices)]
        asked: list[bool] = [False] * len(weights)
        for part, node in self._nodes.items():
            asked[part.place] |= executed(node)
        asked += map(executed, self._asked)
        wanted = [a and n for a, n in zip(asked, self._needed, strict=True)]
        needed = self._needed
        self.back = BackwardPass(self.passed, of_pass, gradients, needed, wanted, self.apart)

    def undo(self, step: int) -> tuple[Tensor | None, ...]:
        """One step back: the gradients by the inputs of its node, in their order."""
        back = self.back
        assert back is not None, "the last step begins"
        back.undo(step)
        first: tuple[Tensor | None, ...] = ()
        if step == self.passed.steps.start:
            self.back, first = None, back.finish()
        return (*first, *(back.take(part) for part in self.completed[step]))

    def _tensor(self, part: Part) -> Tensor:
        if part.slice is None:
            return self.passed.weights.tensors[part.place]
        return (self._parts[part.place] or [])[part.slice]


class FirstOrder(torch.autograd.Function):
    """What has a backward pass, and no derivative of another kind."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> NoReturn:
        """Refuses forward-mode derivatives."""
        refuse("differentiated in forward mode")


class _StepNode(FirstOrder):
    """One step in autograd's graph. That of the last step runs all of them, and saves for all."""

    @staticmethod
    def forward(chain: StepChain, step: int, handed: Tensor, *tensors: Tensor) -> Any:
        """Runs the steps without a graph if it is the last one; else hands on a token."""
        if step + 1 < chain.passed.steps.stop:
            return torch.empty_like(handed)
        assert chain.given is not None, "the forward pass is run once"
        return chain.passed.run(*chain.given)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        """Saves what the backward pass begins from."""
        chain, step = inputs[:2]
        ctx.chain, ctx.step = chain, step
        ctx.set_materialize_grads(False)
        if step + 1 == chain.passed.steps.stop:
            slices = (tensor.detach() for tensor in chain.slices)
            ctx.save_for_backward(*chain.passed.saved(chain.context, chain.unread), *slices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Undoes the step; gradients by the state go from step to step past autograd."""
        refuse_in_backward(gradients)
        if ctx.step + 1 == ctx.chain.passed.steps.stop:
            ctx.chain.begin(ctx.saved_tensors, gradients)
        return (None, None, None, *ctx.chain.undo(ctx.step))


def view(tensor: Tensor) -> Tensor:
    """A tensor as a node of its own, by which the engine is asked for its gradient."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor


def _node(tensor: Tensor) -> Any:
    return get_gradient_edge(tensor).node if tensor.requires_grad else None


def executed(node: Any) -> bool:
    """Whether the engine goes on to a node in the pass that is running."""
    if node is None or node.name() == "torch::autograd::AccumulateGrad":
        return node is not None
    return torch._C._will_engine_execute_node(node)
