"""The learned tensors of a flow as autograd sees them: one flat list, whole stacks and modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from odenet.runtime.shear import Shear, Term

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow


class Leaf(NamedTuple):
    """One tensor to differentiate by: its place in the list, and the step's slice of it."""

    place: int
    index: int | None
    tensor: Tensor


class Weights:
    """The parameters that the shears of a flow name.

    Attributes:
        tensors: every stacked parameter, whole, and every parameter of every step's modules.
    """

    def __init__(self, flow: Flow, shears: tuple[Shear, ...]):
        self.tensors: list[Tensor] = []
        self._stacks: dict[str, int] = {}
        self._modules: dict[str, list[tuple[nn.Module, dict[str, int]]]] = {}
        named = (name for shear in shears for term in shear.terms for name in term.params)
        for name in dict.fromkeys(named):
            value = getattr(flow, name)
            if isinstance(value, nn.ModuleList):
                self._modules[name] = [(module, self._places(module)) for module in value]
            else:
                self._stacks[name] = self._place(value)

    def arguments(self, term: Term, step: int, tensors: Sequence[Tensor]) -> list:
        """The values a term's rate takes at a step: slices of stacks, and modules."""
        values = []
        for name in term.params:
            if name in self._stacks:
                stack = tensors[self._stacks[name]]
                values.append(stack[_index(stack, step)])
            else:
                modules = self._modules[name]
                values.append(modules[_index(modules, step)][0])
        return values

    def leaves(self, term: Term, step: int, tensors: Sequence[Tensor]) -> tuple[list, list[Leaf]]:
        """As ``arguments``, on fresh leaves, so that no hook of a parameter runs twice."""
        values, leaves = [], []
        for name in term.params:
            if name in self._stacks:
                place = self._stacks[name]
                index = _index(tensors[place], step)
                leaf = _leaf(tensors[place], index)
                leaves.append(Leaf(place, index, leaf))
                values.append(leaf)
            else:
                modules = self._modules[name]
                module, places = modules[_index(modules, step)]
                own = {key: _leaf(tensors[place]) for key, place in places.items()}
                leaves += [Leaf(places[key], None, leaf) for key, leaf in own.items()]
                values.append(_with(module, own))
        return values, [leaf for leaf in leaves if leaf.tensor.requires_grad]

    def _place(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _places(self, module: nn.Module) -> dict[str, int]:
        return {key: self._place(tensor) for key, tensor in module.named_parameters()}


class GradientSums:
    """The gradients of the tensors of ``Weights``, filled slice by slice."""

    def __init__(self, tensors: Sequence[Tensor]):
        self.tensors = tensors
        self.values: list[Tensor | None] = [None] * len(tensors)

    def add(self, leaf: Leaf, gradient: Tensor, factor: float) -> None:
        """Adds factor * gradient to the leaf's slice."""
        total = self.values[leaf.place]
        if total is None:
            total = self.values[leaf.place] = torch.zeros_like(self.tensors[leaf.place])
        (total if leaf.index is None else total[leaf.index]).add_(gradient, alpha=factor)


def _index(stack: Tensor | list, step: int) -> int:
    return step if len(stack) > 1 else 0  # one value for all steps when it is shared


def _leaf(tensor: Tensor, index: int | None = None) -> Tensor:
    value = tensor.detach()
    return (value if index is None else value[index]).requires_grad_(tensor.requires_grad)


def _with(module: nn.Module, parameters: dict[str, Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs, **options: functional_call(module, parameters, inputs, options)
