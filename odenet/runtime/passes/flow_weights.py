"""The learned tensors of a flow as autograd sees them: one flat list, whole stacks and modules."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from odenet.runtime.learned.constants import LearnedConstant
from odenet.runtime.learned.knots import Between, Knotted
from odenet.runtime.passes.protocol import Stepwise
from odenet.runtime.passes.step_weights import Key, StepWeights
from odenet.runtime.repetition.replica import InPlaceReplica, parts
from odenet.runtime.repetition.replica_pool import PooledReplica


class Address(NamedTuple):
    """Where a tensor of one step is: its place in the list, and its slice of a stack or knots."""

    place: int
    index: int | Between | None


class Part(NamedTuple):
    """A tensor whose gradient is handed over on its own: all of it, or a slice of a stack."""

    place: int
    slice: int | None


class FlowWeights:
    """The parameters that the steps of a flow read.

    A module under FSDP2 gathers its parameters when it is called and reduces their gradients by its
    own hooks. It is evaluated as it is, and its parameters are not among these.

    Args:
        flow: the flow.
        names: attributes that hold stacked parameters, a module per step, or a constant per step.

    Attributes:
        tensors: every stacked parameter, whole, and every parameter of every step's modules.
        of_steps: the modules of all steps.
        parts: the same and all within them, but those that FSDP2 has hooks on.
        units: the latter, whose gradients go to their parameters past autograd's list.
    """

    def __init__(self, flow: Stepwise, names: Sequence[str]):
        self.tensors: list[Tensor] = []
        self._places: dict[int, int] = {}
        self._stacks: dict[str, Tensor | Knotted] = {}
        self._modules: dict[str, list[_Module]] = {}
        self._numbers: dict[str, Sequence[float]] = {}
        for name in names:
            value = getattr(flow, name)
            if isinstance(value, LearnedConstant):
                value = value.values()
            if isinstance(value, nn.ModuleList):
                self._modules[name] = [self._module(module) for module in value]
            elif name in flow.varying and not isinstance(value, Tensor):
                self._numbers[name] = value
            else:
                self._stacks[name] = value
                self._place(_stored(value))
        every = [one for several in self._modules.values() for one in several]
        self.of_steps = [one.module for one in every]
        self.units = [one.module for one in every if one.places is None]
        self.parts = [part for one in every if one.places is not None for part in one.parts]

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes of the flow."""
        return (*self._stacks, *self._modules, *self._numbers)

    @property
    def stacks(self) -> list[nn.Parameter]:
        """The stacked parameters, those apart that are computed from others."""
        stored = map(_stored, self._stacks.values())
        return [stack for stack in stored if isinstance(stack, nn.Parameter)]

    @property
    def stateless(self) -> bool:
        """Whether the modules hold no tensors but parameters and the statistics of norms."""
        return all(isinstance(m, _NormBase) or not m._buffers for m in self.parts)

    def completed(self, steps: range, apart: Collection[int]) -> dict[int, list[Part]]:
        """Step -> the weights of which it is the first reader, and so the last one undone.

        Args:
            steps: which steps are taken.
            apart: places of stacks whose slices count each on its own.
        """
        seen: set[Part] = set()
        found: dict[int, list[Part]] = {}
        for step in steps:
            read = dict.fromkeys(part for at in self._read(step) for part in _parts(at, apart))
            found[step] = [part for part in read if part not in seen]
            seen.update(read)
        return found

    def _read(self, step: int) -> Iterator[Address]:
        yield from (self._address(name, step) for name in self._stacks)
        for name in self._modules:
            yield from (self._at(name, step).places or {}).values()

    def values(self, names: Sequence[str], step: int, tensors: Sequence[Tensor]) -> list:
        """What some attributes hold for a step: slices of stacks, modules as they are, numbers."""
        return [self._value(name, step, tensors) for name in names]

    def modules(self, names: Sequence[str], step: int) -> list[nn.Module]:
        """The modules among them."""
        return [self._at(name, step).module for name in names if name in self._modules]

    def detached(
        self,
        names: Sequence[str],
        step: int,
        tensors: Sequence[Tensor],
        needed: Sequence[bool],
        wanted: Sequence[bool],
        replicas: Iterator[PooledReplica],
    ) -> DetachedValues:
        """The same values over again, as leaves to differentiate by.

        Args:
            names: attributes of the flow.
            step: the step.
            tensors: those of this list, as they were saved.
            needed: which of them are to be found to need a gradient.
            wanted: which of them to differentiate by.
            replicas: of the modules, to be given the leaves in place of their parameters.
        """
        found = DetachedValues([], [], [], [], [])

        def leaf(address: Address) -> Tensor:
            place = address.place
            return found.leaf(address, _at(tensors, address), needed[place], wanted[place])

        for name in names:
            if name in self._stacks:
                found.values.append(leaf(self._address(name, step)))
                continue
            if name in self._numbers:
                found.values.append(self._numbers[name][step])
                continue
            one, pooled = self._at(name, step), next(replicas)
            replica = pooled.replica
            found.replicas.append(pooled)
            if one.places is None:
                found.values.append(InPlaceReplica(one.module, replica))
                continue
            replica.put({key: leaf(address) for key, address in one.places.items()})
            found.values.append(replica.module)
        return found

    def functional(
        self, step: int, tensors: Sequence[Tensor], wanted: Sequence[bool]
    ) -> tuple[StepWeights, dict[Key, Address]]:
        """The values of a step as arguments of a compiled function, and where they are."""
        addresses: dict[Key, Address] = {
            (name, ""): self._address(name, step) for name in self._stacks
        }
        modules = {name: self._at(name, step).module for name in self._modules}
        for name, module in modules.items():
            for key, parameter in module.named_parameters():
                addresses[name, key] = Address(self._places[id(parameter)], None)
        values = {key: _at(tensors, address).detach() for key, address in addresses.items()}
        for name, numbers in self._numbers.items():  # as tensors, or each would be compiled in
            values[name, ""] = torch.tensor(numbers[step], dtype=torch.float64)
        asked = frozenset(key for key, address in addresses.items() if wanted[address.place])
        return StepWeights(values, modules, asked), addresses

    def _value(self, name: str, step: int, tensors: Sequence[Tensor]) -> Any:
        if name in self._modules:
            return self._at(name, step).module
        if name in self._numbers:
            return self._numbers[name][step]
        return _at(tensors, self._address(name, step))

    def _address(self, name: str, step: int) -> Address:
        """Where a step's slice of a stack is; of one that all steps share, the only one."""
        stack = self._stacks[name]
        if isinstance(stack, Knotted):
            return Address(self._places[id(stack.knots)], stack.at(step))
        return Address(self._places[id(stack)], step if len(stack) > 1 else 0)

    def _module(self, module: nn.Module) -> _Module:
        within = parts(module)
        if any(map(_is_unit, map(type, within))):
            return _Module(module, within, None)
        learned = [p for m in within for p in m._parameters.values() if p is not None]
        return _Module(module, within, {id(p): Address(self._place(p), None) for p in learned})

    def _at(self, name: str, step: int) -> _Module:
        modules = self._modules[name]
        return modules[step if len(modules) > 1 else 0]

    def _place(self, tensor: Tensor) -> int:
        place = self._places.setdefault(id(tensor), len(self.tensors))
        if place == len(self.tensors):
            self.tensors.append(tensor)
        return place


