"""The memory-free backward of a whole flow, as one autograd function.

The forward pass keeps the last state alone. The backward pass walks the shears in reverse: undoing
a shear needs its right-hand sides, and so do their vector-Jacobian products, so that one evaluation
with gradients on gives both. A step costs four evaluations' worth of work where plain
back-propagation costs three, and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from odenet.runtime.ambient import Autocast, RandomTape, frozen_statistics
from odenet.runtime.exact import Fixed
from odenet.runtime.layout import in_order_of
from odenet.runtime.shear import Packed, Registers, Shear, Term
from odenet.runtime.weights import GradientSums, Weights

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow


def reversible_steps(flow: Flow, state: tuple[Tensor, ...], first: int = 0) -> tuple[Tensor, ...]:
    """The steps of a flow from ``first`` on, differentiable, with no activations stored.

    Args:
        flow: a reversible flow.
        state: its slots before step ``first``.
        first: the step to begin with.

    Returns:
        The slots after the last step.
    """
    # Within somebody's torch.compile the graph breaks here, once: traced, it would grow with depth.
    if torch.compiler.is_compiling():
        return torch.compiler.disable(_chain)(flow, state, first)  # pyright: ignore[reportCallIssue]
    return _chain(flow, state, first)


def _chain(flow: Flow, state: tuple[Tensor, ...], first: int) -> tuple[Tensor, ...]:
    walk = Walk(flow, range(first, flow.steps), state[0].device)
    return ReversibleChain.apply(walk, *state, *walk.weights.tensors)


@torch.no_grad()
def exact_steps(flow: Flow, state: Fixed) -> Fixed:
    """All steps in exact arithmetic."""
    walk = Walk(flow, range(flow.steps), state.device)
    state = state.copy()
    for step in walk.steps:
        walk.advance(state, step, walk.weights.tensors)
    state.verify()
    return state


@torch.no_grad()
def exact_steps_undone(flow: Flow, state: Fixed) -> Fixed:
    """All steps in exact arithmetic, undone bit for bit."""
    walk = Walk(flow, range(flow.steps), state.device)
    state = state.copy()
    with walk.repeated():
        for step in reversed(walk.steps):
            walk.retreat(state, step, walk.weights.tensors)
    state.verify()
    return state


class ReversibleChain(torch.autograd.Function):
    """Differentiates all steps of a flow at once; see the module's text."""

    @staticmethod
    def forward(walk: Walk, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Runs the steps."""
        slots = len(walk.flow.slots)
        # Views, since autograd cannot save an input that comes out as it went in.
        state = tuple(tensor.view_as(tensor) for tensor in tensors[:slots])
        return walk.run(state, tensors[slots:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        """Saves the kept states, and the weights, which nobody may change before the backward."""
        ctx.walk = inputs[0]
        ctx.save_for_backward(*ctx.walk.release(), *inputs[1 + len(output) :])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Undoes the steps, gathering the gradients on the way."""
        if torch.is_grad_enabled():
            _refuse("differentiated twice")
        return (None, *Return(ctx.walk, ctx.saved_tensors, gradients).run())

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> NoReturn:
        """Refuses forward-mode derivatives."""
        _refuse("differentiated in forward mode")

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> NoReturn:
        """Refuses vectorised calls."""
        _refuse("vectorised by torch.func.vmap")


class Walk:
    """The way forward over some steps of a flow, and what is kept of it for the way back.

    Attributes:
        flow: the flow.
        steps: which of its steps.
        shears: one step, as shears.
        undone: what undoes the renaming after them.
        weights: the parameters that they name.
        autocast: the setting that rates are evaluated under.
        tape: the random streams before each evaluation, for a flow that draws.
        kept: true states, by the number of steps done; the last one, and the flow's anchors.
        samples: pieces of the true states, to measure by how far rebuilt ones are off.
    """

    def __init__(self, flow: Flow, steps: range, device: torch.device):
        self.flow = flow
        self.steps = steps
        self.shears = flow.shears()
        self.undone = {new: old for old, new in flow.relabel.items()}
        self.weights = Weights(flow, self.shears)
        self.autocast = Autocast.here(device)
        self.tape = RandomTape(device) if flow.stochastic else None
        self.kept: dict[int, Packed] = {}
        self.samples: dict[int, tuple[Tensor, ...]] = {}

    def run(self, state: tuple[Tensor, ...], weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """All steps; gives the last state."""
        registers = (Fixed if self.flow.exact else Registers)(self.flow.slots, state)
        self.samples[self.steps.start] = _sample(registers)
        with self.autocast.entered():
            for step in self.steps:
                self.advance(registers, step, weights)
                if self.flow.anchors and (step + 1) % self.flow.anchors == 0:
                    self.samples[step + 1] = _sample(registers)
                    self.kept[step + 1] = registers.pack()
        registers.verify()
        self.kept[self.steps.stop] = registers.pack()
        return registers.tensors()

    def advance(self, state: Registers, step: int, weights: Sequence[Tensor]) -> None:
        """One step, shear by shear."""
        for shear in self.shears:
            state.multiply(shear.target, shear.scale)
            for weight, slot in shear.adds:
                state.mix(shear.target, weight, slot)
            for term in shear.terms:
                if self.tape:
                    self.tape.record()
                state.increase(shear.target, self._rate(term, state, step, weights), term.factor)
        state.rename(self.flow.relabel)

    def retreat(self, state: Registers, step: int, weights: Sequence[Tensor]) -> None:
        """One step undone."""
        state.rename(self.undone)
        for shear in reversed(self.shears):
            for term in reversed(shear.terms):
                state.increase(shear.target, self._rate(term, state, step, weights), -term.factor)
            for weight, slot in shear.adds:
                state.mix(shear.target, -weight, slot)
            state.divide(shear.target, shear.scale)

    def _rate(self, term: Term, state: Registers, step: int, weights: Sequence[Tensor]) -> Tensor:
        reads = [state.read(slot) for slot in term.reads]
        return term.rate(*reads, *self.weights.arguments(term, step, weights))

    def release(self) -> list[Tensor]:
        """The tensors of the kept states, for autograd to hold."""
        tensors = [tensor for packed in self.kept.values() for tensor in packed.tensors]
        self.kept = {done: packed.emptied() for done, packed in self.kept.items()}
        return tensors

    @contextmanager
    def repeated(self) -> Iterator[Iterator[None]]:
        """Evaluations within are those of the way forward over again, the last one first.

        Gives an iterator to be advanced before each of them.
        """
        with ExitStack() as stack:
            stack.enter_context(self.autocast.entered())
            stack.enter_context(frozen_statistics(self.flow))
            if self.tape:
                stack.enter_context(self.tape.preserved())
            yield self.tape.replay() if self.tape else repeat(None)


class Return:
    """The way back over a walk: states and gradients before each step from those after it."""

    def __init__(self, walk: Walk, saved: Sequence[Tensor], gradients: tuple[Tensor, ...]):
        tensors = iter(saved)
        self._walk = walk
        self._kept = {done: packed.filled(tensors) for done, packed in walk.kept.items()}
        self._state = self._kept[walk.steps.stop]
        gradients = tuple(map(in_order_of, gradients, self._state.tensors()))
        self._grads = Registers(walk.flow.slots, gradients)
        self._sums = GradientSums(tuple(tensors))

    def run(self) -> tuple[Tensor | None, ...]:
        """The gradients of the state before the first step, then of the weights."""
        walk = self._walk
        drifts = []
        with walk.repeated() as draws:
            for step in reversed(walk.steps):
                self._state = self._kept.get(step + 1, self._state)
                self._state.rename(walk.undone)
                self._grads.rename(walk.undone)
                for shear in reversed(walk.shears):
                    self._undo(shear, step, draws)
                if step in walk.samples:
                    drifts.append(_distance(_sample(self._state), walk.samples[step]))
        walk.flow.note_drift(torch.stack(drifts).amax())
        return (*self._grads.tensors(), *self._sums.values)

    def _undo(self, shear: Shear, step: int, draws: Iterator[None]) -> None:
        """One shear: the transpose for the gradients, the inverse for the state.

        Gradients are pulled back through the bare rate; its factor comes in where they add up.
        """
        state, grads, sums = self._state, self._grads, self._sums
        for term in reversed(shear.terms):
            next(draws)
            reads = [state.read(slot).detach().requires_grad_() for slot in term.reads]
            values, leaves = self._walk.weights.leaves(term, step, sums.tensors)
            with torch.enable_grad():
                rate = term.rate(*reads, *values)
            inputs = [*reads, *(leaf.tensor for leaf in leaves)]
            pulled = iter(_pull_back(rate, inputs, grads.read(shear.target)))
            state.increase(shear.target, rate.detach(), -term.factor)
            for slot in term.reads:
                grads.increase(slot, next(pulled), term.factor)
            for leaf in leaves:
                sums.add(leaf, next(pulled), term.factor)
        for weight, slot in shear.adds:
            state.mix(shear.target, -weight, slot)
            grads.mix(slot, weight, shear.target)
        state.divide(shear.target, shear.scale)
        grads.multiply(shear.target, shear.scale)


def _pull_back(rate: Tensor, inputs: list[Tensor], gradient: Tensor) -> tuple[Tensor, ...]:
    """The vector-Jacobian product; a rate may be smaller than the slot it is broadcast to."""
    if not inputs:
        return ()
    gradient = gradient.sum_to_size(rate.shape)
    return torch.autograd.grad(rate, inputs, gradient, materialize_grads=True)


def _sample(state: Registers) -> tuple[Tensor, ...]:
    return tuple(tensor[:1].clone() for tensor in state.tensors())


def _distance(rebuilt: tuple[Tensor, ...], true: tuple[Tensor, ...]) -> Tensor:
    """Relative to the whole state, of which single slots may be zero."""
    size = torch.stack([torch.linalg.vector_norm(b) for b in true])
    error = torch.stack(
        [torch.linalg.vector_norm(a - b) for a, b in zip(rebuilt, true, strict=True)]
    )
    return torch.linalg.vector_norm(error) / torch.linalg.vector_norm(size)


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f'a memory-free backward cannot be {what}; set flow.memory = "stored", which uses plain '
        "autograd and can"
    )
