"""The learned tensors of a flow as autograd sees them: one flat list, whole stacks and modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from odenet.runtime.shear import Shear, Term

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow

Key = tuple[str, str]  # an attribute of the flow, and within a module the name of its parameter


class Address(NamedTuple):
    """Where a tensor of one step is: its place in the list, and its slice of a stack."""

    place: int
    index: int | None


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
            stack = tensors[self._stacks[name]] if name in self._stacks else self._modules[name]
            value = stack[_index(stack, step)]
            values.append(value if isinstance(value, Tensor) else value[0])
        return values

    def addresses(self, step: int) -> dict[Key, Address]:
        """Where the tensors of a step are."""
        found = {}
        for name, place in self._stacks.items():
            found[name, ""] = Address(place, _index(self.tensors[place], step))
        for name, modules in self._modules.items():
            for key, place in modules[_index(modules, step)][1].items():
                found[name, key] = Address(place, None)
        return found

    def at(
        self, step: int, addresses: Mapping[Key, Address], tensors: Sequence[Tensor]
    ) -> StepWeights:
        """The values of a step, to be differentiated by where they ask for a gradient."""
        values, wanted = {}, set()
        for key, (place, index) in addresses.items():
            tensor = tensors[place].detach()
            values[key] = tensor if index is None else tensor[index]
            if tensors[place].requires_grad:
                wanted.add(key)
        modules = {
            name: several[_index(several, step)][0] for name, several in self._modules.items()
        }
        return StepWeights(values, modules, frozenset(wanted))

    def _place(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _places(self, module: nn.Module) -> dict[str, int]:
        return {key: self._place(tensor) for key, tensor in module.named_parameters()}


@dataclass(frozen=True)
class StepWeights:
    """The learned values of one step, detached from the parameters that hold them.

    Nothing that is hooked to a parameter notices their use; its gradient arrives there once, from
    the whole flow.

    Attributes:
        tensors: slices of stacks, and the parameters (and buffers) of modules.
        modules: what the modules' tensors are put into.
        wanted: which tensors to differentiate by.
    """

    tensors: Mapping[Key, Tensor]
    modules: Mapping[str, nn.Module]
    wanted: frozenset[Key]

    def keys(self, term: Term) -> list[Key]:
        """The tensors to differentiate a term by."""
        return [key for key in self.tensors if key[0] in term.params and key in self.wanted]

    def arguments(self, term: Term, given: Mapping[Key, Tensor]) -> list:
        """The values a term's rate takes, with some of the tensors given anew."""
        tensors = {**self.tensors, **given}
        values = []
        for name in term.params:
            if name in self.modules:
                own = {key: tensor for (of, key), tensor in tensors.items() if of == name}
                values.append(_with(self.modules[name], own))
            else:
                values.append(tensors[name, ""])
        return values


class GradientSums:
    """The gradients of the tensors of ``Weights``, filled slice by slice."""

    def __init__(self, tensors: Sequence[Tensor]):
        self.tensors = tensors
        self.values: list[Tensor | None] = [None] * len(tensors)

    def add(self, address: Address, gradient: Tensor, factor: float) -> None:
        """Adds factor * gradient to a tensor's, or to its slice of a stack's."""
        place, index = address
        total = self.values[place]
        if total is None:
            total = self.values[place] = torch.zeros_like(self.tensors[place])
        (total if index is None else total[index]).add_(gradient, alpha=factor)


def _index(stack: Tensor | list, step: int) -> int:
    return step if len(stack) > 1 else 0  # one value for all steps when it is shared


def _with(module: nn.Module, tensors: dict[str, Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs, **options: functional_call(module, tensors, inputs, options)
