"""The learned tensors of a flow as one flat list, which is what autograd gets as inputs.

A stacked parameter is one tensor of the list; each step reads a slice of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from odenet.runtime.learned.constants import LearnedConstant
from odenet.runtime.learned.knots import Interpolation, Knotted
from odenet.runtime.passes.protocol import Stepwise
from odenet.runtime.passes.step_weights import StepWeights, WeightKey
from odenet.runtime.repetition.replica import InPlaceReplica, submodules
from odenet.runtime.repetition.replica_pool import PooledReplica


class Address(NamedTuple):
    """Where a weight of one step is found: a tensor's position in the list, and which part of it.

    The index is that of a slice, an interpolation of slices, or None for the whole tensor.
    """

    position: int
    index: int | Interpolation | None


class WeightPart(NamedTuple):
    """A tensor of the list, or one slice of it, whose gradient is handed over on its own."""

    position: int
    slice: int | None


class FlowWeights:
    """The parameters that the steps of a flow read.

    A module under FSDP2 gathers its parameters when it is called, and its own hooks reduce their
    gradients. Such a module is evaluated itself, and its parameters are not in the list.

    Args:
        flow: the flow.
        names: attributes that hold stacked parameters, a module per step, or a constant per step.

    Attributes:
        tensors: the list: every stacked parameter, and every parameter of every step's modules.
        step_modules: the modules of all steps.
        submodules: these and all modules within them, but for those under FSDP2.
        fsdp_units: the modules under FSDP2.
    """

    def __init__(self, flow: Stepwise, names: Sequence[str]):
        self.tensors: list[Tensor] = []
        self._positions: dict[int, int] = {}  # in the list, by `id` of the tensor
        self._stacks: dict[str, Tensor | Knotted] = {}
        self._modules: dict[str, list[_StepModule]] = {}
        self._numbers: dict[str, Sequence[float]] = {}
        for name in names:
            value = getattr(flow, name)
            if isinstance(value, LearnedConstant):
                value = value.values()
            if isinstance(value, nn.ModuleList):
                self._modules[name] = [self._step_module(module) for module in value]
            elif name in flow.varying and not isinstance(value, Tensor):
                self._numbers[name] = value
            else:
                self._stacks[name] = value
                self._position(_stored_tensor(value))
        entries = [entry for modules in self._modules.values() for entry in modules]
        self.step_modules = [entry.module for entry in entries]
        self.fsdp_units = [entry.module for entry in entries if entry.addresses is None]
        self.submodules = [
            submodule
            for entry in entries
            if entry.addresses is not None
            for submodule in entry.submodules
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attributes: stacks, then modules, then numbers."""
        return (*self._stacks, *self._modules, *self._numbers)

    @property
    def stacks(self) -> list[nn.Parameter]:
        """The stacked parameters, without those that a parametrization computes."""
        stored = map(_stored_tensor, self._stacks.values())
        return [stack for stack in stored if isinstance(stack, nn.Parameter)]

    @property
    def is_stateless(self) -> bool:
        """Whether the modules hold no tensors but parameters and the statistics of norms."""
        return all(isinstance(m, _NormBase) or not m._buffers for m in self.submodules)

    def first_read(self, steps: range, sliced: Collection[int]) -> dict[int, list[WeightPart]]:
        """Step -> the weights that no step before it reads.

        Their gradients are complete once the backward pass has undone this step.

        Args:
            steps: the steps of the pass.
            sliced: positions of the tensors of which each slice counts on its own.
        """
        seen: set[WeightPart] = set()
        first_read_in: dict[int, list[WeightPart]] = {}
        for step in steps:
            parts = dict.fromkeys(
                part for address in self._addresses(step) for part in _weight_parts(address, sliced)
            )
            first_read_in[step] = [part for part in parts if part not in seen]
            seen.update(parts)
        return first_read_in

    def _addresses(self, step: int) -> Iterator[Address]:
        yield from (self._address(name, step) for name in self._stacks)
        for name in self._modules:
            yield from (self._module_of_step(name, step).addresses or {}).values()

    def values(self, names: Sequence[str], step: int, tensors: Sequence[Tensor]) -> list:
        """The values of some attributes in a step: slices of stacks, modules, numbers.

        Args:
            names: attributes of the flow.
            step: the step.
            tensors: the list, or other tensors in its place.
        """
        return [self._value_in_step(name, step, tensors) for name in names]

    def modules(self, names: Sequence[str], step: int) -> list[nn.Module]:
        """The modules among the values of some attributes in a step."""
        return [self._module_of_step(name, step).module for name in names if name in self._modules]

    def detached(
        self,
        names: Sequence[str],
        step: int,
        tensors: Sequence[Tensor],
        required: Sequence[bool],
        wanted: Sequence[bool],
        replicas: Iterator[PooledReplica],
    ) -> DetachedValues:
        """The same values as new leaves of autograd, for another evaluation.

        Args:
            names: attributes of the flow.
            step: the step.
            tensors: the list, as it was saved.
            required: by position, whether the leaf has ``requires_grad``.
            wanted: by position, whether a gradient is computed.
            replicas: copies of the modules, which get the leaves as parameters.
        """
        detached = DetachedValues([], [], [], [], [])

        def leaf_at(address: Address) -> Tensor:
            i = address.position
            return detached.add_leaf(address, _value_at(tensors, address), required[i], wanted[i])

        for name in names:
            if name in self._stacks:
                detached.values.append(leaf_at(self._address(name, step)))
                continue
            if name in self._numbers:
                detached.values.append(self._numbers[name][step])
                continue
            entry, pooled = self._module_of_step(name, step), next(replicas)
            replica = pooled.replica
            detached.replicas.append(pooled)
            if entry.addresses is None:
                detached.values.append(InPlaceReplica(entry.module, replica))
                continue
            replica.put_parameters({key: leaf_at(a) for key, a in entry.addresses.items()})
            detached.values.append(replica.module)
        return detached

    def step_weights(
        self, step: int, tensors: Sequence[Tensor], wanted: Sequence[bool]
    ) -> tuple[StepWeights, dict[WeightKey, Address]]:
        """The values of a step as arguments of a compiled function, and their addresses."""
        addresses: dict[WeightKey, Address] = {
            (name, ""): self._address(name, step) for name in self._stacks
        }
        modules = {name: self._module_of_step(name, step).module for name in self._modules}
        for name, module in modules.items():
            for key, parameter in module.named_parameters():
                addresses[name, key] = Address(self._positions[id(parameter)], index=None)
        values = {key: _value_at(tensors, address).detach() for key, address in addresses.items()}
        for name, numbers in self._numbers.items():  # as tensors, or each would be compiled in
            values[name, ""] = torch.tensor(numbers[step], dtype=torch.float64)
        keys = frozenset(key for key, address in addresses.items() if wanted[address.position])
        return StepWeights(values, modules, keys), addresses

    def _value_in_step(self, name: str, step: int, tensors: Sequence[Tensor]) -> Any:
        if name in self._modules:
            return self._module_of_step(name, step).module
        if name in self._numbers:
            return self._numbers[name][step]
        return _value_at(tensors, self._address(name, step))

    def _address(self, name: str, step: int) -> Address:
        """The address of a step's slice of a stack, or of the one slice that all steps share."""
        stack = self._stacks[name]
        if isinstance(stack, Knotted):
            return Address(self._positions[id(stack.knots)], stack.interpolation(step))
        return Address(self._positions[id(stack)], step if len(stack) > 1 else 0)

    def _step_module(self, module: nn.Module) -> _StepModule:
        modules = submodules(module)
        if any(map(_is_fsdp_unit, map(type, modules))):
            return _StepModule(module, modules, addresses=None)
        learned = [p for m in modules for p in m._parameters.values() if p is not None]
        addresses = {id(p): Address(self._position(p), index=None) for p in learned}
        return _StepModule(module, modules, addresses)

    def _module_of_step(self, name: str, step: int) -> _StepModule:
        modules = self._modules[name]
        return modules[step if len(modules) > 1 else 0]

    def _position(self, tensor: Tensor) -> int:
        position = self._positions.setdefault(id(tensor), len(self.tensors))
        if position == len(self.tensors):
            self.tensors.append(tensor)
        return position


