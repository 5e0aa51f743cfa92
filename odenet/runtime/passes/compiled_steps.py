"""One step forward and one step backward, compiled once and used for every step.

The time to compile grows neither with depth nor with the number of similar flows: the weights of a
step are arguments, and the modules of the first step are called with the tensors of the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Registers, Term, coefficients_in_reverse
from odenet.runtime.passes.step_weights import StepWeights, WeightKey
from odenet.runtime.passes.steps import advance, retreat
from odenet.runtime.passes.volume import broadcast_samples, log_det_of_stretch

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow


def compiled_steps(flow: Flow, options: Mapping[str, Any]) -> CompiledSteps:
    """Compiled functions for a flow, the same for all flows that differ in their weights alone.

    Args:
        flow: the flow, already on its device and in its precision.
        options: the options of ``torch.compile``.
    """
    # Objects among the options live as long as the cache entry, so that no address is reused.
    option_texts = tuple(sorted((name, repr(value)) for name, value in options.items()))
    cache_key = (type(flow), _constants_key(flow), _weights_key(flow), option_texts)
    compiled = _compiled_by_key.get(cache_key)
    if compiled is None:
        compiled = _compiled_by_key[cache_key] = CompiledSteps(options)
    return compiled


_compiled_by_key: WeakValueDictionary[tuple, CompiledSteps] = WeakValueDictionary()


def _constants_key(flow: Flow) -> tuple:
    """The numbers of the scheme, such as h, which are compiled in, as part of the cache key."""
    return tuple(sorted((k, v) for k, v in flow.__dict__.items() if type(v) is float))


def _weights_key(flow: Flow) -> tuple:
    """Names, shapes and types of the weights of one step, as part of the cache key."""
    key: list[Any] = []
    for name in flow.learned_names():
        value = getattr(flow, name)
        first_value = value[0]
        if isinstance(first_value, float | int):  # a constant, which is an argument
            continue
        tensors = (
            first_value.state_dict(keep_vars=True).values()
            if isinstance(first_value, nn.Module)
            else (first_value,)
        )
        key += [name, repr(first_value) if isinstance(first_value, nn.Module) else ""]
        key += [(t.shape, t.dtype, t.device) for t in tensors]
    return tuple(key)


class CompiledSteps:
    """The compiled functions of similar flows; they run eagerly where compiling fails.

    Args:
        options: the options of ``torch.compile``.

    Raises:
        ValueError: if they ask for a CUDA graph of each step.
    """

    def __init__(self, options: Mapping[str, Any]):
        _refuse_graphs(options)
        self._options = options
        self._advance: Callable = torch.compile(_with_own_code(_advance), **options)
        self._pull_back: Callable = torch.compile(_with_own_code(_pull_back), **options)

    def __reduce__(self) -> tuple:
        """For copies and pickle: a copy compiles anew."""
        return CompiledSteps, (self._options,)

    def advance(
        self, flow: Stepwise, state: State, weights: StepWeights
    ) -> tuple[State, Tensor | None]:
        """Runs one step.

        Returns:
            The state after it, and the log-determinant if ``flow.collects_log_det``.
        """
        return self._call("_advance", flow, state, _with_buffers(flow, weights))

    def pull_back(
        self,
        flow: Stepwise,
        state: State,
        gradients: State,
        log_det_grad: Tensor | None,
        weights: StepWeights,
    ) -> tuple[State, State, dict[WeightKey, Tensor]]:
        """Undoes one step and pulls the gradients back through it.

        Args:
            flow: the flow.
            state: the state after the step.
            gradients: the gradients with respect to that state.
            log_det_grad: the gradient with respect to each sample's log-determinant, if that is
                collected.
            weights: the weights of the step.

        Returns:
            The state and the gradients before the step, and the gradients of its weights.
        """
        weights = _with_buffers(flow, weights)
        return self._call("_pull_back", flow, state, gradients, log_det_grad, weights)

    def _call(self, name: str, *arguments: Any) -> Any:
        # Imported here, since it is slow; torch.compile has imported it by now.
        from torch._dynamo import exc

        try:
            return getattr(self, name)(*arguments)
        except exc.TorchDynamoException as error:
            self._advance, self._pull_back = _advance, _pull_back
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"torch.compile failed, so flows run eagerly: {reason}", stacklevel=2)
            return getattr(self, name)(*arguments)


def _refuse_graphs(options: Mapping[str, Any]) -> None:
    """Refuses a CUDA graph per step, whose outputs the next step would overwrite.

    Raises:
        ValueError: if the options ask for one.
    """
    mode = options.get("mode")
    inductor = options.get("options") or {}
    if mode not in ("reduce-overhead", "max-autotune") and not inductor.get("triton.cudagraphs"):
        return
    replacement = "default" if mode == "reduce-overhead" else "max-autotune-no-cudagraphs"
    raise ValueError(
        f"flow.compile({f'mode={mode!r}' if mode else 'options=…'}) makes a CUDA graph of every "
        "step, each of which overwrites what the one before it gave: capture the whole flow, "
        f"torch.cuda.make_graphed_callables(flow, (u,)), or take flow.compile(mode={replacement!r})"
    )


def _with_own_code(function: FunctionType) -> FunctionType:
    """The same function with a code object of its own.

    torch keeps compiled code by code object, a few versions for each. Flows of different types that
    shared one would displace each other's versions, and run eagerly beyond the limit.
    """
    code = function.__code__.replace(co_name=function.__name__)
    return FunctionType(code, function.__globals__, function.__name__)


def _with_buffers(flow: Stepwise, weights: StepWeights) -> StepWeights:
    """The weights of a step with its buffers, for the modules of the first step to be called with.

    A module whose mode differs from that of the first step, such as a frozen norm, stays itself and
    is compiled for itself.
    """
    tensors, modules = dict(weights.tensors), dict(weights.modules)
    for name, module in weights.modules.items():
        first = getattr(flow, name)[0]
        if _modes(first) == _modes(module):
            modules[name] = first
            # Detached, since the first step would be compiled separately with its own buffers.
            tensors |= {(name, key): b.detach() for key, b in module.named_buffers()}
    return replace(weights, tensors=tensors, modules=modules)


def _modes(module: nn.Module) -> list[bool]:
    return [m.training for m in module.modules()]


def _advance(flow: Stepwise, state: State, weights: StepWeights) -> tuple[State, Tensor | None]:
    registers = Registers(flow.slots, state)
    log_dets: list[Tensor] = []

    def add_log_det(slot: str, exponent: Tensor) -> None:
        log_dets.append(log_det_of_stretch(registers.read(slot), exponent))

    def evaluate(term: Term, target: str) -> Tensor:
        return term.rate(*map(registers.read, term.reads), *weights.arguments(term, {}))

    shears = flow.shears(*weights.constants(flow.varying))
    advance(shears, registers, evaluate, add_log_det if flow.collects_log_det else None)
    registers.rename(flow.relabel)
    return registers.tensors(), sum(log_dets[1:], log_dets[0]) if log_dets else None


def _pull_back(
    flow: Stepwise,
    state: State,
    gradients: State,
    log_det_grad: Tensor | None,
    weights: StepWeights,
) -> tuple[State, State, dict[WeightKey, Tensor]]:
    relabel_back = {new: old for old, new in flow.relabel.items()}
    registers, grads = Registers(flow.slots, state), Registers(flow.slots, gradients)
    registers.rename(relabel_back)
    grads.rename(relabel_back)
    sums: dict[WeightKey, Tensor] = {}

    def evaluate(term: Term, target: str) -> Tensor:
        return pull_back_term(term, grads.read(target) * term.factor)

    def evaluate_exponent(term: Term, target: str) -> Tensor:  # as in BackwardPass
        target_value = registers.read(target)
        cotangent = grads.read(target) * target_value
        if log_det_grad is not None:
            cotangent = cotangent + broadcast_samples(log_det_grad, target_value)
        return pull_back_term(term, cotangent)

    def pull_back_term(term: Term, cotangent: Tensor) -> Tensor:
        keys = weights.differentiated_keys(term)
        inputs = [*map(registers.read, term.reads), *(weights.tensors[key] for key in keys)]

        def rate_of_inputs(*inputs: Tensor) -> Tensor:
            reads, tensors = inputs[: len(term.reads)], inputs[len(term.reads) :]
            # On copies of the buffers: norms have counted this batch in the forward pass.
            buffers = {key: buffer.clone() for key, buffer in weights.buffers(term)}
            term_weights = weights.arguments(term, buffers | dict(zip(keys, tensors, strict=True)))
            return term.rate(*reads, *term_weights)

        value, vjp, *_ = torch.func.vjp(rate_of_inputs, *inputs)
        gradients = vjp(cotangent.sum_to_size(value.shape).to(value.dtype))
        for slot, gradient in zip(term.reads, gradients, strict=False):
            grads.increase(slot, gradient, factor=1.0)
        for key, gradient in zip(keys, gradients[len(term.reads) :], strict=True):
            sums[key] = sums[key] + gradient if key in sums else gradient
        return value

    constants = weights.constants(flow.varying)
    learned_names = [name for name in flow.varying if (name, "") in weights.differentiated]
    coefficient_grads: list[Tensor | None] | None = [] if learned_names else None
    retreat(
        flow.shears(*constants),
        registers,
        evaluate,
        grads,
        coefficient_grads=coefficient_grads,
        evaluate_exponent=evaluate_exponent,
    )
    if coefficient_grads is not None:

        def coefficients_of(*learned_values: Tensor) -> tuple[Tensor, ...]:
            values = dict(zip(flow.varying, constants, strict=True))
            values |= dict(zip(learned_names, learned_values, strict=True))
            all_coefficients = coefficients_in_reverse(flow.shears(*values.values()))
            return tuple(c for c in all_coefficients if isinstance(c, Tensor))

        coefficients, vjp, *_ = torch.func.vjp(coefficients_of, *weights.constants(learned_names))
        nonzero_gradients = [gradient for gradient in coefficient_grads if gradient is not None]
        pairs = zip(nonzero_gradients, coefficients, strict=True)
        constant_gradients = vjp(tuple(gradient.to(c.dtype) for gradient, c in pairs))
        for name, gradient in zip(learned_names, constant_gradients, strict=True):
            key = name, ""
            sums[key] = sums[key] + gradient if key in sums else gradient
    return registers.tensors(), grads.tensors(), sums
