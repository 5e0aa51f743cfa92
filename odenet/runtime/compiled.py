"""One step forward and one step back, compiled once and used for every step.

The time to compile does not grow with depth: the weights of a step are arguments, and the modules
of all steps lend their tensors to those of the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from odenet.runtime.shear import Registers
from odenet.runtime.steps import advance, pull_back
from odenet.runtime.weights import Key, StepWeights

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow

State = tuple[Tensor, ...]


class CompiledSteps:
    """The compiled functions of a flow, which run as they are where there is no compiler.

    Args:
        options: of ``torch.compile``.
    """

    def __init__(self, options: Mapping[str, Any]):
        self._options = options
        self._advance: Callable = torch.compile(_advance, **options)
        self._pull_back: Callable = torch.compile(_pull_back, **options)

    def __deepcopy__(self, memo: dict) -> CompiledSteps:
        return CompiledSteps(self._options)

    def advance(self, flow: Flow, state: State, weights: StepWeights) -> State:
        """One step forward."""
        return self._call("_advance", flow, state, _with_buffers(flow, weights))

    def pull_back(
        self, flow: Flow, state: State, gradients: State, weights: StepWeights
    ) -> tuple[State, State, dict[Key, Tensor]]:
        """One step back: the state and the gradients before it, and those by its weights."""
        return self._call("_pull_back", flow, state, gradients, _with_buffers(flow, weights))

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


def _with_buffers(flow: Flow, weights: StepWeights) -> StepWeights:
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


def _advance(flow: Flow, state: State, weights: StepWeights) -> State:
    registers = Registers(flow.slots, state)
    advance(flow.shears(), registers, lambda term: weights.arguments(term, {}))
    registers.rename(flow.relabel)
    return registers.tensors()


def _pull_back(
    flow: Flow, state: State, gradients: State, weights: StepWeights
) -> tuple[State, State, dict[Key, Tensor]]:
    undone = {new: old for old, new in flow.relabel.items()}
    registers, grads = Registers(flow.slots, state), Registers(flow.slots, gradients)
    registers.rename(undone)
    grads.rename(undone)
    sums: dict[Key, Tensor] = {}
    for key, gradient, factor in pull_back(flow.shears(), registers, grads, weights, lambda: None):
        share = factor * gradient
        sums[key] = sums[key] + share if key in sums else share
    return registers.tensors(), grads.tensors(), sums
