"""The backward pass of a forward pass: states and gradients before each step from those after."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor

from odenet.runtime.passes.compiled_steps import CompiledSteps
from odenet.runtime.passes.drift_meter import DriftMeter
from odenet.runtime.passes.flow_weights import Address, DetachedValues, Part
from odenet.runtime.passes.forward import ForwardPass
from odenet.runtime.passes.gradient_sums import GradientSums, storages
from odenet.runtime.passes.memory_format import in_order_of
from odenet.runtime.passes.shear import Term, coefficients, is_number
from odenet.runtime.passes.state_gradients import StateGradients
from odenet.runtime.passes.step_weights import OneStep
from odenet.runtime.passes.steps import retreat
from odenet.runtime.passes.volume import LOG_DET, one_step, per_sample
from odenet.runtime.repetition.recorder import random_states_preserved
from odenet.runtime.repetition.refusals import checkpointed, graph, refuse_captured


class BackwardPass:
    """Goes back over a forward pass.

    Args:
        passed: the forward pass.
        saved: its kept states, its weights and its context.
        gradients: by the last state, then by the further results; None is zero.
        needed: which of the weights and of the context needed a gradient in the forward pass.
        wanted: which of them to differentiate by.
        apart: places of stacked weights whose slices are handed over one by one.
    """

    def __init__(
        self,
        passed: ForwardPass,
        saved: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
        wanted: Sequence[bool],
        apart: Collection[int] = (),
    ):
        tensors = iter(saved)
        self._passed = passed
        self._kept = {done: packed.filled(tensors) for done, packed in passed.kept.items()}
        rest, count = list(tensors), len(passed.weights.tensors)
        self._weights, self._context = [passed.order(w) for w in rest[:count]], rest[count:]
        self._needed, self._wanted = needed, wanted
        self._sums = GradientSums(rest, gradients, apart)
        slots = passed.flow.slots
        ends = gradients[: len(slots)]
        if passed.undo:
            self._state = self._kept[passed.steps.stop]
            pairs = zip(ends, self._state.tensors(), strict=True)
            ends = [None if g is None else in_order_of(g, value) for g, value in pairs]
        self._grads = StateGradients(slots, ends)
        self._further = dict(zip(passed.further, gradients[len(slots) :], strict=True))
        self._evaluations = reversed(passed.recorder.evaluations)
        self._drifts: list[Tensor] = []

    def run(self) -> tuple[Tensor | None, ...]:
        """The gradients by the first state, then by the weights, then by the context."""
        with self._surrounded():
            for step in reversed(self._passed.steps):
                self._step(step)
        self._tell_drift()
        return (*self._grads.found(), *self._sums.values)

    def undo(self, step: int) -> None:
        """One step alone; the last one first."""
        with self._surrounded():
            self._step(step)

    def take(self, part: Part) -> Tensor | None:
        """The gradient by a weight of which all readers have been undone."""
        return self._sums.take(part)

    def finish(self) -> tuple[Tensor | None, ...]:
        """To be called after the first step: the gradients by the first state and the context."""
        self._tell_drift()
        return (*self._grads.found(), *self._sums.values[len(self._weights) :])

    @contextmanager
    def _surrounded(self) -> Iterator[None]:
        passed, device = self._passed, self._passed.recorder.device
        drawn = any(e.random is not None for e in passed.recorder.evaluations)
        with random_states_preserved(device) if drawn else nullcontext(), passed.as_it_was():
            yield

    def _tell_drift(self) -> None:
        if self._drifts:
            self._passed.source.note_drift(torch.stack(self._drifts).amax())

    def _step(self, step: int) -> None:
        passed, start = self._passed, self._kept.get(step)
        if not passed.undo:
            self._rerun(step)
            return
        self._state = self._kept.get(step + 1, self._state)
        if passed.compiled and start is None:
            self._undo_compiled(passed.compiled, step)
        else:
            self._state.rename(passed.undone)
            self._grads.rename(passed.undone)
            drift = None if start is None else DriftMeter(self._state, start)
            # In exact arithmetic the rebuilt state is the true one, and stays in its fixed point.
            settled = None if drift is None or passed.flow.exact else drift.settle
            constants = self._constants(step)
            pulled = [] if constants.leaves else None
            rate, exponent = partial(self._rate, step), partial(self._exponent, step)
            shears = passed.shears(step, self._weights)
            retreat(shears, self._state, rate, self._grads, settled, pulled, exponent)
            if pulled is not None:
                self._pull_constants(constants, pulled)
            if drift is not None:
                self._drifts.append(drift.relative())

    # undoing a step

    def _rate(self, step: int, term: Term, target: str) -> Tensor:
        """Evaluates a rate once more, and adds to the gradients of what it reads.

        A term of a shear is y += c F(x, θ), where x does not hold y. With the cotangent ȳ, which it
        leaves as it is, its transpose is x̄ += c (∂F/∂x)ᵀ ȳ and θ̄ += c (∂F/∂θ)ᵀ ȳ. The value of F
        undoes the term: y -= c F.
        """
        # Multiplied first, as plain autograd does: a cotangent of 16 bits could overflow.
        cotangent = self._grads.find(target)
        if cotangent is not None and not is_number(term.factor, 1):
            cotangent = cotangent * term.factor
        return self._evaluate(term, step, cotangent)

    def _exponent(self, step: int, term: Term, target: str) -> Tensor:
        """The same for what a value is multiplied by the exponential of.

        With y = e^E x the gradient by E is y ȳ, and 1 by the log-determinant at every element.
        """
        stretched, cotangent = self._state.read(target), self._grads.find(target)
        if cotangent is not None:
            cotangent = cotangent * stretched
        by_volume = self._further.get(LOG_DET)
        if by_volume is not None:
            everywhere = per_sample(by_volume, stretched)
            cotangent = everywhere if cotangent is None else cotangent + everywhere
        return self._evaluate(term, step, cotangent)

    def _evaluate(self, term: Term, step: int, cotangent: Tensor | None) -> Tensor:
        """The value of a term, its cotangent pulled back to what it reads."""
        detached = self._read_as_recorded(term.params, step)
        reads = _leaves(self._state.read(slot) for slot in term.reads)
        with torch.enable_grad():
            value = term.rate(*reads, *detached.values)
        pulled = self._pull([value], [cotangent], reads, detached)
        for slot, gradient in zip(term.reads, pulled, strict=True):
            if gradient is not None:
                self._grads.increase(slot, gradient, 1.0)
        return value.detach()

    def _constants(self, step: int) -> DetachedValues:
        """The constants of a step of those that differ, learned ones as leaves."""
        weights = self._passed.weights
        names, none = self._passed.flow.varying, iter(())
        return weights.detached(names, step, self._weights, self._needed, self._wanted, none)

    def _pull_constants(self, constants: DetachedValues, pulled: Sequence[Tensor | None]) -> None:
        """Pulls gradients by the coefficients of a step back to its learned constants."""
        with torch.enable_grad():
            found = coefficients(self._passed.flow.shears(*constants.values))
            pairs = [
                (coefficient, gradient.to(coefficient.dtype))
                for coefficient, gradient in zip(found, pulled, strict=True)
                if isinstance(coefficient, Tensor)
                and coefficient.requires_grad
                and gradient is not None
            ]
        if not pairs:
            return
        values, gradients = zip(*pairs, strict=True)
        leaves = constants.leaves
        by_leaves = torch.autograd.grad(values, leaves, gradients, allow_unused=True)
        for address, gradient in zip(constants.addresses, by_leaves, strict=True):
            if gradient is not None:
                self._sums.add(address, gradient)

    def _undo_compiled(self, compiled: CompiledSteps, step: int) -> None:
        passed = self._passed
        values, addresses = passed.weights.functional(step, self._weights, self._wanted)
        ends = self._state.tensors(), self._grads.filled(self._state)
        by_volume = self._further.get(LOG_DET)
        state, grads, sums = compiled.pull_back(passed.flow, *ends, by_volume, values)
        self._state.replace(state)
        self._grads.put_all(grads)
        for key, gradient in sums.items():
            self._sums.add(addresses[key], gradient)

    # running a step again

    def _rerun(self, step: int) -> None:
        """One step once more from the state that was kept before it."""
        passed = self._passed
        detached = self._read_as_recorded(passed.weights.names, step)
        reads = _leaves(self._kept[step].tensors())
        for name, value in zip(passed.weights.names, detached.values, strict=True):
            passed.flow.__dict__[name] = OneStep(value)
        with torch.enable_grad():
            end = one_step(passed.flow, passed.as_state(reads), step)
        self._grads.put_all(self._pull(list(end), self._grads.found(), reads, detached))

    # both

    def _read_as_recorded(self, names: Sequence[str], step: int) -> DetachedValues:
        """What an evaluation reads in addition to the state, as it was, and as leaves."""
        passed, evaluation = self._passed, next(self._evaluations)
        if evaluation.random is not None:
            evaluation.random.restore(passed.recorder.device)
        detached = passed.weights.detached(
            names, step, self._weights, self._needed, self._wanted, iter(evaluation.replicas())
        )
        if passed.source.context:
            context = [
                detached.leaf(
                    Address(place, None), tensor, self._needed[place], self._wanted[place]
                )
                for place, tensor in enumerate(self._context, len(self._weights))
            ]
            passed.flow.context = evaluation.context.repeated(context)
        passed.flow.collected.clear()
        return detached

    def _pull(
        self,
        outputs: list[Tensor],
        cotangents: Sequence[Tensor | None],
        reads: list[Tensor],
        detached: DetachedValues,
    ) -> list[Tensor | None]:
        """Pulls cotangents back; gives the gradients by what was read, and adds up the others."""
        passed = self._passed
        further = passed.flow.collected
        outputs = [*outputs, *further.values()]
        cotangents = [*cotangents, *(self._further[name] for name in further)]
        if passed.weights.units:  # which are to be gone back over, whatever depends on them
            pairs = zip(outputs, cotangents, strict=True)
            cotangents = [torch.zeros_like(out) if c is None else c for out, c in pairs]
        # A rate may be smaller than the slot it is broadcast to, and of lower precision.
        pairs = [
            (out, cotangent.sum_to_size(out.shape).to(out.dtype))
            for out, cotangent in zip(outputs, cotangents, strict=True)
            if cotangent is not None and out.requires_grad
        ]
        leaves = [*reads, *detached.leaves]
        if not pairs:
            detached.release()
            return [None] * len(reads)
        values, fitted = zip(*pairs, strict=True)
        pulled = self._differentiated(values, fitted, leaves, detached)
        detached.release()
        by_reads, by_leaves = pulled[: len(reads)], pulled[len(reads) :]
        others = storages((*fitted, *reads, *by_reads))
        for address, gradient in zip(detached.addresses, by_leaves, strict=True):
            if gradient is not None:
                self._sums.add(address, gradient, others)
        return list(by_reads)

    def _differentiated(
        self,
        values: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        leaves: Sequence[Tensor],
        detached: DetachedValues,
    ) -> Sequence[Tensor | None]:
        """The gradients by the leaves; the whole graph is gone over where a part may not be.

        The hooks of a sharded module take the gradients of its parameters from a full backward, and
        a reentrant checkpoint allows no other.
        """
        whole = bool(self._passed.weights.units)
        if not whole:
            nodes = graph(values)
            refuse_captured(self._passed.source, nodes, [*leaves, *detached.unwanted])
            whole = checkpointed(nodes)
        if not whole:
            return torch.autograd.grad(values, leaves, cotangents, allow_unused=True)
        torch.autograd.backward(values, cotangents)
        return [leaf.grad for leaf in leaves]


def _leaves(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]
