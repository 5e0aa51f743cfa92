"""A replica is a private copy of a module, on which its evaluation is repeated unnoticed.

A module's evaluation may read and change more than its parameters: flags, buffers, attributes,
generators of random numbers. A replica has the class, the hooks and the attributes of a module, and
dictionaries of its own, so that it can be given other tensors, and changes to it stay with it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from odenet.runtime.repetition.attributes import Copier, is_standard, own_attributes

HOOKS = tuple(name for name, value in vars(nn.Module()).items() if "hooks" in name and value == {})


def parts(module: nn.Module) -> list[nn.Module]:
    """A module and all within it, each once; `modules()` without the names."""
    found, waiting = {id(module): module}, [module]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


class TensorPlace(NamedTuple):
    """A tensor of a module, and where its replica has one in its place.

    Attributes:
        module: the part of the module that has it.
        holder: the dictionary, list or object of the replica.
        key: the name or number in it.
        tensor: the module's.
        path: to it, seen from the part.
    """

    module: nn.Module
    holder: Any
    key: Any
    tensor: Tensor
    path: str


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
        self.parameters: list[TensorPlace] = []
        self.tensors: list[TensorPlace] = []
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
        for held in self.parameters:
            held.holder[held.key] = values.get(id(held.tensor), held.tensor)
        for twin in self._recurrent:  # which have a list of their parameters as well
            twin._flat_weights = [getattr(twin, name) for name in twin._flat_weights_names]

    def restore(self) -> None:
        """The tensors of the original in all places."""
        for held in (*self.parameters, *self.tensors):
            held.holder[held.key] = held.tensor

    def _twin(self, module: nn.Module) -> nn.Module:
        return self._twins.get(id(module), module)

    def _fill(self, twin: nn.Module, original: nn.Module) -> None:
        own = twin.__dict__
        own.update(original.__dict__)
        for name in ("_parameters", "_buffers"):
            own[name] = dict(own[name])
        own["_modules"] = {key: self._twins.get(id(m)) for key, m in original._modules.items()}
        for name in HOOKS:
            own[name] = own[name].copy()
        for name in ("_backward_hooks", "_backward_pre_hooks"):  # called in repetitions alone
            for key, hook in own[name].items():
                own[name][key] = partial(_told_of, original, hook)
        own.pop("_compiled_call_impl", None)  # which is bound to the original
        own_class = not type(original).__module__.startswith("torch.nn.modules.")
        if own_class or "forward" in own or any(own[name] for name in HOOKS):
            self.custom.append(original)
        if isinstance(twin, nn.RNNBase):
            self._recurrent.append(twin)
        for held, name in ((self.parameters, "_parameters"), (self.tensors, "_buffers")):
            there = own[name].items()
            held += [
                TensorPlace(original, own[name], key, t, key) for key, t in there if t is not None
            ]
        copier = Copier(self._twin, partial(self._hold, original))
        for name, value in own_attributes(original):
            copier.put(name, own, name, value)

    def _hold(self, original: nn.Module, path: str, holder: Any, key: Any, tensor: Tensor) -> None:
        held = self.parameters if isinstance(tensor, nn.Parameter) else self.tensors
        held.append(TensorPlace(original, holder, key, tensor, path))


def _told_of(original: nn.Module, hook: Callable[..., Any], _: nn.Module, *gradients: Any) -> Any:
    """A hook, told of the module that it was put on: it may write to it."""
    return hook(original, *gradients)


class InPlaceReplica:
    """A module that has hooks of an engine on it, and so is repeated itself, not a copy of it.

    For the time of an evaluation it has the modes, buffers and attributes of a replica.
    """

    def __init__(self, module: nn.Module, replica: Replica):
        self._pairs = list(zip(parts(module), parts(replica.module), strict=True))
        self._module = module

    def __getattr__(self, name: str) -> Any:
        """What the module is asked for beside its value, such as which step of a flow it is."""
        return getattr(self._module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the module, with the replica's state for as long as that takes."""
        before = []
        for module, twin in self._pairs:
            own = [n for n in twin.__dict__ if not is_standard(n) or n in ("training", "_buffers")]
            before.append({name: module.__dict__[name] for name in own if name in module.__dict__})
            module.__dict__.update({name: twin.__dict__[name] for name in own})
        try:
            return self._module(*args, **kwargs)
        finally:
            for (module, _), own in zip(self._pairs, before, strict=True):
                module.__dict__.update(own)
