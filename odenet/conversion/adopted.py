"""A flow whose right-hand sides are modules that somebody else wrote."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odenet.runtime import Flow


class AdoptedFlow(Flow):
    """Steps over given modules, in place of a spec's own maps; of any shape that they keep.

    ``flow(u, …)`` hands what follows u (an attention mask, say) to every module, in every step.

    Attributes:
        maps: the attributes that hold a module per step.
        residual: whether the modules compute x + f(x), so that f(x) is what they give less x.
    """

    maps: ClassVar[tuple[str, ...]] = ()
    stochastic = True  # what modules of others draw is not known
    residual: bool = False
    _borrowed: bool = False
    _extras: tuple[tuple, dict[str, Any]] = ((), {})

    def adopt(self, columns: dict[str, Sequence[nn.Module]], owner: bool = True) -> None:
        """Takes over a module per step for each map.

        Args:
            columns: of the maps by name.
            owner: whether the flow registers them; if not, another module has them already, and
                keeps the names of their parameters.
        """
        self._borrowed = not owner
        for name, modules in columns.items():
            delattr(self, name)
            if owner:
                setattr(self, name, nn.ModuleList(modules))
            else:
                self.__dict__[name] = nn.ModuleList(modules)

    def forward(self, u: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The flow of an input.

        Args:
            u: of any shape that the modules keep.
            *args: handed on to every module.
            **kwargs: handed on to every module.

        Raises:
            ValueError: if a module does not keep the shape, or changes its input in place.
        """
        if not (args or kwargs):
            return self.readout(self.evolve(self.initial(u)))
        self._refuse_gradients((*args, *kwargs.values()))
        # The backward may come after the next call: each has its own view of the same flow.
        call = copy.copy(self)
        call._extras = (args, kwargs)
        call.__dict__["note_drift"] = self.note_drift
        return call.readout(call.evolve(call.initial(u)))

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As every module's; borrowed modules are among them, since norms must be found."""
        memo = set() if memo is None else memo
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if self._borrowed:
            for name in self.maps:
                for step, module in enumerate(getattr(self, name)):
                    inner = f"{prefix}{'.' if prefix else ''}{name}.{step}"
                    yield from module.named_modules(memo, inner, remove_duplicate)

    def refine(self) -> Flow:
        """As every flow's, where the flow has its modules to itself.

        Raises:
            ValueError: if they belong to a converted model.
        """
        if self._borrowed:
            raise ValueError(
                "the blocks of a converted model cannot be doubled: their parameters have the "
                "names that they had; odenet.reversible makes a flow of copies of them that can"
            )
        return super().refine()

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"steps={self.steps}, memory={self.memory!r}"

    def evaluate(self, *values: Any) -> Tensor:
        """The right-hand side: what it reads, then this step's module."""
        *reads, module = values
        args, kwargs = self._extras
        versions = _versions(reads)
        rate = module(*reads, *args, **kwargs)
        if _versions(reads) != versions:
            raise ValueError(
                f"{_name(module)} changes its input in place, which the step needs unchanged; "
                "give its first layer inplace=False"
            )
        if not isinstance(rate, Tensor) or rate.shape != reads[0].shape:
            got = tuple(rate.shape) if isinstance(rate, Tensor) else f"a {type(rate).__name__}"
            raise ValueError(
                f"{_name(module)} makes {got} of {tuple(reads[0].shape)}; "
                "the steps of a flow keep the shape"
            )
        return rate - reads[0] if self.residual else rate

    def _refuse_gradients(self, extras: tuple) -> None:
        wanted = any(isinstance(extra, Tensor) and extra.requires_grad for extra in extras)
        if wanted and torch.is_grad_enabled() and self.memory not in ("stored", "checkpoint"):
            raise ValueError(
                "a reversible backward gives no gradient to the further inputs of a flow; "
                'set flow.memory = "stored"'
            )


def _versions(tensors: list[Tensor]) -> list[int]:
    if torch.compiler.is_compiling():
        return []
    return [t._version for t in tensors if not t.is_inference()]


def _name(module: Any) -> str:
    kind = type(module).__name__ if isinstance(module, nn.Module) else "a module"
    return f"the block {kind}" if isinstance(module, nn.Module) else kind
