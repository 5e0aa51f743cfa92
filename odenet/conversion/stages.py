"""The parts of a converted model that run some of their blocks as the steps of flows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NoReturn, Self, cast

from torch import Tensor, nn

from odenet.conversion.blocks import BlockReferences, blocks_changed_message
from odenet.conversion.deferred import Step, assign_to_flow, make_step
from odenet.conversion.module_flow import ModuleFlow
from odenet.runtime.memory import recomputed
from odenet.runtime.tracing import as_node


def _refused(stage: nn.Module, *_: Any) -> NoReturn:
    """Blocks cannot be added or removed."""
    raise RuntimeError(blocks_changed_message(stage))


class FlowsOfBlocks(nn.ModuleList):
    """The flows of the blocks of a holder, which registers them beside these."""

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse a call, by code that takes everything a module registers for blocks.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "what calls the blocks finds them in `_modules`, where the flows that they are steps "
            "of are registered too: let it take children(), named_children(), or the container "
            "itself (`for layer in self.layers`), which give the blocks alone"
        )


class HoldsFlows(nn.Module):
    """Comes before the class of what has blocks, and has the flows that they are steps of.

    Blocks are read, and given other parts, as in the original.

    Attributes:
        kind: the class of the original.
        flows: one per run of blocks.
    """

    kind: type[nn.Module]
    flows: nn.ModuleList

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The blocks: whoever runs one child after the other runs these."""
        return ((name, module) for name, module in super().named_children() if name != "flows")

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        if recurse:
            self.flows._apply(fn)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> Self:
        """As every module's; the flows change their mode too."""
        self.flows.train(mode)
        return super().train(mode)

    def __setattr__(self, name: str, value: Any) -> None:
        """A module that is put in the place of a step becomes the step."""
        old = self.__dict__.get("_modules", {}).get(name)
        if isinstance(old, Step) and isinstance(value, nn.Module):
            value = make_step(value)
            assign_to_flow(value, old.flow_of_step, old.index_of_step)
        super().__setattr__(name, value)

    def block_names(self) -> tuple[str, ...]:
        """The names of the blocks, in their order."""
        return tuple(name for name in self._modules if name != "flows")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle and copies: its class is made again."""
        return _bare, (self.kind,), self.__dict__


class HoldsList(HoldsFlows):
    """Comes before a container."""

    def __iter__(self) -> Iterator[nn.Module]:
        """The blocks, as of the original."""
        return (self.get_submodule(name) for name in self.block_names())

    def __len__(self) -> int:
        return len(self._modules) - 1

    append = extend = insert = pop = cast(Any, _refused)
    __delitem__ = __add__ = __iadd__ = __mul__ = __imul__ = __rmul__ = cast(Any, _refused)


class HoldsDict(HoldsFlows):
    """Comes before a dictionary of blocks."""

    def __iter__(self) -> Iterator[str]:
        """The names of the blocks, as of the original."""
        return iter(self.block_names())

    def __len__(self) -> int:
        return len(self.block_names())

    def __contains__(self, key: str) -> bool:
        return key in self.block_names()

    def keys(self) -> Any:
        """The names of the blocks."""
        return dict(self.named_children()).keys()

    def items(self) -> Any:
        """The blocks with their names."""
        return dict(self.named_children()).items()

    def values(self) -> Any:
        """The blocks."""
        return dict(self.named_children()).values()

    def __setitem__(self, key: str, module: nn.Module) -> None:
        """A module that is put in the place of a step becomes the step."""
        if key not in self:
            _refused(self)
        setattr(self, key, module)

    pop = clear = update = __delitem__ = cast(Any, _refused)


@cache
def holder_class(kind: type[nn.Module]) -> type[nn.Module]:
    """A class of modules as that of modules which hold flows."""
    if issubclass(kind, nn.Sequential) and kind.forward is nn.Sequential.forward:
        first: type = ResidualStage
    elif issubclass(kind, nn.ModuleList):
        first = Layers
    elif issubclass(kind, nn.ModuleDict):
        first = HoldsDict
    else:
        first = HoldsList if issubclass(kind, nn.Sequential) else HoldsFlows
    if issubclass(first, kind):
        return first
    members: dict[str, Any] = {"__module__": kind.__module__, "kind": kind}
    made: Any = type(kind.__name__, (first, kind), members)
    return made


def _bare(kind: type[nn.Module]) -> nn.Module:
    return object.__new__(holder_class(kind))


class Layers(HoldsList, nn.ModuleList):
    """A list of blocks that some model calls one after the other, as the steps of flows."""

    kind = nn.ModuleList

    def __getitem__(self, idx: Any) -> Any:
        """A block, or the list of those of a slice."""
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        return nn.ModuleList(list(self)[idx])


class ResidualStage(HoldsList, nn.Sequential):
    """A sequence of blocks of which some are run as the steps of flows.

    Attributes:
        plan: names of blocks, and of flows as "flows.0", in the order of the calls.
        checkpoint: whether the other blocks are evaluated again in the backward pass.
    """

    kind = nn.Sequential
    plan: tuple[str, ...]
    checkpoint: bool

    def __setattr__(self, name: str, value: Any) -> None:
        """A module that is put in the place of a step is called by the flow, as it is."""
        nn.Module.__setattr__(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        """The blocks and flows one after the other.

        Raises:
            RuntimeError: if blocks were added or removed.
        """
        if not isinstance(input, Tensor):
            return as_node(self, input)
        if self.block_names() != self._planned():
            raise RuntimeError(blocks_changed_message(self))
        for name in self.plan:
            module = self.get_submodule(name)
            again = self.checkpoint and not isinstance(module, ModuleFlow)
            input = recomputed(module, input) if again else module(input)
        return input

    def __getitem__(self, idx: Any) -> Any:
        """A block, or the stage of a slice.

        Raises:
            ValueError: if the slice cuts a flow.
        """
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        names = self.block_names()[idx]
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
                flows.append(
                    self._flow(piece).view().use_registered_modules(BlockReferences(part, steps))
                )
        part.plan, part.checkpoint = tuple(plan), self.checkpoint
        part.training = self.training
        part.flows = FlowsOfBlocks(flows)
        part.flows.training = self.training
        return part

    def _planned(self) -> tuple[str, ...]:
        return tuple(name for piece in self.plan for name in self._steps(piece))

    def _steps(self, piece: str) -> tuple[str, ...]:
        """The names of the blocks of a piece of the plan."""
        blocks = None if piece in self._modules else self._flow(piece).blocks
        return (piece,) if blocks is None else blocks.names

    def _flow(self, piece: str) -> ModuleFlow:
        return cast(ModuleFlow, self.get_submodule(piece))


class Encoder(nn.TransformerEncoder):
    """A transformer encoder whose layers are the steps of flows."""

    @property
    def flow(self) -> ModuleFlow:
        """That of the layers."""
        return cast(ModuleFlow, cast(Layers, self.layers).flows[0])

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """As torch's, without nested tensors; the masks go to every layer."""
        if not isinstance(src, Tensor):
            return as_node(self, src, (mask, src_key_padding_mask, is_causal))
        given: dict[str, Any] = {
            "src_mask": mask,
            "src_key_padding_mask": src_key_padding_mask,
            "is_causal": bool(is_causal),
        }
        kept = {key: value for key, value in given.items() if value is not None}
        output = src
        for layer in self.layers:
            output = layer(output, **kept)
        return output if self.norm is None else self.norm(output)
