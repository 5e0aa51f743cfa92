"""The forward pass over some steps, and what it keeps for the backward pass."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from odenet.runtime.passes.fixed_point import FixedPointRegisters
from odenet.runtime.passes.flow_weights import FlowWeights
from odenet.runtime.passes.memory_format import kernel_reordering
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import PackedRegisters, Registers, Shear, Term
from odenet.runtime.passes.step_weights import OneStepStack
from odenet.runtime.passes.steps import advance
from odenet.runtime.passes.torch_settings import TorchSettings, deterministic
from odenet.runtime.passes.volume import LOG_DET, log_det_collector, run_step
from odenet.runtime.repetition.recorder import Recorder
from odenet.runtime.repetition.refusals import refusing_gradient, warn_of_hooks
from odenet.runtime.repetition.replica_pool import ReplicaPool
from odenet.runtime.repetition.saved_tensors import SavedTensors
from odenet.runtime.repetition.snapshot import Snapshot


class ForwardPass:
    """The forward pass over some steps of a flow.

    Args:
        flow: the flow.
        steps: the steps to run.
        state: the state before them.
        undo: whether the backward pass undoes the steps; otherwise it begins each of them from a
            kept state.
        saved_tensors: counts what autograd would store of these steps, if given.

    Attributes:
        original: the flow itself, to which the backward pass reports the drift.
        flow: a shallow copy of the flow, private to this pass.
        steps: the argument.
        undo: the argument.
        relabel_back: the inverse of ``flow.relabel``.
        weights: the parameters that the steps read.
        differentiable: whether a backward pass may follow.
        settings: the settings of torch that right-hand sides are evaluated under.
        recorder: what the evaluations found in modules and random streams.
        compiled: compiled steps to use, if any.
        kept_states: true states, by the number of steps before them.
        was_differentiated: whether a backward pass has run over it.
        further_names: names of the further results of right-hand sides, such as a penalty.
        reorder_kernels: puts stacked kernels in the memory order in which they are applied.
    """

    def __init__(
        self,
        flow: Stepwise,
        steps: range,
        state: Any,
        undo: bool,
        saved_tensors: SavedTensors | None = None,
    ):
        device = state.device if isinstance(state, Registers) else state[0].device
        self.original = flow
        self.flow = flow.shallow_copy()
        self.steps = steps
        self.undo = undo
        self._shears = self.flow.shears() if undo and not flow.varying else ()
        self.relabel_back = {new: old for old, new in flow.relabel.items()}
        self.weights = FlowWeights(flow, flow.learned_names())
        self.differentiable = torch.is_grad_enabled()
        self.settings = TorchSettings.current(device)
        warn_of_hooks(self.weights.submodules)
        flow.replica_pools.keep_only(self.weights.step_modules)
        self.recorder = Recorder(device, flow.stochastic, flow.replica_pools)
        # Random numbers and exact arithmetic need both evaluations to run the same code, and a
        # compiled step takes no snapshots.
        must_be_eager = flow.exact or flow.stochastic or not undo or bool(flow.context)
        is_compiled = flow.compiled and not must_be_eager and self.weights.is_stateless
        self.compiled = flow.compiled if is_compiled else None
        self.kept_states: dict[int, PackedRegisters] = {}
        self.further_names: tuple[str, ...] = ()
        self.was_differentiated = False
        self._saved_tensors = saved_tensors
        self._state_type = type(state)

    def run(
        self, state: State, weights: Sequence[Tensor], context: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Runs all steps without a graph.

        Args:
            state: the state before them.
            weights: in the order of ``self.weights.tensors``.
            context: the tensors of the further inputs.

        Returns:
            The last state, then the sums of further results.
        """
        self.flow.context = self.original.context.with_tensors(context)
        self.flow.collected = {}
        self.reorder_kernels = kernel_reordering(state[0])
        with torch.set_grad_enabled(self.differentiable):  # so that copies keep requires_grad
            weights = [self.reorder_kernels(tensor) for tensor in weights]
        # In fixed point every step is undone without an error; see `fixed_point`.
        registers = (FixedPointRegisters if self.flow.exact else Registers)(self.flow.slots, state)
        interval = self.flow.anchors if self.undo else 1  # steps from one kept state to the next
        with self.original_settings():
            for step in self.steps:
                if step == self.steps.start or (interval and step % interval == 0):
                    self.kept_states[step] = registers.pack()
                self.advance(registers, step, weights)
        registers.verify()
        if self.undo:
            self.kept_states[self.steps.stop] = registers.pack()
        self.further_names = tuple(self.flow.collected)
        return (*registers.tensors(), *self.flow.collected.values())

    @contextmanager
    def original_settings(self) -> Iterator[None]:
        """The settings of torch that the evaluations of both passes run under."""
        with self.settings.activate(), deterministic() if self.flow.exact else nullcontext():
            yield

    def advance(self, state: Registers, step: int, weights: Sequence[Tensor]) -> None:
        """Runs one step; ``state`` becomes the state after it."""
        if self.compiled and step not in self.kept_states:
            values, _ = self.weights.step_weights(step, weights, [False] * len(weights))
            end, log_det = self.compiled.advance(self.flow, state.tensors(), values)
            state.replace(end)
            if log_det is not None:
                self.flow.collect({LOG_DET: log_det})
        elif self.undo:
            evaluate = partial(self._evaluate_term, state, step, weights)
            collect = log_det_collector(self.flow, state) if self.flow.collects_log_det else None
            advance(self.shears(step, weights), state, evaluate, collect)
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
        """The shears of a step."""
        if not self.flow.varying:
            return self._shears
        return self.flow.shears(*self.weights.values(self.flow.varying, step, weights))

    def _step(self, state: State, step: int, weights: Sequence[Tensor]) -> State:
        """One step by ``flow.advance``, which reads the weights from attributes."""
        names = self.weights.names
        values = self.weights.values(names, step, weights)
        self.flow.__dict__.update(zip(names, map(OneStepStack, values), strict=True))
        try:
            return tuple(run_step(self.flow, state, step))
        finally:
            for name in names:
                del self.flow.__dict__[name]

    def _evaluate_term(
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
        """An evaluation of a function, recorded for the backward pass.

        Modules are called with gradients on, as in the backward pass and under plain autograd,
        since some of them ask. The graph is dropped.

        Args:
            function: a function of the tensors in ``reads``.
            reads: the inputs of the function.
            names: the attributes of the flow that it uses.
            step: the step.
            weights: in the order of ``self.weights.tensors``.
        """
        modules = self.weights.modules(names, step)
        differentiable = self.differentiable and (bool(modules) or self._saved_tensors is not None)
        record = self.recorder.begin(modules)
        record.context = self.flow.context.snapshot()
        with torch.set_grad_enabled(differentiable):
            values = function(*(map(refusing_gradient, reads) if differentiable else reads))
        self.recorder.end(record)
        if self.flow.context:
            self.flow.context.refuse_changes(record.context)
        if not differentiable:
            return values
        if self._saved_tensors is not None:
            inputs = (*self.weights.tensors, *weights, *self.flow.context.tensors)
            self._saved_tensors.add(values, inputs, reads)
        self.flow.collected = {name: value.detach() for name, value in self.flow.collected.items()}
        return tuple(value.detach() for value in values)

    def evaluate_on_replicas(self, state: Registers, step: int, term: Term, target: str) -> Tensor:
        """Evaluates a right-hand side on replicas of the modules, so that these do not change."""
        modules = self.weights.modules(term.params, step)
        copies = (Snapshot(ReplicaPool(module)).replica() for module in modules)
        tensors = self.weights.tensors
        required, wanted = [t.requires_grad for t in tensors], [False] * len(tensors)
        values = self.weights.detached(term.params, step, tensors, required, wanted, copies).values
        return term.rate(*(state.read(slot) for slot in term.reads), *values)

    def as_state(self, tensors: Sequence[Tensor]) -> State:
        """Tensors as a state of the type that the flow was called with."""
        return getattr(self._state_type, "_make", tuple)(tensors)

    def tensors_to_save(
        self, context: Sequence[Tensor], unread_positions: Collection[int] = ()
    ) -> tuple[Tensor, ...]:
        """The tensors that autograd saves for the backward pass; none may change in between.

        The weights are saved as they are now, since `p.data = …` may give a parameter other values.

        Args:
            context: the tensors of the further inputs.
            unread_positions: the positions of weights that these steps do not read; they may
                change.
        """
        weights = (
            weight.data if position in unread_positions else _alias(weight)
            for position, weight in enumerate(self.weights.tensors)
        )
        return (*self._release(), *weights, *context)

    def _release(self) -> list[Tensor]:
        """Takes the tensors out of the kept states, so that only autograd holds them."""
        tensors = [tensor for packed in self.kept_states.values() for tensor in packed.tensors]
        self.kept_states = {step: p.without_tensors() for step, p in self.kept_states.items()}
        return tensors


def _alias(weight: Tensor) -> Tensor:
    """A tensor of the same memory; a parameter again if the weight is one, as hooks may ask."""
    alias = weight.detach()
    return nn.Parameter(alias, requires_grad=False) if isinstance(weight, nn.Parameter) else alias
