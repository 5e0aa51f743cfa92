"""The backward of a whole flow without stored activations, as one autograd function.

The forward pass keeps the last state alone. The backward pass walks the shears in reverse: undoing
a shear needs its right-hand sides, and so do their vector-Jacobian products, so that one evaluation
with gradients on gives both. A step costs four evaluations' worth of work where plain
back-propagation costs three, and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from odenet.runtime.ambient import Autocast, RandomTape, frozen_statistics
from odenet.runtime.exact import Fixed
from odenet.runtime.layout import in_order_of
from odenet.runtime.shear import Packed, Registers, Term
from odenet.runtime.steps import advance, pull_back, retreat
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
    walk = _exact_walk(flow, state)
    state = state.copy()
    for step in walk.steps:
        walk.advance(state, step, walk.weights.tensors)
    state.verify()
    return state


@torch.no_grad()
def exact_steps_undone(flow: Flow, state: Fixed) -> Fixed:
    """All steps in exact arithmetic, undone bit for bit."""
    walk = _exact_walk(flow, state)
    state = state.copy()
    with walk.repeated():
        for step in reversed(walk.steps):
            walk.retreat(state, step, walk.weights.tensors)
    state.verify()
    return state


def _exact_walk(flow: Flow, state: Fixed) -> Walk:
    walk = Walk(flow, range(flow.steps), state.device)
    walk.compiled = None
    return walk


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
        compiled: compiled steps to use, if any.
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
        # Random numbers and exact arithmetic need both evaluations to run the very same code.
        self.compiled = None if flow.exact or self.tape else flow._compiled
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
        """One step."""
        if self.compiled:
            values = self.weights.at(step, self.weights.addresses(step), weights)
            state.replace(self.compiled.advance(self.flow, state.tensors(), values))
            return

        def arguments(term: Term) -> list:
            if self.tape:
                self.tape.record()
            return self.weights.arguments(term, step, weights)

        advance(self.shears, state, arguments)
        state.rename(self.flow.relabel)

    def retreat(self, state: Registers, step: int, weights: Sequence[Tensor]) -> None:
        """One step undone."""
        state.rename(self.undone)
        retreat(self.shears, state, lambda term: self.weights.arguments(term, step, weights))

    def release(self) -> list[Tensor]:
        """The tensors of the kept states, for autograd to hold."""
        tensors = [tensor for packed in self.kept.values() for tensor in packed.tensors]
        self.kept = {done: packed.emptied() for done, packed in self.kept.items()}
        return tensors

    @contextmanager
    def repeated(self) -> Iterator[Callable[[], object]]:
        """Evaluations within are those of the way forward over again, the last one first.

        Gives a function to be called before each of them.
        """
        with ExitStack() as stack:
            stack.enter_context(self.autocast.entered())
            stack.enter_context(frozen_statistics(self.flow))
            if self.tape:
                stack.enter_context(self.tape.preserved())
            yield partial(next, self.tape.replay()) if self.tape else lambda: None


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
        walk, drifts = self._walk, []
        with walk.repeated() as prepare:
            for step in reversed(walk.steps):
                self._state = self._kept.get(step + 1, self._state)
                self._step(step, prepare)
                if step in walk.samples:
                    drifts.append(_distance(_sample(self._state), walk.samples[step]))
        walk.flow.note_drift(torch.stack(drifts).amax())
        return (*self._grads.tensors(), *self._sums.values)

    def _step(self, step: int, prepare: Callable[[], object]) -> None:
        walk = self._walk
        addresses = walk.weights.addresses(step)
        weights = walk.weights.at(step, addresses, self._sums.tensors)
        if walk.compiled:
            ends = self._state.tensors(), self._grads.tensors()
            state, grads, sums = walk.compiled.pull_back(walk.flow, *ends, weights)
            self._state.replace(state)
            self._grads.replace(grads)
            for key, gradient in sums.items():
                self._sums.add(addresses[key], gradient, 1.0)
            return
        self._state.rename(walk.undone)
        self._grads.rename(walk.undone)
        for share in pull_back(walk.shears, self._state, self._grads, weights, prepare):
            self._sums.add(addresses[share.key], share.gradient, share.factor)


def _sample(state: Registers) -> tuple[Tensor, ...]:
    return tuple(tensor[:1].clone() for tensor in state.tensors())


def _distance(rebuilt: tuple[Tensor, ...], true: tuple[Tensor, ...]) -> Tensor:
    """Relative to the whole state, of which single slots may be zero."""
    size = torch.stack([torch.linalg.vector_norm(b) for b in true])
    error = torch.stack(
        [torch.linalg.vector_norm(a - b) for a, b in zip(rebuilt, true, strict=True)]
    )
    whole = torch.linalg.vector_norm(size).clamp_min(torch.finfo(size.dtype).tiny)
    return torch.linalg.vector_norm(error) / whole


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"a backward without stored activations cannot be {what}; "
        'set flow.memory = "stored", which uses plain autograd and can'
    )
