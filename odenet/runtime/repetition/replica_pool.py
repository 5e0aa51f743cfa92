"""Pools of replicas of a flow's modules, which are reused as long as a module does not change.

Most modules are the same in every evaluation, but for values of tensors. Whether a module, or a
replica that is given back, has changed is seen from its fingerprint: the identities of all objects
that it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_

import torch
from torch import nn

from odenet.runtime.repetition.attributes import AttributeFingerprint, mutable_attributes
from odenet.runtime.repetition.replica import HOOKS, Replica, submodules

# The attributes of every module that are dictionaries of what it holds.
_DICTIONARIES = ("_parameters", "_buffers", "_modules", *HOOKS)


class ModuleFingerprint:
    """The objects that some modules hold at one moment, to see later whether they have changed.

    Args:
        modules: a module and all modules within it.

    Attributes:
        checkable: whether a change could be seen. It could not in an array, an iterator or a tensor
            that is neither parameter nor buffer.
    """

    def __init__(self, modules: Sequence[nn.Module]):
        self._modules = modules
        values = (value for module in modules for _, value in mutable_attributes(module))
        self._attributes = AttributeFingerprint(values)
        scripted = any(isinstance(module, torch.jit.ScriptModule) for module in modules)
        self.checkable = not scripted and self._attributes.checkable
        if not self.checkable:
            return
        holders: list[dict] = [vars(module)[name] for module in modules for name in _DICTIONARIES]
        self._empty = [holder for holder in holders if not holder]
        self._filled = [holder for holder in holders if holder]
        self._classes = list(map(type, modules))
        self._names, self._values = self._contents()

    def unchanged(self) -> bool:
        """Whether the modules still hold the same objects; False if that cannot be seen."""
        if not self.checkable or any(self._empty):
            return False
        names, values = self._contents()
        return (
            names == self._names
            and all(map(is_, values, self._values))
            and all(map(is_, map(type, self._modules), self._classes))
            and self._attributes.unchanged()
        )

    def _contents(self) -> tuple[list, list]:
        dicts = [*map(vars, self._modules), *self._filled]
        return [*chain.from_iterable(dicts)], [*chain.from_iterable(map(dict.values, dicts))]


IdleReplicas = list[tuple[Replica, ModuleFingerprint]]  # unchanged since they were made


class ReplicaPool:
    """Replicas of a module as it is when the pool is made.

    Args:
        module: the module, which is not changed.

    Attributes:
        module: the module.
        pristine: a replica that is never evaluated.
        fingerprint: that of the module when the pool was made.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.pristine = Replica(module)
        self.fingerprint = ModuleFingerprint(submodules(module))
        self._idle: IdleReplicas = []

    def acquire(self) -> PooledReplica:
        """A replica for one evaluation."""
        try:
            return PooledReplica(self._idle, *self._idle.pop())
        except IndexError:
            replica = Replica(self.pristine.module)
            return PooledReplica(self._idle, replica, ModuleFingerprint(submodules(replica.module)))


class PooledReplica:
    """A replica on loan from a pool, for one evaluation.

    Args:
        idle: the list that it returns to.
        replica: the replica.
        fingerprint: that of the replica when it was made.

    Attributes:
        replica: the replica.
    """

    def __init__(self, idle: IdleReplicas, replica: Replica, fingerprint: ModuleFingerprint):
        self.replica = replica
        self._idle = idle
        self._fingerprint = fingerprint

    def release(self) -> None:
        """Gives the replica back to its pool, unless the evaluation has changed it."""
        if not self._fingerprint.checkable:
            return
        self.replica.restore()
        if not self.replica.custom_originals or self._fingerprint.unchanged():
            self._idle.append((self.replica, self._fingerprint))


class ReplicaPools:
    """The pools of a flow's modules."""

    def __init__(self) -> None:
        self._pools: dict[int, ReplicaPool] = {}

    def pool_of(self, module: nn.Module) -> ReplicaPool:
        """The pool of a module, a new one if the module has changed."""
        pool = self._pools.get(id(module))
        if pool is None or pool.module is not module or not pool.fingerprint.unchanged():
            pool = ReplicaPool(module)
            self._pools.pop(id(module), None)
            if pool.fingerprint.checkable:
                self._pools[id(module)] = pool
        return pool

    def keep_only(self, modules: Iterable[nn.Module]) -> None:
        """Drops the pools of all other modules."""
        for other in self._pools.keys() - set(map(id, modules)):
            self._pools.pop(other, None)
