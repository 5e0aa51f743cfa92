"""Replicas of a flow's modules, kept from one repetition to the next.

Most modules are at every evaluation what they were at the one before. So a pool is made once for a
module, and serves for as long as a look at the module, and at a replica that comes back, finds the
same objects in the same places: that is their fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_

import torch
from torch import nn

from odenet.runtime.repetition.attributes import AttributeFingerprint, own_attributes
from odenet.runtime.repetition.replica import HOOKS, Replica, parts

_HOLDERS = ("_parameters", "_buffers", "_modules", *HOOKS)


class ModuleFingerprint:
    """What the parts of a module hold at one moment, to see later whether they still do.

    Args:
        modules: the parts.

    Attributes:
        checkable: whether that can be seen: none has a state of another kind, or keeps a tensor
            that is not registered, and may be a result.
    """

    def __init__(self, modules: Sequence[nn.Module]):
        self._modules = modules
        own = (value for module in modules for _, value in own_attributes(module))
        self._attributes = AttributeFingerprint(own)
        compiled = any(isinstance(module, torch.jit.ScriptModule) for module in modules)
        self.checkable = not compiled and self._attributes.checkable
        if not self.checkable:
            return
        holders: list[dict] = [vars(module)[name] for module in modules for name in _HOLDERS]
        self._empty = [holder for holder in holders if not holder]
        self._filled = [holder for holder in holders if holder]
        self._kinds = list(map(type, modules))
        self._names, self._values = self._now()

    def unchanged(self) -> bool:
        """Whether nothing has been put in another's place, as far as one can tell."""
        if not self.checkable or any(self._empty):
            return False
        names, values = self._now()
        return (
            names == self._names
            and all(map(is_, values, self._values))
            and all(map(is_, map(type, self._modules), self._kinds))
            and self._attributes.unchanged()
        )

    def _now(self) -> tuple[list, list]:
        held = [*map(vars, self._modules), *self._filled]
        return [*chain.from_iterable(held)], [*chain.from_iterable(map(dict.values, held))]


Idle = list[tuple[Replica, ModuleFingerprint]]  # replicas in which nothing is left


class ReplicaPool:
    """A module as it was at one moment, and replicas of it.

    Args:
        module: is left alone.

    Attributes:
        module: the module.
        pristine: a replica that nothing is evaluated on.
        fingerprint: of the module at that moment.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.pristine = Replica(module)
        self.fingerprint = ModuleFingerprint(parts(module))
        self._idle: Idle = []

    def acquire(self) -> PooledReplica:
        """A replica for one repetition."""
        try:
            return PooledReplica(self._idle, *self._idle.pop())
        except IndexError:
            replica = Replica(self.pristine.module)
            return PooledReplica(self._idle, replica, ModuleFingerprint(parts(replica.module)))


class PooledReplica:
    """A replica on loan from a pool, for one repetition.

    Args:
        idle: where it goes back to.
        replica: the replica.
        fingerprint: of the replica as it was made.

    Attributes:
        replica: the replica.
    """

    def __init__(self, idle: Idle, replica: Replica, fingerprint: ModuleFingerprint):
        self.replica = replica
        self._idle = idle
        self._fingerprint = fingerprint

    def release(self) -> None:
        """After the repetition: keeps the replica for another one if nothing is left in it."""
        if not self._fingerprint.checkable:
            return
        self.replica.restore()
        if not self.replica.custom or self._fingerprint.unchanged():
            self._idle.append((self.replica, self._fingerprint))


class ReplicaPools:
    """The pools of a flow's modules, each made anew where its module has changed."""

    def __init__(self) -> None:
        self._found: dict[int, ReplicaPool] = {}

    def of(self, module: nn.Module) -> ReplicaPool:
        """The pool of a module as it is now."""
        found = self._found.get(id(module))
        if found is None or found.module is not module or not found.fingerprint.unchanged():
            found = ReplicaPool(module)
            self._found.pop(id(module), None)
            if found.fingerprint.checkable:
                self._found[id(module)] = found
        return found

    def keep(self, modules: Iterable[nn.Module]) -> None:
        """Lets go of those of all modules but these."""
        for other in self._found.keys() - set(map(id, modules)):
            self._found.pop(other, None)
