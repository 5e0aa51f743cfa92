"""What the attributes of modules hold that evaluations may change.

Besides the tensors, parts and hooks that torch knows of, a module may keep a counter in an object,
the keys of a cache in a dictionary, a stream of random numbers within a list. Containers and
objects of Python classes are walked through; functions, classes and torch's own objects are not.
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

_STANDARD = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}
_INERT = frozenset({int, float, bool, str, type(None), torch.device, torch.dtype, torch.Size})
# Packages of classes. What a flow within a block notes is for those who ask that flow.
_WITHOUT_STATE = frozenset({"builtins", "torch", "enum", "odenet"})
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
_HEAP_TYPE = 1 << 9  # a flag of classes that are written in Python


def is_standard(name: str) -> bool:
    """Whether every module has an attribute of that name."""
    return name in _STANDARD


def own_attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """The attributes of a module that no bare module has, but those that cannot change."""
    own = module.__dict__.items()
    return [(name, v) for name, v in own if name not in _STANDARD and type(v) not in _INERT]


class Slots:
    """The slots of an object, written like a dictionary."""

    def __init__(self, owner: Any):
        self._owner = owner

    def __setitem__(self, name: str, value: Any) -> None:
        object.__setattr__(self._owner, name, value)


Place = tuple[Any, Any, Any]  # where something is held: holder[key] is the value


def places(value: Any) -> Iterator[Place]:
    """What a container or an object holds, and where."""
    if isinstance(value, dict):
        yield from ((value, key, held) for key, held in value.items())
    elif isinstance(value, list | deque):
        yield from ((value, key, held) for key, held in enumerate(value))
    own = getattr(value, "__dict__", {})
    yield from ((own, key, held) for key, held in own.items())
    for name in _slots(type(value)):
        if hasattr(value, name):
            yield Slots(value), name, getattr(value, name)


@cache
def _slots(kind: type) -> tuple[str, ...]:
    """The names of the slots of a class's objects."""
    several = (base.__dict__.get("__slots__", ()) for base in kind.__mro__)
    names = (name for some in several for name in ((some,) if isinstance(some, str) else some))
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def has_state(value: Any) -> bool:
    """Whether it is a container or an object that may hold other things later."""
    if isinstance(value, list | dict | set | deque):
        return True
    if isinstance(value, type | tuple | partial):
        return False
    kind = type(value)
    written_in_python = kind.__flags__ & _HEAP_TYPE or hasattr(value, "__dict__")
    return bool(written_in_python) and kind.__module__.partition(".")[0] not in _WITHOUT_STATE


def is_volatile(value: Any) -> bool:
    """Whether it may have changed without any trace that could be looked for."""
    kinds = (Tensor, np.ndarray, bytearray, *_GENERATORS)
    return isinstance(value, kinds) or hasattr(type(value), "__next__")


def within(value: Any) -> Iterable[Any]:
    """What something that cannot be changed itself refers to."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, MethodType):
        return (value.__self__,)
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    return ()


class AttributeFingerprint:
    """What some attributes hold at one moment, to see later whether they still do.

    Attributes:
        checkable: whether that can be seen.
    """

    def __init__(self, attributes: Iterable[Any]):
        self._held: dict[int, tuple[Any, list]] = {}
        self.checkable = all(map(self._add, attributes))

    def unchanged(self) -> bool:
        """Whether every container and object has the very things in it that it had."""
        for value, before in self._held.values():
            now = _listed(value)
            if len(now) != len(before) or not all(map(is_, now, before)):
                return False
        return True

    def _add(self, value: Any) -> bool:
        if type(value) in _INERT or id(value) in self._held or isinstance(value, nn.Module):
            return True
        if is_volatile(value):
            return False
        if not has_state(value):
            return all(map(self._add, within(value)))
        listed = _listed(value)
        self._held[id(value)] = value, listed
        return all(map(self._add, listed))


def _listed(value: Any) -> list:
    """What `places` finds, without the places."""
    found = [*value] if isinstance(value, list | set | deque) else []
    for named in (value if isinstance(value, dict) else {}, getattr(value, "__dict__", {})):
        found += named
        found += named.values()
    found += [getattr(value, name, None) for name in _slots(type(value))]
    return found


class Copier:
    """Copies of what attributes hold, that share no state with it, and refer to no original.

    Args:
        twins: the copy of a module, or the module itself.
        hold: told of each tensor that is held where another may be put: its path, holder and key.
    """

    def __init__(
        self,
        twins: Callable[[nn.Module], nn.Module],
        hold: Callable[[str, Any, Any, Tensor], None],
    ):
        self._twins = twins
        self._hold = hold
        self._copies: dict[int, tuple[Any, Any]] = {}  # with the originals, which are to live on

    def put(self, path: str, holder: Any, key: Any, value: Any) -> None:
        """Puts a copy in the place of a value; tensors stay, and are told of."""
        if isinstance(value, Tensor):
            self._hold(path, holder, key, value)
        elif type(value) not in _INERT:
            holder[key] = self._copy(path, value)

    def _copy(self, path: str, value: Any) -> Any:
        if type(value) in _INERT:
            return value
        if isinstance(value, nn.Module):
            return self._twins(value)
        if id(value) not in self._copies:
            self._copies[id(value)] = value, self._new(path, value)
        return self._copies[id(value)][1]

    def _new(self, path: str, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            return value
        if isinstance(value, Tensor):  # in a tuple: no other is put there
            return value.detach().clone().requires_grad_(value.requires_grad)
        if isinstance(value, torch.Generator):
            return value.clone_state()
        if isinstance(value, _GENERATORS):
            return copy.deepcopy(value)
        if is_volatile(value):
            return _shallow(value)
        if has_state(value):
            return self._new_holder(path, value)
        return self._with_copies(path, value)

    def _new_holder(self, path: str, value: Any) -> Any:
        twin = _shallow(value)
        if twin is value:
            return value
        self._copies[id(value)] = value, twin  # before what it holds, which may refer to it
        for holder, key, held in [*places(twin)]:
            self.put(f"{path}.{key}", holder, key, held)
        if isinstance(twin, set):
            copies = [self._copy(path, held) for held in twin]
            twin.clear()
            twin.update(copies)
        return twin

    def _with_copies(self, path: str, value: Any) -> Any:
        parts = [*within(value)]
        copies = [self._copy(path, part) for part in parts]
        if all(a is b for a, b in zip(copies, parts, strict=True)):
            return value
        if isinstance(value, MethodType):
            return MethodType(value.__func__, copies[0])
        if isinstance(value, partial):
            count = 1 + len(value.args)
            keywords = dict(zip(value.keywords, copies[count:], strict=True))
            return partial(copies[0], *copies[1:count], **keywords)
        return getattr(value, "_make", type(value))(copies)


def _shallow(value: Any) -> Any:
    try:
        return copy.copy(value)
    except Exception:  # a running generator, an open file: there is but one
        return value