class _StepModule(NamedTuple):
    """A module of a step, with all modules within it.

    The addresses of its parameters are by `id` of the parameter; None under FSDP2.
    """

    module: nn.Module
    submodules: list[nn.Module]
    addresses: dict[int, Address] | None


class DetachedValues(NamedTuple):
    """The values of a step's weights, detached from the parameters of the flow.

    This way a hook on a parameter is called once, with the gradient summed over all steps.
    """

    values: list
    leaves: list[Tensor]
    addresses: list[Address]
    replicas: list[PooledReplica]  # those whose modules are among the values
    undifferentiated: list[Tensor]  # with requires_grad, but no gradient is computed

    def add_leaf(self, address: Address, tensor: Tensor, required: bool, wanted: bool) -> Tensor:
        """A detached tensor, which is noted among the leaves if its gradient is wanted.

        It has ``requires_grad`` wherever the original had in the forward pass: modules may ask for
        it, and torch may take another path through a layer without it.
        """
        tensor = tensor.detach()
        if required:
            tensor.requires_grad_()
        if wanted:
            self.leaves.append(tensor)
            self.addresses.append(address)
        elif required:
            self.undifferentiated.append(tensor)
        return tensor

    def release(self) -> None:
        """Gives the replicas back to their pools; to be called after differentiation."""
        for replica in self.replicas:
            replica.release()


def _weight_parts(address: Address, sliced: Collection[int]) -> list[WeightPart]:
    position, index = address
    if index is None or position not in sliced:
        return [WeightPart(position, slice=None)]
    indices = [knot for knot, _ in index.terms] if isinstance(index, Interpolation) else [index]
    return [WeightPart(position, slice_index) for slice_index in indices]


def _stored_tensor(stack: Tensor | Knotted) -> Tensor:
    return stack.knots if isinstance(stack, Knotted) else stack


@cache
def _is_fsdp_unit(cls: type) -> bool:
    """Whether modules of a class were made units of FSDP2 by `fully_shard`."""
    return any(base.__name__ == "FSDPModule" for base in cls.__mro__)


def _value_at(tensors: Sequence[Tensor], address: Address) -> Tensor:
    tensor = tensors[address.position]
    if isinstance(address.index, Interpolation):
        return address.index.value(tensor)
    return tensor if address.index is None else tensor[address.index]
