"""The backward pass over steps: the state and the gradients before each step from those after it.

It either undoes a step, or runs it again from a state that was kept before it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor

from odenet.runtime.passes.compiled_steps import CompiledSteps
from odenet.runtime.passes.drift_meter import DriftMeter
from odenet.runtime.passes.flow_weights import Address, DetachedValues, WeightPart
from odenet.runtime.passes.forward import ForwardPass
from odenet.runtime.passes.gradient_sums import GradientSums, storages
from odenet.runtime.passes.memory_format import in_order_of
from odenet.runtime.passes.shear import Term, coefficients_in_reverse, is_number
from odenet.runtime.passes.state_gradients import StateGradients
from odenet.runtime.passes.step_weights import OneStepStack
from odenet.runtime.passes.steps import retreat
from odenet.runtime.passes.volume import LOG_DET, broadcast_samples, run_step
from odenet.runtime.repetition.recorder import random_states_preserved
from odenet.runtime.repetition.refusals import graph_nodes, is_checkpointed, refuse_captured


class BackwardPass:
    """The backward pass of one `ForwardPass`.

    Args:
        forward_pass: the forward pass.
        saved: the tensors of its kept states, its weights and its context.
        gradients: the gradients with respect to the last state, then to the further results; None
            is zero.
        required: which weights and further inputs had ``requires_grad`` in the forward pass.
        wanted: for which of these weights and inputs a gradient is computed.
        sliced: positions of the stacked weights whose slices are handed over one by one.
    """

    def __init__(
        self,
        forward_pass: ForwardPass,
        saved: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        required: Sequence[bool],
        wanted: Sequence[bool],
        sliced: Collection[int] = (),
    ):
        tensors = iter(saved)
        self._forward = forward_pass
        self._kept = {step: p.rebuilt_from(tensors) for step, p in forward_pass.kept_states.items()}
        weights_and_context, count = list(tensors), len(forward_pass.weights.tensors)
        self._weights = [forward_pass.reorder_kernels(w) for w in weights_and_context[:count]]
        self._context = weights_and_context[count:]
        self._required, self._wanted = required, wanted
        self._sums = GradientSums(weights_and_context, gradients, sliced)
        slots = forward_pass.flow.slots
        state_gradients, further_grads = gradients[: len(slots)], gradients[len(slots) :]
        if forward_pass.undo:
            self._state = self._kept[forward_pass.steps.stop]
            pairs = zip(state_gradients, self._state.tensors(), strict=True)
            state_gradients = [None if g is None else in_order_of(g, value) for g, value in pairs]
        self._grads = StateGradients(slots, state_gradients)
        # Further result -> the gradient with respect to it.
        self._further_grads = dict(zip(forward_pass.further_names, further_grads, strict=True))
        self._evaluations = reversed(forward_pass.recorder.evaluations)
        self._drift_per_anchor: list[Tensor] = []

    def run(self) -> tuple[Tensor | None, ...]:
        """Runs over all steps.

        Returns:
            The gradients with respect to the first state, the weights and the context.
        """
        with self._restored_surroundings():
            for step in reversed(self._forward.steps):
                self._undo_step(step)
        self._note_drift()
        return (*self._grads.gradients(), *self._sums.values)

    def undo(self, step: int) -> None:
        """Runs over one step; to be called for each, the last step first."""
        with self._restored_surroundings():
            self._undo_step(step)

    def take(self, part: WeightPart) -> Tensor | None:
        """The gradient with respect to a weight, once all steps that read it are undone."""
        return self._sums.take(part)

    def finish(self) -> tuple[Tensor | None, ...]:
        """The gradients with respect to the first state and the context, after all steps."""
        self._note_drift()
        return (*self._grads.gradients(), *self._sums.values[len(self._weights) :])

    @contextmanager
    def _restored_surroundings(self) -> Iterator[None]:
        """The settings of torch in the forward pass; the random streams are restored at the end."""
        forward, device = self._forward, self._forward.recorder.device
        is_random = any(e.random is not None for e in forward.recorder.evaluations)
        preserved = random_states_preserved(device) if is_random else nullcontext()
        with preserved, forward.original_settings():
            yield

    def _note_drift(self) -> None:
        if self._drift_per_anchor:
            self._forward.original.note_drift(torch.stack(self._drift_per_anchor).amax())

    def _undo_step(self, step: int) -> None:
        """Undoes a step, or runs it again from the state before it; pulls the gradients back."""
        forward, true_state = self._forward, self._kept.get(step)
        if not forward.undo:
            self._rerun_step(step)
            return
        self._state = self._kept.get(step + 1, self._state)
        if forward.compiled and true_state is None:
            self._undo_compiled(forward.compiled, step)
        else:
            self._state.rename(forward.relabel_back)
            self._grads.rename(forward.relabel_back)
            drift = None if true_state is None else DriftMeter(self._state, true_state)
            # In exact arithmetic the rebuilt state is the true one, and stays in its fixed point.
            compare = None if drift is None or forward.flow.exact else drift.compare_slot
            constants = self._detached_constants(step)
            coefficient_grads = [] if constants.leaves else None
            evaluate = partial(self._evaluate_term, step)
            exponent = partial(self._evaluate_exponent, step)
            shears = forward.shears(step, self._weights)
            retreat(
                shears, self._state, evaluate, self._grads, compare, coefficient_grads, exponent
            )
            if coefficient_grads is not None:
                self._pull_constants(constants, coefficient_grads)
            if drift is not None:
                self._drift_per_anchor.append(drift.relative_error())

    # Undoing a step.

    def _evaluate_term(self, step: int, term: Term, target: str) -> Tensor:
        """Evaluates a right-hand side again, and pulls the gradient of its target back through it.

        A term of a shear is y += c F(x, θ), where x does not hold y. Its transpose is
        x̄ += c (∂F/∂x)ᵀ ȳ and θ̄ += c (∂F/∂θ)ᵀ ȳ, with ȳ unchanged. The value of F, which is
        returned, undoes the term: y -= c F.
        """
        # Multiplied first, as plain autograd does: a cotangent of 16 bits could overflow.
        cotangent = self._grads.read_or_none(target)
        if cotangent is not None and not is_number(term.factor, 1):
            cotangent = cotangent * term.factor
        return self._pull_back_term(term, step, cotangent)

    def _evaluate_exponent(self, step: int, term: Term, target: str) -> Tensor:
        """The same as `_evaluate_term` for an exponent E.

        With y = e^E x the gradient with respect to E is y ȳ, plus that of the log-determinant, to
        which every element of E contributes with the factor 1.
        """
        target_value, cotangent = self._state.read(target), self._grads.read_or_none(target)
        if cotangent is not None:
            cotangent = cotangent * target_value
        log_det_grad = self._further_grads.get(LOG_DET)
        if log_det_grad is not None:
            element_gradients = broadcast_samples(log_det_grad, target_value)
            cotangent = element_gradients if cotangent is None else cotangent + element_gradients
        return self._pull_back_term(term, step, cotangent)

    def _pull_back_term(self, term: Term, step: int, cotangent: Tensor | None) -> Tensor:
        """The value of a term; the vector-Jacobian product is added to the gradients."""
        detached = self._read_as_recorded(term.params, step)
        reads = _leaves(self._state.read(slot) for slot in term.reads)
        with torch.enable_grad():
            value = term.rate(*reads, *detached.values)
        gradients = self._pull([value], [cotangent], reads, detached)
        for slot, gradient in zip(term.reads, gradients, strict=True):
            if gradient is not None:
                self._grads.increase(slot, gradient, factor=1.0)
        return value.detach()

    def _detached_constants(self, step: int) -> DetachedValues:
        """The step's values of the ``varying`` constants, learned ones as leaves."""
        weights = self._forward.weights
        names, no_copies = self._forward.flow.varying, iter(())
        return weights.detached(names, step, self._weights, self._required, self._wanted, no_copies)

    def _pull_constants(
        self, constants: DetachedValues, coefficient_grads: Sequence[Tensor | None]
    ) -> None:
        """Pulls the gradients of a step's coefficients back to its learned constants."""
        with torch.enable_grad():
            coefficients = coefficients_in_reverse(self._forward.flow.shears(*constants.values))
            pairs = [
                (coefficient, gradient.to(coefficient.dtype))
                for coefficient, gradient in zip(coefficients, coefficient_grads, strict=True)
                if isinstance(coefficient, Tensor)
                and coefficient.requires_grad
                and gradient is not None
            ]
        if not pairs:
            return
        values, gradients = zip(*pairs, strict=True)
        leaves = constants.leaves
        leaf_gradients = torch.autograd.grad(values, leaves, gradients, allow_unused=True)
        for address, gradient in zip(constants.addresses, leaf_gradients, strict=True):
            if gradient is not None:
                self._sums.add(address, gradient)

    def _undo_compiled(self, compiled: CompiledSteps, step: int) -> None:
        forward = self._forward
        values, addresses = forward.weights.step_weights(step, self._weights, self._wanted)
        inputs = self._state.tensors(), self._grads.gradients_or_zeros(self._state)
        log_det_grad = self._further_grads.get(LOG_DET)
        state, grads, sums = compiled.pull_back(forward.flow, *inputs, log_det_grad, values)
        self._state.replace(state)
        self._grads.set_all(grads)
        for key, gradient in sums.items():
            self._sums.add(addresses[key], gradient)

    # Running a step again.

    def _rerun_step(self, step: int) -> None:
        """Runs a step again from the state that was kept before it, and differentiates it."""
        forward = self._forward
        detached = self._read_as_recorded(forward.weights.names, step)
        reads = _leaves(self._kept[step].tensors())
        for name, value in zip(forward.weights.names, detached.values, strict=True):
            forward.flow.__dict__[name] = OneStepStack(value)
        with torch.enable_grad():
            state_after = run_step(forward.flow, forward.as_state(reads), step)
        self._grads.set_all(self._pull(list(state_after), self._grads.gradients(), reads, detached))

    # Used by both.

    def _read_as_recorded(self, names: Sequence[str], step: int) -> DetachedValues:
        """The weights and further inputs of an evaluation, as they were recorded, as leaves.

        It also sets the random streams back to where they were before that evaluation.
        """
        forward, evaluation = self._forward, next(self._evaluations)
        if evaluation.random is not None:
            evaluation.random.restore(forward.recorder.device)
        detached = forward.weights.detached(
            names, step, self._weights, self._required, self._wanted, iter(evaluation.replicas())
        )
        if forward.original.context:
            context = [
                detached.add_leaf(
                    Address(position, None),
                    tensor,
                    self._required[position],
                    self._wanted[position],
                )
                for position, tensor in enumerate(self._context, len(self._weights))
            ]
            forward.flow.context = evaluation.context.restored(context)
        forward.flow.collected.clear()
        return detached

    def _pull(
        self,
        outputs: list[Tensor],
        cotangents: Sequence[Tensor | None],
        reads: list[Tensor],
        detached: DetachedValues,
    ) -> list[Tensor | None]:
        """Computes the vector-Jacobian product of an evaluation.

        Args:
            outputs: the results of the evaluation.
            cotangents: the gradients with respect to the outputs; None is zero.
            reads: the leaves of the state that it read.
            detached: the leaves of the weights and further inputs.

        Returns:
            The gradients with respect to ``reads``; the others are added to the sums.
        """
        forward = self._forward
        further_results = forward.flow.collected
        outputs = [*outputs, *further_results.values()]
        cotangents = [*cotangents, *(self._further_grads[name] for name in further_results)]
        if forward.weights.fsdp_units:  # their hooks need a backward in any case
            pairs = zip(outputs, cotangents, strict=True)
            cotangents = [torch.zeros_like(out) if c is None else c for out, c in pairs]
        # A value may be smaller than the slot that it is broadcast to, and of lower precision.
        pairs = [
            (out, cotangent.sum_to_size(out.shape).to(out.dtype))
            for out, cotangent in zip(outputs, cotangents, strict=True)
            if cotangent is not None and out.requires_grad
        ]
        leaves = [*reads, *detached.leaves]
        if not pairs:
            detached.release()
            return [None] * len(reads)
        values, cast_cotangents = zip(*pairs, strict=True)
        gradients = self._gradients_of(values, cast_cotangents, leaves, detached)
        detached.release()
        read_gradients, leaf_gradients = gradients[: len(reads)], gradients[len(reads) :]
        other_storages = storages((*cast_cotangents, *reads, *read_gradients))
        for address, gradient in zip(detached.addresses, leaf_gradients, strict=True):
            if gradient is not None:
                self._sums.add(address, gradient, other_storages)
        return list(read_gradients)

    def _gradients_of(
        self,
        values: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        leaves: Sequence[Tensor],
        detached: DetachedValues,
    ) -> Sequence[Tensor | None]:
        """The gradients with respect to the leaves, by `grad` or by a full `backward`.

        The hooks of a sharded module take the gradients of its parameters from a full backward, and
        a reentrant checkpoint allows no other.
        """
        full_backward = bool(self._forward.weights.fsdp_units)
        if not full_backward:
            nodes = graph_nodes(values)
            refuse_captured(self._forward.original, nodes, [*leaves, *detached.undifferentiated])
            full_backward = is_checkpointed(nodes)
        if not full_backward:
            return torch.autograd.grad(values, leaves, cotangents, allow_unused=True)
        torch.autograd.backward(values, cotangents)
        return [leaf.grad for leaf in leaves]


def _leaves(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]
