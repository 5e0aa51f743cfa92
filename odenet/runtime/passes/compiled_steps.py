"""One step forward and one step back, compiled once and used for every step.

The time to compile does not grow with depth, nor with the number of flows of one kind: the weights
of a step are arguments, and the modules of all steps lend their tensors to those of the first.
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
from odenet.runtime.passes.shear import Registers, Term, coefficients
from odenet.runtime.passes.step_weights import Key, StepWeights
from odenet.runtime.passes.steps import advance, retreat
from odenet.runtime.passes.volume import log_of_stretch, per_sample

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow


def compiled_steps(flow: Flow, options: Mapping[str, Any]) -> CompiledSteps:
    """Compiled functions for a flow, the same for all flows that differ in their weights alone.

    Args:
        flow: with weights where, and of the types that, they are used.
        options: of ``torch.compile``.
    """
    # What is given as options lives as long as the entry, so that no address is met twice.
    given = tuple(sorted((name, repr(value)) for name, value in options.items()))
    kind = (type(flow), _constants(flow), _weights(flow), given)
    found = _in_use.get(kind)
    if found is None:
        found = _in_use[kind] = CompiledSteps(options)
    return found


_in_use: WeakValueDictionary[tuple, CompiledSteps] = WeakValueDictionary()


def _constants(flow: Flow) -> tuple:
    """Numbers of the scheme, such as h, which are compiled in."""
    return tuple(sorted((k, v) for k, v in flow.__dict__.items() if type(v) is float))


def _weights(flow: Flow) -> tuple:
    """What the weights of one step are."""
    found: list[Any] = []
    for name in flow.learned():
        value = getattr(flow, name)
        one = value[0]
        if isinstance(one, float | int):  # a constant, which is an argument
            continue
        tensors = one.state_dict(keep_vars=True).values() if isinstance(one, nn.Module) else (one,)
        found += [name, repr(one) if isinstance(one, nn.Module) else ""]
        found += [(t.shape, t.dtype, t.device) for t in tensors]
    return tuple(found)


class CompiledSteps:
    """The compiled functions of a kind of flows, which run as they are where there is no compiler.

    Args:
        options: of ``torch.compile``.

    Raises:
        ValueError: if they ask for a CUDA graph of each step.
    """

    def __init__(self, options: Mapping[str, Any]):
        _refuse_graphs(options)
        self._options = options
        self._advance: Callable = torch.compile(_separate(_advance), **options)
        self._pull_back: Callable = torch.compile(_separate(_pull_back), **options)

    def __reduce__(self) -> tuple:
        """Copies, here or in another process, compile for themselves."""
        return CompiledSteps, (self._options,)

    def advance(
        self, flow: Stepwise, state: State, weights: StepWeights
    ) -> tuple[State, Tensor | None]:
        """One step forward: the state after it, and its log-determinant where that is measured."""
        return self._call("_advance", flow, state, _with_buffers(flow, weights))

    def pull_back(
        self,
        flow: Stepwise,
        state: State,
        gradients: State,
        by_volume: Tensor | None,
        weights: StepWeights,
    ) -> tuple[State, State, dict[Key, Tensor]]:
        """One step back: the state and the gradients before it, and those by its weights.

        Args:
            flow: whose step it is.
            state: after the step.
            gradients: by that state.
            by_volume: by the log-determinant of each sample, where that is measured.
            weights: of the step.
        """
        weights = _with_buffers(flow, weights)
        return self._call("_pull_back", flow, state, gradients, by_volume, weights)

    def _call(self, name: str, *arguments: Any) -> Any:
        # Imported by torch.compile anyway, and as slowly as the rest of torch.
        from torch._dynamo import exc

        try:
            return getattr(self, name)(*arguments)
        except exc.TorchDynamoException as error:
            self._advance, self._pull_back = _advance, _pull_back
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"torch.compile failed, so flows run eagerly: {reason}", stacklevel=2)
            return getattr(self, name)(*arguments)


def _refuse_graphs(options: Mapping[str, Any]) -> None:
    """What such a graph gives is overwritten by the next step, and the first and last are kept."""
    mode = options.get("mode")
    asked = options.get("options") or {}
    if mode not in ("reduce-overhead", "max-autotune") and not asked.get("triton.cudagraphs"):
        return
    other = "default" if mode == "reduce-overhead" else "max-autotune-no-cudagraphs"
    raise ValueError(
        f"flow.compile({f'mode={mode!r}' if mode else 'options=…'}) makes a CUDA graph of every "
        "step, each of which overwrites what the one before it gave: capture the whole flow, "
        f"torch.cuda.make_graphed_callables(flow, (u,)), or take flow.compile(mode={other!r})"
    )


def _separate(function: FunctionType) -> FunctionType:
    """The same function with a code object of its own.

    torch keeps what it compiled by code object, a few versions each: kinds of flows that shared one
    would take each other's places, and run eagerly beyond the limit.
    """
    code = function.__code__.replace(co_name=function.__name__)
    return FunctionType(code, function.__globals__, function.__name__)


def _with_buffers(flow: Stepwise, weights: StepWeights) -> StepWeights:
    """The tensors of a step with the buffers of its modules, to go into the modules of the first.

    Modules in another mode than those, such as frozen norms, are kept: they compile on their own.
    """
    tensors, modules = dict(weights.tensors), dict(weights.modules)
    for name, module in weights.modules.items():
        first = getattr(flow, name)[0]
        if _modes(first) == _modes(module):
            modules[name] = first
            # Other objects than the buffers, or the first step would compile on its own.
            tensors |= {(name, key): b.detach() for key, b in module.named_buffers()}
    return replace(weights, tensors=tensors, modules=modules)


def _modes(module: nn.Module) -> list[bool]:
    return [m.training for m in module.modules()]


def _advance(flow: Stepwise, state: State, weights: StepWeights) -> tuple[State, Tensor | None]:
    registers = Registers(flow.slots, state)
    logs: list[Tensor] = []

    def stretched(slot: str, exponent: Tensor) -> None:
        logs.append(log_of_stretch(registers.read(slot), exponent))

    def rate(term: Term, target: str) -> Tensor:
        return term.rate(*map(registers.read, term.reads), *weights.arguments(term, {}))

    shears = flow.shears(*weights.constants(flow.varying))
    advance(shears, registers, rate, stretched if flow.measured else None)
    registers.rename(flow.relabel)
    return registers.tensors(), sum(logs[1:], logs[0]) if logs else None


def _pull_back(
    flow: Stepwise,
    state: State,
    gradients: State,
    by_volume: Tensor | None,
    weights: StepWeights,
) -> tuple[State, State, dict[Key, Tensor]]:
    undone = {new: old for old, new in flow.relabel.items()}
    registers, grads = Registers(flow.slots, state), Registers(flow.slots, gradients)
    registers.rename(undone)
    grads.rename(undone)
    sums: dict[Key, Tensor] = {}

    def rate(term: Term, target: str) -> Tensor:
        return pulled_back(term, grads.read(target) * term.factor)

    def exponent(term: Term, target: str) -> Tensor:  # as BackwardPass has it
        stretched = registers.read(target)
        cotangent = grads.read(target) * stretched
        if by_volume is not None:
            cotangent = cotangent + per_sample(by_volume, stretched)
        return pulled_back(term, cotangent)

    def pulled_back(term: Term, cotangent: Tensor) -> Tensor:
        keys = weights.keys(term)
        inputs = [*map(registers.read, term.reads), *(weights.tensors[key] for key in keys)]

        def evaluate(*inputs: Tensor) -> Tensor:
            reads, given = inputs[: len(term.reads)], inputs[len(term.reads) :]
            # Norms have counted the batch in the forward pass.
            uncounted = {key: buffer.clone() for key, buffer in weights.buffers(term)}
            learned = weights.arguments(term, uncounted | dict(zip(keys, given, strict=True)))
            return term.rate(*reads, *learned)

        value, pull, *_ = torch.func.vjp(evaluate, *inputs)
        pulled = pull(cotangent.sum_to_size(value.shape).to(value.dtype))
        for slot, gradient in zip(term.reads, pulled, strict=False):
            grads.increase(slot, gradient, 1.0)
        for key, gradient in zip(keys, pulled[len(term.reads) :], strict=True):
            sums[key] = sums[key] + gradient if key in sums else gradient
        return value

    constants = weights.constants(flow.varying)
    learned = [name for name in flow.varying if (name, "") in weights.wanted]
    pulled: list[Tensor | None] | None = [] if learned else None
    retreat(flow.shears(*constants), registers, rate, grads, pulled=pulled, exponent=exponent)
    if pulled is not None:

        def found(*given: Tensor) -> tuple[Tensor, ...]:
            own = dict(zip(flow.varying, constants, strict=True))
            own |= dict(zip(learned, given, strict=True))
            every = coefficients(flow.shears(*own.values()))
            return tuple(c for c in every if isinstance(c, Tensor))

        coefficient, pull, *_ = torch.func.vjp(found, *weights.constants(learned))
        by_coefficient = [gradient for gradient in pulled if gradient is not None]
        pairs = zip(by_coefficient, coefficient, strict=True)
        by_constant = pull(tuple(gradient.to(c.dtype) for gradient, c in pairs))
        for name, gradient in zip(learned, by_constant, strict=True):
            key = name, ""
            sums[key] = sums[key] + gradient if key in sums else gradient
    return registers.tensors(), grads.tensors(), sums
