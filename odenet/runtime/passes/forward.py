"""The forward pass over some steps, and what it keeps for the way back."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from odenet.runtime.passes.fixed_point import Fixed
from odenet.runtime.passes.flow_weights import FlowWeights
from odenet.runtime.passes.memory_format import kernel_order
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Packed, Registers, Shear, Term
from odenet.runtime.passes.step_weights import OneStep
from odenet.runtime.passes.steps import advance
from odenet.runtime.passes.torch_settings import TorchSettings, same_bits
from odenet.runtime.passes.volume import LOG_DET, collecting, one_step
from odenet.runtime.repetition.recorder import Recorder
from odenet.runtime.repetition.refusals import warn_of_hooks, watched
from odenet.runtime.repetition.replica_pool import ReplicaPool
from odenet.runtime.repetition.saved_tensors import SavedTensors
from odenet.runtime.repetition.snapshot import Snapshot


class ForwardPass:
    """The forward pass over some steps of a flow.

    Args:
        flow: the flow.
        steps: which of its steps.
        state: before them.
        undo: whether the way back undoes steps, or begins each from a kept state.
        saved: told what autograd would store of them.

    Attributes:
        source: the flow, which is told of the drift.
        flow: a view of it, private to this pass.
        steps: as given.
        undo: as given.
        undone: what undoes the renaming after them.
        weights: the parameters that the steps read.
        differentiable: whether a backward pass may follow.
        settings: of torch, that rates are evaluated under.
        recorder: the evaluations that called modules, as they found these and the random streams.
        compiled: compiled steps to use, if any.
        kept: true states, by the number of steps done.
        spent: whether a backward pass has gone back over it.
        further: names of the further results that rates gave, such as a balancing loss.
        order: puts stacked kernels in the order in which they are applied.
    """

    def __init__(
        self,
        flow: Stepwise,
        steps: range,
        state: Any,
        undo: bool,
        saved: SavedTensors | None = None,
    ):
        device = state.device if isinstance(state, Registers) else state[0].device
        self.source = flow
        self.flow = flow.view()
        self.steps = steps
        self.undo = undo
        self._shears = self.flow.shears() if undo and not flow.varying else ()
        self.undone = {new: old for old, new in flow.relabel.items()}
        self.weights = FlowWeights(flow, flow.learned())
        self.differentiable = torch.is_grad_enabled()
        self.settings = TorchSettings.current(device)
        warn_of_hooks(self.weights.parts)
        flow.replica_pools.keep(self.weights.of_steps)
        self.recorder = Recorder(device, flow.stochastic, flow.replica_pools)
        # Random numbers and exact arithmetic need both evaluations to run the very same code, and
        # a compiled step takes no snapshots.
        eager = flow.exact or flow.stochastic or not undo or bool(flow.context)
        self.compiled = (
            flow.compiled if flow.compiled and not eager and self.weights.stateless else None
        )
        self.kept: dict[int, Packed] = {}
        self.further: tuple[str, ...] = ()
        self.spent = False
        self._saved = saved
        self._kind = type(state)

    def run(
        self, state: State, weights: Sequence[Tensor], context: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """All steps; gives the last state, then the sums of further results."""
        self.flow.context = self.source.context.put(context)
        self.flow.collected = {}
        self.order = kernel_order(state[0])
        with torch.set_grad_enabled(self.differentiable):  # so that they need theirs, as given
            weights = [self.order(tensor) for tensor in weights]
        # In fixed point every step is undone without an error; see `exact`.
        registers = (Fixed if self.flow.exact else Registers)(self.flow.slots, state)
        every = self.flow.anchors if self.undo else 1  # steps from one kept state to the next
        with self.as_it_was():
            for step in self.steps:
                if step == self.steps.start or (every and step % every == 0):
                    self.kept[step] = registers.pack()
                self.advance(registers, step, weights)
        registers.verify()
        if self.undo:
            self.kept[self.steps.stop] = registers.pack()
        self.further = tuple(self.flow.collected)
        return (*registers.tensors(), *self.flow.collected.values())

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """What surrounds the evaluations of both passes."""
        with self.settings.entered(), same_bits() if self.flow.exact else nullcontext():
            yield

    def advance(self, state: Registers, step: int, weights: Sequence[Tensor]) -> None:
        """Take one step, in place."""
        if self.compiled and step not in self.kept:
            values, _ = self.weights.functional(step, weights, [False] * len(weights))
            end, log_det = self.compiled.advance(self.flow, state.tensors(), values)
            state.replace(end)
            if log_det is not None:
                self.flow.collect({LOG_DET: log_det})
        elif self.undo:
            rate = partial(self._rate, state, step, weights)
            stretched = collecting(self.flow, state) if self.flow.measured else None
            advance(self.shears(step, weights), state, rate, stretched)
            state.rename(self.flow.relabel)
        else:
            end = self._evaluate(
                lambda *reads: self._step(self.as_state(reads), step, weights),
                state.tensors(),
                self.weights.names,
                step,
                weights,
            )
            state.replace(end)

    def shears(self, step: int, weights: Sequence[Tensor]) -> tuple[Shear, ...]:
        """A step that is to be undone, as shears."""
        if not self.flow.varying:
            return self._shears
        return self.flow.shears(*self.weights.values(self.flow.varying, step, weights))

    def _step(self, state: State, step: int, weights: Sequence[Tensor]) -> State:
        """One step by the flow's own lines."""
        names = self.weights.names
        values = self.weights.values(names, step, weights)
        self.flow.__dict__.update(zip(names, map(OneStep, values), strict=True))
        try:
            return tuple(one_step(self.flow, state, step))
        finally:
            for name in names:
                del self.flow.__dict__[name]

    def _rate(
        self, state: Registers, step: int, weights: Sequence[Tensor], term: Term, target: str
    ) -> Tensor:
        (value,) = self._evaluate(
            lambda *reads: (term.rate(*reads, *self.weights.values(term.params, step, weights)),),
            [state.read(slot) for slot in term.reads],
            term.params,
            step,
            weights,
        )
        return value

    def _evaluate(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        reads: Sequence[Tensor],
        names: Sequence[str],
        step: int,
        weights: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """An evaluation, recorded.

        Modules are called as they are called again in the backward pass and by plain autograd, with
        gradients on, which some look at. The graph is dropped.
        """
        modules = self.weights.modules(names, step)
        differentiable = self.differentiable and (bool(modules) or self._saved is not None)
        found = self.recorder.before(modules)
        found.context = self.flow.context.found()
        with torch.set_grad_enabled(differentiable):
            values = function(*(map(watched, reads) if differentiable else reads))
        self.recorder.after(found)
        if self.flow.context:
            self.flow.context.refuse_written(found.context)
        if not differentiable:
            return values
        if self._saved is not None:
            given = (*self.weights.tensors, *weights, *self.flow.context.tensors)
            self._saved.add(values, given, reads)
        collected = self.flow.collected
        self.flow.collected = {name: value.detach() for name, value in collected.items()}
        return tuple(value.detach() for value in values)

    def unnoticed(self, state: Registers, step: int, term: Term, target: str) -> Tensor:
        """Evaluates a rate on copies of the modules, which count nothing."""
        modules = self.weights.modules(term.params, step)
        replicas = (Snapshot(ReplicaPool(module)).replica() for module in modules)
        tensors = self.weights.tensors
        needed, wanted = [t.requires_grad for t in tensors], [False] * len(tensors)
        values = self.weights.detached(term.params, step, tensors, needed, wanted, replicas).values
        return term.rate(*(state.read(slot) for slot in term.reads), *values)

    def as_state(self, tensors: Sequence[Tensor]) -> State:
        """Tensors as the flow's own kind of state."""
        return getattr(self._kind, "_make", tuple)(tensors)

    def saved(self, context: Sequence[Tensor], unread: Collection[int] = ()) -> tuple[Tensor, ...]:
        """What autograd saves for the backward pass, and nobody may change in between.

        Weights have the values of now: a parameter may be given others, `p.data = …`, or be frozen.

        Args:
            context: the further inputs.
            unread: places of weights that these steps do not read, and that may be changed.
        """
        weights = (
            weight.data if place in unread else _alias(weight)
            for place, weight in enumerate(self.weights.tensors)
        )
        return (*self._release(), *weights, *context)

    def _release(self) -> list[Tensor]:
        """The tensors of the kept states, for autograd to hold."""
        tensors = [tensor for packed in self.kept.values() for tensor in packed.tensors]
        self.kept = {done: packed.emptied() for done, packed in self.kept.items()}
        return tensors


def _alias(weight: Tensor) -> Tensor:
    """The same values; a parameter remains one, for hooks on saved tensors to tell."""
    own = weight.detach()
    return nn.Parameter(own, requires_grad=False) if isinstance(weight, nn.Parameter) else own
