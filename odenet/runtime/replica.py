"""Private copies of modules, in which an evaluation is repeated without anybody noticing.

A module's evaluation may read and change more than its parameters: flags, buffers, attributes,
generators of random numbers. A replica has the class, the hooks and the attributes of a module, and
dictionaries of its own, so that it can be given other tensors, and changes to it stay with it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from functools import partial
from types import MethodType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

HOOKS = tuple(name for name, value in vars(nn.Module()).items() if "hooks" in name and value == {})
_STANDARD = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)
_INERT = frozenset({int, float, bool, str, type(None), torch.device, torch.dtype})


def parts(module: nn.Module) -> list[nn.Module]:
    """A module and all within it, each once; `modules()` without the names."""
    found, waiting = {id(module): module}, [module]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


def own_attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """The attributes of a module that no bare module has, but those that cannot change."""
    own = module.__dict__.items()
    return [(name, v) for name, v in own if name not in _STANDARD and type(v) not in _INERT]


def holds_inert(container: Any) -> bool:
    """Whether a list, set or dictionary has nothing in it that can change."""
    values = container.values() if type(container) is dict else container
    return all(type(v) in _INERT for v in values)


def is_steady(value: Any) -> bool:
    """Whether a replica needs no attribute of its own while the original has the same object."""
    if type(value) in (list, set, dict) or isinstance(value, (torch.Generator, *_GENERATORS)):
        return False
    if type(value) is tuple:
        return all(map(is_steady, value))
    if isinstance(value, MethodType):
        return is_steady(value.__self__)
    if isinstance(value, partial):
        return all(map(is_steady, (value.func, *value.args, *value.keywords.values())))
    return True


class Held(NamedTuple):
    """A tensor of a module, and where its replica has one in its place.

    Attributes:
        module: the part of the module that has it.
        holder: the dictionary of the replica.
        name: the name in it.
        tensor: the module's.
    """

    module: nn.Module
    holder: dict[str, Any]
    name: str
    tensor: Tensor


class Replica:
    """A private copy of a module, with the very tensors of the original until it is given others.

    Args:
        module: is left alone.

    Attributes:
        module: the copy.
        parameters: of the module.
        tensors: its buffers and tensor attributes.
        custom: the module's parts whose evaluation may leave more in them than norms' statistics:
            their classes are not torch's own, or they have hooks or a forward method of their own.
    """

    def __init__(self, module: nn.Module):
        self.parameters: list[Held] = []
        self.tensors: list[Held] = []
        self.custom: list[nn.Module] = []
        self._twins: dict[int, nn.Module] = {}
        self._recurrent: list[nn.RNNBase] = []
        originals, wrapped = [], []
        for original in parts(module):
            kind = type(original)
            if kind.__name__ == "OptimizedModule":  # torch.compile(module)
                wrapped.append(original)
            elif isinstance(original, torch.jit.ScriptModule):  # has no parts to copy
                self._twins[id(original)] = original
            else:
                self._twins[id(original)] = object.__new__(kind)
                originals.append(original)
        # A compiled module is repeated as the module that it compiles.
        for outer in reversed(wrapped):
            self._twins[id(outer)] = self._twins[id(outer._orig_mod)]
        for original in originals:
            self._fill(self._twins[id(original)], original)
        self.module = self._twins[id(module)]

    def put(self, values: Mapping[int, Tensor]) -> None:
        """Other tensors in the places of parameters, by the `id` of these."""
        for _, holder, name, parameter in self.parameters:
            holder[name] = values.get(id(parameter), parameter)
        for twin in self._recurrent:  # which have a list of their parameters as well
            twin._flat_weights = [getattr(twin, name) for name in twin._flat_weights_names]

    def restore(self) -> None:
        """The tensors of the original in all places."""
        for _, holder, name, tensor in self.parameters:
            holder[name] = tensor
        for _, holder, name, tensor in self.tensors:
            holder[name] = tensor

    def _fill(self, twin: nn.Module, original: nn.Module) -> None:
        own = twin.__dict__
        own.update(original.__dict__)
        for name in ("_parameters", "_buffers"):
            own[name] = dict(own[name])
        own["_modules"] = {key: self._twins.get(id(m)) for key, m in original._modules.items()}
        for name in HOOKS:
            own[name] = own[name].copy()
        own.pop("_compiled_call_impl", None)  # which is bound to the original
        own_class = not type(original).__module__.startswith("torch.nn.modules.")
        if own_class or "forward" in own or any(own[name] for name in HOOKS):
            self.custom.append(original)
        if isinstance(twin, nn.RNNBase):
            self._recurrent.append(twin)
        for held, name in ((self.parameters, "_parameters"), (self.tensors, "_buffers")):
            there = own[name].items()
            held += [Held(original, own[name], key, t) for key, t in there if t is not None]
        for name, value in own_attributes(original):
            if isinstance(value, Tensor):
                self.tensors.append(Held(original, own, name, value))
            else:
                own[name] = self._private(value)

    def _private(self, value: Any) -> Any:
        """An attribute that refers to no original, and shares no state with one."""
        if type(value) in (list, tuple, set):
            if holds_inert(value):
                return value if type(value) is tuple else type(value)(value)
            return type(value)(map(self._private, value))
        if isinstance(value, nn.Module):
            return self._twins.get(id(value), value)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self._private(value.__self__))
        if isinstance(value, partial):
            arguments = {key: self._private(v) for key, v in value.keywords.items()}
            return partial(self._private(value.func), *map(self._private, value.args), **arguments)
        if type(value) is dict:
            return {key: self._private(v) for key, v in value.items()}
        if isinstance(value, torch.Generator):
            return value.clone_state()
        return copy.deepcopy(value) if isinstance(value, _GENERATORS) else value


class Lent:
    """A module that has hooks of an engine on it, and so is repeated itself, not a copy of it.

    For the time of an evaluation it has the modes, buffers and attributes of a replica.
    """

    def __init__(self, module: nn.Module, replica: Replica):
        self._pairs = list(zip(parts(module), parts(replica.module), strict=True))
        self._module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """An evaluation."""
        before = []
        for module, twin in self._pairs:
            own = [n for n in twin.__dict__ if n not in _STANDARD or n in ("training", "_buffers")]
            before.append({name: module.__dict__[name] for name in own if name in module.__dict__})
            module.__dict__.update({name: twin.__dict__[name] for name in own})
        try:
            return self._module(*args, **kwargs)
        finally:
            for (module, _), own in zip(self._pairs, before, strict=True):
                module.__dict__.update(own)