class _Module(NamedTuple):
    """A module of a step, its parts, and where its parameters are by `id`; None under FSDP2."""

    module: nn.Module
    parts: list[nn.Module]
    places: dict[int, Address] | None


class DetachedValues(NamedTuple):
    """Values of a step, detached from what the flow holds.

    Nothing that is hooked to a parameter notices their use; its gradient arrives there once, from
    the whole flow.
    """

    values: list
    leaves: list[Tensor]
    addresses: list[Address]
    replicas: list[PooledReplica]  # among the values
    unwanted: list[Tensor]  # leaves whose gradients nobody asks for

    def leaf(self, address: Address, tensor: Tensor, needed: bool, wanted: bool) -> Tensor:
        """A tensor apart from its graph, to differentiate by if that is wanted.

        It needs a gradient wherever the original did in the forward pass: modules may ask, and
        torch may take another way through a layer where nothing needs one.
        """
        tensor = tensor.detach()
        if needed:
            tensor.requires_grad_()
        if wanted:
            self.leaves.append(tensor)
            self.addresses.append(address)
        elif needed:
            self.unwanted.append(tensor)
        return tensor

    def release(self) -> None:
        """To be called when the repetition has been differentiated."""
        for replica in self.replicas:
            replica.release()


def _parts(address: Address, apart: Collection[int]) -> list[Part]:
    place, index = address
    if index is None or place not in apart:
        return [Part(place, None)]
    own = [one for one, _ in index.parts] if isinstance(index, Between) else [index]
    return [Part(place, one) for one in own]


def _stored(stack: Tensor | Knotted) -> Tensor:
    return stack.knots if isinstance(stack, Knotted) else stack


@cache
def _is_unit(kind: type) -> bool:
    """Whether modules of a class are units of FSDP2."""
    return any(base.__name__ == "FSDPModule" for base in kind.__mro__)


def _at(tensors: Sequence[Tensor], address: Address) -> Tensor:
    tensor = tensors[address.place]
    if isinstance(address.index, Between):
        return address.index.of(tensor)
    return tensor if address.index is None else tensor[address.index]
