"""The mutable contents of modules' attributes: found, compared and copied.

Besides its parameters, buffers, submodules and hooks, a module may keep a counter in an object, a
cache in a dictionary, or a random generator within a list. The search goes through containers and
objects of Python classes, but not through functions, classes and torch's own objects.
"""

import copy
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from operator import is_
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# The names of the attributes that every module has.
OF_EVERY_MODULE = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}
_IMMUTABLE = frozenset({int, float, bool, str, type(None), torch.device, torch.dtype, torch.Size})
# Packages whose objects are not searched; those of odenet hold only measurements, as of drift.
_WITHOUT_STATE = frozenset({"builtins", "torch", "enum", "odenet"})
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_HEAP_TYPE = 1 << 9  # flag of classes that are defined in Python


def mutable_attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """The attributes of a module whose contents may change, without those of every `nn.Module`."""
    items = module.__dict__.items()
    return [(n, v) for n, v in items if n not in OF_EVERY_MODULE and type(v) not in _IMMUTABLE]


class SlotWriter:
    """Makes the ``__slots__`` of an object assignable like the items of a dictionary."""

    def __init__(self, owner: Any):
        self._owner = owner

    def __setitem__(self, name: str, value: Any) -> None:
        object.__setattr__(self._owner, name, value)


Location = tuple[Any, Any, Any]  # (holder, key, value), where holder[key] is the value


def locations(value: Any) -> Iterator[Location]:
    """All values that a container or an object holds, each with its location."""
    if isinstance(value, dict):
        yield from ((value, key, held) for key, held in value.items())
    elif isinstance(value, list | deque):
        yield from ((value, key, held) for key, held in enumerate(value))
    attributes = getattr(value, "__dict__", {})
    yield from ((attributes, key, held) for key, held in attributes.items())
    for name in _slot_names(type(value)):
        if hasattr(value, name):
            yield SlotWriter(value), name, getattr(value, name)


@cache
def _slot_names(cls: type) -> tuple[str, ...]:
    """The names in ``__slots__`` of a class and its bases."""
    declarations = (base.__dict__.get("__slots__", ()) for base in cls.__mro__)
    names = (n for d in declarations for n in ((d,) if isinstance(d, str) else d))
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def has_state(value: Any) -> bool:
    """Whether a value is a container or an object whose contents may change."""
    if isinstance(value, list | dict | set | deque):
        return True
    if isinstance(value, type | tuple | partial):
        return False
    cls = type(value)
    is_python_class = cls.__flags__ & _HEAP_TYPE or hasattr(value, "__dict__")
    return bool(is_python_class) and cls.__module__.partition(".")[0] not in _WITHOUT_STATE


def is_volatile(value: Any) -> bool:
    """Whether a value may change while it holds the same objects, as arrays and iterators may."""
    kinds = (Tensor, np.ndarray, bytearray, *_GENERATORS)
    return isinstance(value, kinds) or hasattr(type(value), "__next__")


