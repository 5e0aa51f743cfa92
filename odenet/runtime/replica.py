"""Private copies of modules, in which an evaluation is repeated without anybody noticing.

A module's evaluation may read and change more than its parameters: flags, buffers, attributes,
generators of random numbers. A replica has the class, the hooks and the attributes of a module, and
dictionaries of its own, so that it can be given other tensors, and changes to it stay with it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from functools import partial
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

_STANDARD = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}
_HOOKS = tuple(name for name, value in vars(nn.Module()).items() if "hooks" in name and value == {})
_SMALL = 4096  # entries of a tensor that is copied rather than watched
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)
_INERT = frozenset({int, float, bool, str, type(None), torch.device, torch.dtype})

# Submodule -> names of its large buffers and tensor attributes that evaluations change.
_changing: WeakKeyDictionary[nn.Module, dict[str, bool]] = WeakKeyDictionary()

# Of a submodule, the dictionary that holds a tensor, its name there, and the tensor.
Take = Callable[[nn.Module, dict, str, Tensor], Tensor]


def parts(module: nn.Module) -> list[nn.Module]:
    """A module and all within it, each once; `modules()` without the names."""
    found, waiting = {id(module): module}, [module]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


class Replica:
    """A private copy of a module.

    Args:
        module: is left alone.
        take: gives the tensor to have in place of a buffer or a tensor attribute.

    Attributes:
        module: the copy.
        custom: those of its parts whose classes are not torch's own.
    """

    def __init__(self, module: nn.Module, take: Take):
        self._take = take
        self._parameters: list[tuple[dict[str, Any], str, Tensor]] = []
        self._twins: dict[int, nn.Module] = {}
        self._recurrent: list[nn.RNNBase] = []
        self.custom: list[nn.Module] = []
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
        """Other tensors in place of parameters, by the `id` of these."""
        for holder, name, parameter in self._parameters:
            holder[name] = values.get(id(parameter), parameter)
        for twin in self._recurrent:  # which have a list of their parameters as well
            twin._flat_weights = [getattr(twin, name) for name in twin._flat_weights_names]

    def renewed(self, take: Take) -> Replica:
        """The same for another repetition, in which nothing is left of this one.

        Modules of torch's own change norms' statistics alone as they are evaluated.
        """
        if self.custom:
            return Replica(self.module, take)
        for twin in self._twins.values():
            for name, buffer in twin._buffers.items():
                if buffer is not None:
                    twin._buffers[name] = take(twin, twin._buffers, name, buffer)
        return self

    def _fill(self, twin: nn.Module, original: nn.Module) -> None:
        own = twin.__dict__
        own.update(original.__dict__)
        own["_parameters"] = parameters = dict(original._parameters)
        own["_buffers"] = buffers = dict(original._buffers)
        own["_modules"] = {key: self._twins.get(id(m)) for key, m in original._modules.items()}
        for name in _HOOKS:
            own[name] = own[name].copy()
        own.pop("_compiled_call_impl", None)  # which is bound to the original
        if not type(original).__module__.startswith("torch.nn.modules."):
            self.custom.append(twin)
        if isinstance(twin, nn.RNNBase):
            self._recurrent.append(twin)
        for name, parameter in parameters.items():
            if parameter is not None:
                self._parameters.append((parameters, name, parameter))
        for name, buffer in buffers.items():
            if buffer is not None:
                buffers[name] = self._take(original, buffers, name, buffer)
        for name, value in original.__dict__.items():
            if name in _STANDARD or type(value) in _INERT:
                continue
            if isinstance(value, Tensor):
                own[name] = self._take(original, own, name, value)
            else:
                own[name] = self._private(value)

    def _private(self, value: Any) -> Any:
        """An attribute that refers to no original, and shares no state with one."""
        if type(value) in (list, tuple, set):
            if all(type(v) in _INERT for v in value):
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


class Snapshot:
    """A module as an evaluation finds it, to be taken before the evaluation.

    Small tensors that are no parameters are copied; large ones are copied until an evaluation has
    shown that it does not change them, and watched from then on.
    """

    def __init__(self, module: nn.Module):
        self._watched: list[tuple[nn.Module, dict, str, Tensor, int]] = []
        self._replica = Replica(module, self._keep)

    def settle(self) -> None:
        """To be called after the evaluation: lets go of copies of what it left alone.

        Raises:
            RuntimeError: if it changed a large tensor that it left alone before.
        """
        for module, holder, name, tensor, version in self._watched:
            known = _changing.setdefault(module, {})
            changed = tensor._version != version
            if not changed:
                holder[name] = tensor
            elif known.get(name) is False:
                raise RuntimeError(
                    f"{type(module).__name__} changed its tensor {name!r}, which it left alone in "
                    'earlier evaluations, so that no copy was kept; set flow.memory = "stored"'
                )
            known[name] = known.get(name, False) or changed

    def replayed(self) -> Replica:
        """A fresh copy, for one repetition of the evaluation.

        Raises:
            RuntimeError: if a tensor that was watched has changed since.
        """
        for module, holder, name, tensor, version in self._watched:
            if holder[name] is tensor and tensor._version != version:
                raise RuntimeError(
                    f"the tensor {name!r} of {type(module).__name__} was changed between the "
                    "forward and the backward pass of rebuilt steps, which read it in both"
                )
        return self._replica.renewed(self._scratch)

    def _keep(self, module: nn.Module, holder: dict, name: str, tensor: Tensor) -> Tensor:
        if isinstance(module, _NormBase) and module.training:
            return tensor  # its output depends on the batch alone
        if tensor.numel() > _SMALL and not tensor.is_inference():
            self._watched.append((module, holder, name, tensor, tensor._version))
            if _changing.get(module, {}).get(name) is False:
                return tensor
        return tensor.detach().clone()

    def _scratch(self, module: nn.Module, holder: dict, name: str, tensor: Tensor) -> Tensor:
        large = tensor.numel() > _SMALL
        return (
            tensor
            if large and any(tensor is kept for *_, kept, _ in self._watched)
            else tensor.clone()
        )
