"""Further inputs of a flow, which every evaluation of a right-hand side reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


class Context:
    """What follows the state in a call of a flow: a mask, the output of an encoder.

    Tensors in tuples, lists and dictionaries are differentiated by; one that is an attribute of
    some object is not seen. The containers are those of the moment of the call: what happens to
    them later happens to others.
    """

    def __init__(self, args: tuple = (), kwargs: dict[str, Any] | None = None):
        self._leaves, self._spec = pytree.tree_flatten((args, kwargs or {}))
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
        other = Context.__new__(Context)
        other._spec = self._spec
        other._leaves = [next(given) if isinstance(x, Tensor) else x for x in self._leaves]
        other._rebuild()
        return other

    def refuse_written(self) -> None:
        """Looks whether an evaluation wrote to a container.

        Raises:
            RuntimeError: if it did: a repetition could not see it.
        """
        leaves, spec = pytree.tree_flatten((self.args, self.kwargs))
        same = spec == self._spec and all(a is b for a, b in zip(leaves, self._leaves, strict=True))
        if not same:
            raise RuntimeError(
                "a block wrote to a container among the further inputs of its flow: rebuilt steps "
                "cannot hand on what passes there. Let the block return it, (y, {name: scalar}), "
                'or set flow.memory = "stored"'
            )


NOTHING = Context()
