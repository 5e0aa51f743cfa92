"""Replicas: private copies of modules, on which evaluations are repeated without side effects.

The evaluation of a module may read and change more than its parameters: flags, buffers, attributes,
random generators. A replica has the class, the hooks and the attributes of the module, but its own
dictionaries. So its tensors can be replaced, and changes to it do not reach the module.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from odenet.runtime.repetition.attributes import OF_EVERY_MODULE, Copier, mutable_attributes

# The attributes of every module in which it keeps its hooks, such as `_forward_hooks`.
HOOKS = tuple(name for name, value in vars(nn.Module()).items() if "hooks" in name and value == {})


def submodules(module: nn.Module) -> list[nn.Module]:
    """A module and all modules within it, each once; faster than ``modules()``."""
    modules, pending = {id(module): module}, [module]
    while pending:
        for child in pending.pop()._modules.values():
            if child is not None and id(child) not in modules:
                modules[id(child)] = child
                pending.append(child)
    return list(modules.values())


class TensorPlace(NamedTuple):
    """A tensor of a module, and the place in its replica where it may be replaced.

    Attributes:
        module: the submodule that holds the tensor.
        holder: the dictionary, list or object of the replica with that place.
        key: the key in the holder.
        tensor: the tensor of the module.
        path: the attributes and keys that lead from the submodule to the tensor, joined by dots.
    """

    module: nn.Module
    holder: Any
    key: Any
    tensor: Tensor
    path: str


class Replica:
    """A private copy of a module, which shares the tensors of the module until they are replaced.

    Args:
        module: the module to copy, which is not changed.

    Attributes:
        module: the copy.
        parameters: the places of its parameters.
        tensors: the places of its buffers and tensor attributes.
        custom_originals: the submodules of the original whose evaluation may change any attribute:
            those with a class that is not torch's own, with hooks, or with a forward method set on
            the instance.
    """

    def __init__(self, module: nn.Module):
        self.parameters: list[TensorPlace] = []
        self.tensors: list[TensorPlace] = []
        self.custom_originals: list[nn.Module] = []
        self._copies: dict[int, nn.Module] = {}  # by `id` of the submodules of the original
        self._recurrent: list[nn.RNNBase] = []
        originals, compiled = [], []
        for original in submodules(module):
            cls = type(original)
            if cls.__name__ == "OptimizedModule":  # torch.compile(module)
                compiled.append(original)
            elif isinstance(original, torch.jit.ScriptModule):  # cannot be copied
                self._copies[id(original)] = original
            else:
                self._copies[id(original)] = object.__new__(cls)
                originals.append(original)
        # A compiled module is repeated as the module that it compiles.
        for outer in reversed(compiled):
            self._copies[id(outer)] = self._copies[id(outer._orig_mod)]
        for original in originals:
            self._fill(self._copies[id(original)], original)
        self.module = self._copies[id(module)]

    def put_parameters(self, values: Mapping[int, Tensor]) -> None:
        """Replaces parameters by other tensors: `values` has them by the `id` of the parameters."""
        for place in self.parameters:
            place.holder[place.key] = values.get(id(place.tensor), place.tensor)
        for copy in self._recurrent:  # these also keep a list of their parameters
            copy._flat_weights = [getattr(copy, name) for name in copy._flat_weights_names]

    def restore(self) -> None:
        """Puts the tensors of the original back into all places."""
        for place in (*self.parameters, *self.tensors):
            place.holder[place.key] = place.tensor

    def _copy_of(self, module: nn.Module) -> nn.Module:
        return self._copies.get(id(module), module)

    def _fill(self, copy: nn.Module, original: nn.Module) -> None:
        state = copy.__dict__
        state.update(original.__dict__)
        for name in ("_parameters", "_buffers"):
            state[name] = dict(state[name])
        state["_modules"] = {key: self._copies.get(id(m)) for key, m in original._modules.items()}
        for name in HOOKS:
            state[name] = state[name].copy()
        for name in ("_backward_hooks", "_backward_pre_hooks"):  # called with the original
            for key, hook in state[name].items():
                state[name][key] = partial(_call_hook, original, hook)
        state.pop("_compiled_call_impl", None)  # which is bound to the original
        is_custom_class = not type(original).__module__.startswith("torch.nn.modules.")
        if is_custom_class or "forward" in state or any(state[name] for name in HOOKS):
            self.custom_originals.append(original)
        if isinstance(copy, nn.RNNBase):
            self._recurrent.append(copy)
        for places, name in ((self.parameters, "_parameters"), (self.tensors, "_buffers")):
            tensors = state[name].items()
            places += [
                TensorPlace(original, state[name], key, t, key)
                for key, t in tensors
                if t is not None
            ]
        copier = Copier(self._copy_of, partial(self._add, original))
        for name, value in mutable_attributes(original):
            copier.put_copy(path=name, holder=state, key=name, value=value)

    def _add(self, original: nn.Module, path: str, holder: Any, key: Any, tensor: Tensor) -> None:
        places = self.parameters if isinstance(tensor, nn.Parameter) else self.tensors
        places.append(TensorPlace(original, holder, key, tensor, path))


def _call_hook(original: nn.Module, hook: Callable[..., Any], _: nn.Module, *gradients: Any) -> Any:
    """Calls a backward hook with the original, not the replica: a hook may write to its module."""
    return hook(original, *gradients)


class InPlaceReplica:
    """Repeats an evaluation on the module itself, not on a copy, for modules with hooks of FSDP2.

    During an evaluation the module has the training mode, buffers and attributes of a replica.
    """

    def __init__(self, module: nn.Module, replica: Replica):
        self._pairs = list(zip(submodules(module), submodules(replica.module), strict=True))
        self._module = module

    def __getattr__(self, name: str) -> Any:
        """Attributes of the module, such as the number of its step in a flow."""
        return getattr(self._module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the module with the state of the replica, and restores its own state."""
        states = []
        for module, copy in self._pairs:
            keys = copy.__dict__.keys() - (OF_EVERY_MODULE - {"training", "_buffers"})
            states.append({key: module.__dict__[key] for key in keys if key in module.__dict__})
            module.__dict__.update({key: copy.__dict__[key] for key in keys})
        try:
            return self._module(*args, **kwargs)
        finally:
            for (module, _), saved in zip(self._pairs, states, strict=True):
                module.__dict__.update(saved)
