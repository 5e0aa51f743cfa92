"""The parts of a converted model that run some of their blocks as the steps of flows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, cast

from torch import Tensor, nn

from odenet.conversion.borrowed import Blocks, changed
from odenet.conversion.module_flow import ModuleFlow
from odenet.runtime.memory import recomputed
from odenet.runtime.tracing import as_node


def _refused(stage: nn.Module, *_: Any) -> NoReturn:
    """Blocks cannot be added or removed."""
    raise RuntimeError(changed(stage))


class ResidualStage(nn.Sequential):
    """A sequence of blocks of which some are run as the steps of flows.

    Blocks are read, replaced and given other parts as in the original. Those that are steps can
    only be called by their flow: what it carries from block to block is more than they take.

    Attributes:
        flows: one per run of blocks that keep the shape; the blocks are children of the stage.
        plan: names of blocks, and of flows as "flows.0", in the order of the calls.
        checkpoint: whether the other blocks are evaluated again in the backward pass.
    """

    flows: nn.ModuleList
    plan: tuple[str, ...]
    checkpoint: bool

    def forward(self, input: Tensor) -> Tensor:
        """The blocks and flows one after the other.

        Raises:
            RuntimeError: if blocks were added or removed.
        """
        if not isinstance(input, Tensor):
            return as_node(self, input)
        if self._block_names() != self._planned():
            raise RuntimeError(changed(self))
        for name in self.plan:
            module = self.get_submodule(name)
            again = self.checkpoint and not isinstance(module, ModuleFlow)
            input = recomputed(module, input) if again else module(input)
        return input

    def __iter__(self) -> Iterator[nn.Module]:
        """The blocks, as of the original."""
        return (self._modules[name] for name in self._block_names())

    def __len__(self) -> int:
        return len(self._modules) - 1

    def __getitem__(self, idx: Any) -> Any:
        """A block, or the stage of a slice.

        Raises:
            ValueError: if the slice cuts a flow.
        """
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        names = self._block_names()[idx]
        if idx.step not in (None, 1):
            raise ValueError("a converted stage is sliced in the order of its blocks, step 1")
        return self._part(names)

    def _part(self, names: tuple[str, ...]) -> ResidualStage:
        part = ResidualStage()
        part._modules.update({name: self._modules[name] for name in names})
        plan, flows = [], []
        for piece in self.plan:
            steps = self._steps(piece)
            if not set(steps) & set(names):
                continue
            if not set(steps) <= set(names):
                raise ValueError(
                    f"blocks {steps[0]} to {steps[-1]} of this stage are the steps of one flow, "
                    "which a slice would cut: slice the original model, and convert it then"
                )
            if piece in names:
                plan.append(piece)
            else:
                plan.append(f"flows.{len(flows)}")
                flows.append(self._flow(piece).view().borrow(Blocks(part, steps)))
        part.plan, part.checkpoint = tuple(plan), self.checkpoint
        part.training = self.training
        part.flows = nn.ModuleList(flows)
        part.flows.training = self.training
        return part

    append = extend = insert = pop = cast(Any, _refused)
    __delitem__ = __add__ = __iadd__ = __mul__ = __imul__ = __rmul__ = cast(Any, _refused)

    def _block_names(self) -> tuple[str, ...]:
        return tuple(name for name in self._modules if name != "flows")

    def _planned(self) -> tuple[str, ...]:
        return tuple(name for piece in self.plan for name in self._steps(piece))

    def _steps(self, piece: str) -> tuple[str, ...]:
        """The names of the blocks of a piece of the plan."""
        blocks = None if piece in self._modules else self._flow(piece).blocks
        return (piece,) if blocks is None else blocks.names

    def _flow(self, piece: str) -> ModuleFlow:
        return cast(ModuleFlow, self.get_submodule(piece))


class Encoder(nn.TransformerEncoder):
    """A transformer encoder whose layers are the steps of a flow."""

    flow: ModuleFlow

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """As torch's; the masks go to every layer.

        Raises:
            RuntimeError: if layers were added or removed.
        """
        if len(self.layers) != self.flow.steps:
            raise RuntimeError(changed(self))
        if not isinstance(src, Tensor):
            return as_node(self, src, (mask, src_key_padding_mask, is_causal))
        given: dict[str, Any] = {
            "src_mask": mask,
            "src_key_padding_mask": src_key_padding_mask,
            "is_causal": bool(is_causal),
        }
        kept = {key: value for key, value in given.items() if value is not None}
        output = self.flow(src, **kept)
        return output if self.norm is None else self.norm(output)