def referents(value: Any) -> Iterable[Any]:
    """The values that a tuple, a bound method or a partial function refers to."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, MethodType):
        return (value.__self__,)
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    return ()


class AttributeFingerprint:
    """The contents of some attributes at one moment, to see later whether they have changed.

    Attributes:
        checkable: whether a change could be seen.
    """

    def __init__(self, attributes: Iterable[Any]):
        self._contents: dict[int, tuple[Any, list]] = {}  # by `id`: a holder, and what it holds
        self.checkable = all(map(self._add, attributes))

    def unchanged(self) -> bool:
        """Whether every container and object still holds the same objects."""
        for value, contents in self._contents.values():
            now = _held_objects(value)
            if len(now) != len(contents) or not all(map(is_, now, contents)):
                return False
        return True

    def _add(self, value: Any) -> bool:
        if type(value) in _IMMUTABLE or id(value) in self._contents or isinstance(value, nn.Module):
            return True
        if is_volatile(value):
            return False
        if not has_state(value):
            return all(map(self._add, referents(value)))
        objects = _held_objects(value)
        self._contents[id(value)] = value, objects
        return all(map(self._add, objects))


def _held_objects(value: Any) -> list:
    """The values that `locations` finds, and the keys of dictionaries."""
    objects = [*value] if isinstance(value, list | set | deque) else []
    for mapping in (value if isinstance(value, dict) else {}, getattr(value, "__dict__", {})):
        objects += mapping
        objects += mapping.values()
    objects += [getattr(value, name, None) for name in _slot_names(type(value))]
    return objects


class Copier:
    """Copies the contents of attributes, so that a copy shares no mutable object with the original.

    Tensors are not copied, but reported, so that the caller may replace them.

    Args:
        copy_of_module: gives the copy of a module, or the module itself.
        on_tensor: called with path, holder, key and value of each tensor that may be replaced.
    """

    def __init__(
        self,
        copy_of_module: Callable[[nn.Module], nn.Module],
        on_tensor: Callable[[str, Any, Any, Tensor], None],
    ):
        self._copy_of_module = copy_of_module
        self._on_tensor = on_tensor
        self._copies: dict[int, tuple[Any, Any]] = {}  # by `id`: the original and its copy

    def put_copy(self, path: str, holder: Any, key: Any, value: Any) -> None:
        """Sets holder[key] to a copy of a value; a tensor stays, and is reported."""
        if isinstance(value, Tensor):
            self._on_tensor(path, holder, key, value)
        elif type(value) not in _IMMUTABLE:
            holder[key] = self._copy(path, value)

    def _copy(self, path: str, value: Any) -> Any:
        if type(value) in _IMMUTABLE:
            return value
        if isinstance(value, nn.Module):
            return self._copy_of_module(value)
        if id(value) not in self._copies:
            self._copies[id(value)] = value, self._make_copy(path, value)
        return self._copies[id(value)][1]

    def _make_copy(self, path: str, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            return value
        if isinstance(value, Tensor):  # in a tuple, where it cannot be replaced
            return value.detach().clone().requires_grad_(value.requires_grad)
        if isinstance(value, torch.Generator):
            return value.clone_state()
        if isinstance(value, _GENERATORS):
            return copy.deepcopy(value)
        if is_volatile(value):
            return _shallow_copy(value)
        if has_state(value):
            return self._copy_holder(path, value)
        return self._rebuild(path, value)

    def _copy_holder(self, path: str, value: Any) -> Any:
        """A copy of a container or an object, whose contents are copied, too."""
        result = _shallow_copy(value)
        if result is value:
            return value
        self._copies[id(value)] = value, result  # first, since its contents may refer to it
        for holder, key, content in [*locations(result)]:
            self.put_copy(f"{path}.{key}", holder, key, content)
        if isinstance(result, set):
            copies = [self._copy(path, held) for held in result]
            result.clear()
            result.update(copies)
        return result

    def _rebuild(self, path: str, value: Any) -> Any:
        """A tuple, bound method or partial function that refers to copies; others unchanged."""
        originals = [*referents(value)]
        copies = [self._copy(path, referent) for referent in originals]
        if all(a is b for a, b in zip(copies, originals, strict=True)):
            return value
        if isinstance(value, MethodType):
            return MethodType(value.__func__, copies[0])
        if isinstance(value, partial):
            count = 1 + len(value.args)
            keywords = dict(zip(value.keywords, copies[count:], strict=True))
            return partial(copies[0], *copies[1:count], **keywords)
        return getattr(value, "_make", type(value))(copies)  # `_make` is of named tuples


def _shallow_copy(value: Any) -> Any:
    """A copy with the same contents; the value itself if it cannot be copied."""
    try:
        return copy.copy(value)
    except Exception:  # such as a running generator, or an open file
        return value
