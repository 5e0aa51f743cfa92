"""Further inputs of a flow, which every evaluation of a right-hand side reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from odenet.runtime.repetition.attributes import Copier


class Context:
    """What follows the state in a call of a flow: a mask, the output of an encoder.

    Tensors in tuples, lists and dictionaries are differentiated by; one that is an attribute of
    some object is not, and is refused where it needs a gradient. The containers are those of the
    moment of the call: what happens to them later happens to others. Objects, generators and arrays
    are repeated as an evaluation found them.
    """

    _watched: tuple[tuple[Tensor, int], ...] = ()  # with their versions
    _within: tuple[tuple[Tensor, int], ...] = ()  # those of them that objects hold

    def __init__(self, args: tuple = (), kwargs: dict[str, Any] | None = None):
        self._leaves, self._spec = _flattened((args, kwargs or {}))
        self._rebuild()

    def _rebuild(self) -> None:
        self.args, self.kwargs = pytree.tree_unflatten(self._leaves, self._spec)

    def __bool__(self) -> bool:
        return bool(self.args or self.kwargs)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors in it, in a fixed order."""
        return tuple(leaf for leaf in self._leaves if isinstance(leaf, Tensor))

    def put(self, tensors: Sequence[Tensor]) -> Context:
        """The same with other tensors, in containers of its own."""
        if not self:
            return self
        given = iter(tensors)
        return self._of([next(given) if isinstance(x, Tensor) else x for x in self._leaves])

    def _of(self, leaves: list[Any]) -> Context:
        other = Context.__new__(Context)
        other._spec, other._leaves = self._spec, leaves
        other._rebuild()
        return other

    def found(self) -> Context:
        """The same as it is now, to be taken before an evaluation and to be repeated on.

        Tensors are not copied, but watched.
        """
        if not self:
            return self
        leaves = [*self._leaves]
        within: list[tuple[Tensor, int]] = []
        copier = Copier(lambda module: module, lambda *place: within.append(_versioned(place[-1])))
        for key, leaf in enumerate(self._leaves):
            if not isinstance(leaf, Tensor):
                copier.put("", leaves, key, leaf)
        other = self._of(leaves)
        other._within = tuple(within)
        other._watched = (*map(_versioned, self.tensors), *within)
        return other

    def repeated(self, tensors: Sequence[Tensor]) -> Context:
        """For a repetition: as it was found, with these tensors in place.

        Raises:
            RuntimeError: if a tensor that an object holds has changed since.
        """
        if any(_versioned(tensor)[1] != version for tensor, version in self._within):
            raise RuntimeError(
                "a tensor that an object among the further inputs of a flow holds was changed "
                "in place between the forward and the backward pass of rebuilt steps, which read "
                "it in both"
            )
        return self.found().put(tensors)

    def refuse_written(self, found: Context) -> None:
        """Looks whether an evaluation wrote to a container, or to a tensor.

        Args:
            found: before the evaluation.

        Raises:
            RuntimeError: if it did: a repetition could not see it.
        """
        if any(_versioned(tensor)[1] != version for tensor, version in found._watched):
            raise RuntimeError(
                "a block changed a tensor among the further inputs of its flow in place, which "
                "rebuilt steps read again: let it change a copy, or set "
                'flow.memory = "stored"'
            )
        leaves, spec = _flattened((self.args, self.kwargs))
        same = spec == self._spec and all(a is b for a, b in zip(leaves, self._leaves, strict=True))
        if not same:
            raise RuntimeError(
                "a block wrote to a container among the further inputs of its flow: rebuilt steps "
                "cannot hand on what passes there. Let the block return it, (y, {name: scalar}), "
                'or set flow.memory = "stored"'
            )


def _flattened(given: Any) -> tuple[list[Any], Any]:
    """Its leaves and form; a size is a leaf, which torch would rebuild as a tuple."""
    return pytree.tree_flatten(given, is_leaf=lambda value: isinstance(value, torch.Size))


def _versioned(tensor: Tensor) -> tuple[Tensor, int]:
    return tensor, 0 if tensor.is_inference() else tensor._version


NOTHING = Context()
