"""Further inputs of a flow, which every evaluation of a right-hand side reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Context:
    """What follows the state in a call of a flow: a mask, the output of an encoder.

    Tensors in tuples, lists and dictionaries are differentiated by; one that is an attribute of
    some object is not seen.
    """

    args: tuple = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.args or self.kwargs)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors in it, in a fixed order."""
        return tuple(leaf for leaf in self._flat()[0] if isinstance(leaf, Tensor))

    def put(self, tensors: Sequence[Tensor]) -> Context:
        """The same with other tensors."""
        if not tensors:
            return self
        leaves, spec = self._flat()
        given = iter(tensors)
        filled = [next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, spec)
        return Context(args, kwargs)

    def _flat(self) -> tuple[list, Any]:
        return pytree.tree_flatten((self.args, dict(self.kwargs)))


NOTHING = Context()
