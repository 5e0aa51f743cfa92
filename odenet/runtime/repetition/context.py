"""The further inputs of a flow, such as a mask, which every right-hand side reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from odenet.runtime.repetition.attributes import Copier


class Context:
    """The arguments that follow the state in a call of a flow: a mask, the output of an encoder.

    Tensors in tuples, lists and dictionaries get gradients. A tensor that is an attribute of some
    object does not, and is refused if it requires one. The containers are copied at the call, so
    that later changes to them have no effect. Objects, generators and arrays are copied before each
    evaluation, and its repetition gets them as they were then.

    Args:
        args: positional arguments.
        kwargs: keyword arguments.
    """

    _versions: tuple[tuple[Tensor, int], ...] = ()  # all tensors of a snapshot, with their versions
    _object_versions: tuple[tuple[Tensor, int], ...] = ()  # those that are attributes of objects

    def __init__(self, args: tuple = (), kwargs: dict[str, Any] | None = None):
        self._leaves, self._spec = _flatten((args, kwargs or {}))
        self._rebuild()

    def _rebuild(self) -> None:
        """Sets `args` and `kwargs`, in new containers, from the leaves."""
        self.args, self.kwargs = pytree.tree_unflatten(self._leaves, self._spec)

    def __bool__(self) -> bool:
        return bool(self.args or self.kwargs)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors among the arguments, in a fixed order."""
        return tuple(leaf for leaf in self._leaves if isinstance(leaf, Tensor))

    def with_tensors(self, tensors: Sequence[Tensor]) -> Context:
        """The same arguments with other tensors, in new containers."""
        if not self:
            return self
        new = iter(tensors)
        return self._with_leaves([next(new) if isinstance(x, Tensor) else x for x in self._leaves])

    def _with_leaves(self, leaves: list[Any]) -> Context:
        other = Context.__new__(Context)
        other._spec, other._leaves = self._spec, leaves
        other._rebuild()
        return other

    def snapshot(self) -> Context:
        """A copy, taken before an evaluation, for its repetition.

        Tensors are not copied; their versions are noted.
        """
        if not self:
            return self
        leaves = [*self._leaves]
        held_tensors: list[tuple[Tensor, int]] = []
        # A `Copier` reports a path, a holder, a key and, last, the tensor itself.
        copier = Copier(lambda module: module, lambda *a: held_tensors.append(_with_version(a[-1])))
        for key, leaf in enumerate(self._leaves):
            if not isinstance(leaf, Tensor):
                copier.put_copy(path="", holder=leaves, key=key, value=leaf)
        other = self._with_leaves(leaves)
        other._object_versions = tuple(held_tensors)
        other._versions = (*map(_with_version, self.tensors), *held_tensors)
        return other

    def restored(self, tensors: Sequence[Tensor]) -> Context:
        """The arguments for a repetition: another copy of this snapshot, with these tensors.

        Raises:
            RuntimeError: if a tensor that an object holds has changed since.
        """
        if any(_with_version(tensor)[1] != version for tensor, version in self._object_versions):
            raise RuntimeError(
                "a tensor that an object among the further inputs of a flow holds was changed "
                "in place between the forward and the backward pass of rebuilt steps, which read "
                "it in both"
            )
        return self.snapshot().with_tensors(tensors)

    def refuse_changes(self, snapshot: Context) -> None:
        """Refuses an evaluation that wrote to a container or to a tensor among the arguments.

        Args:
            snapshot: taken before the evaluation.

        Raises:
            RuntimeError: if it did, since a repetition would find other values.
        """
        if any(_with_version(tensor)[1] != version for tensor, version in snapshot._versions):
            raise RuntimeError(
                "a block changed a tensor among the further inputs of its flow in place, which "
                "rebuilt steps read again: let it change a copy, or set "
                'flow.memory = "stored"'
            )
        leaves, spec = _flatten((self.args, self.kwargs))
        same = spec == self._spec and all(a is b for a, b in zip(leaves, self._leaves, strict=True))
        if not same:
            raise RuntimeError(
                "a block wrote to a container among the further inputs of its flow: rebuilt steps "
                "do not see what is written there. Let the block return it, (y, {name: scalar}), "
                'or set flow.memory = "stored"'
            )


def _flatten(inputs: Any) -> tuple[list[Any], Any]:
    """The leaves of nested containers and their structure.

    A `torch.Size` counts as a leaf, since torch would rebuild it as a tuple.
    """
    return pytree.tree_flatten(inputs, is_leaf=lambda value: isinstance(value, torch.Size))


def _with_version(tensor: Tensor) -> tuple[Tensor, int]:
    return tensor, 0 if tensor.is_inference() else tensor._version


NO_CONTEXT = Context()
