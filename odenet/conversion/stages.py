"""Containers of a converted model, which run some of their blocks as the steps of flows.

They replace the `nn.Sequential` and `nn.ModuleList` of the original, and behave like these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NoReturn, Self, cast

from torch import Tensor, nn

from odenet.conversion.blocks import BlockReferences, blocks_changed_message
from odenet.conversion.deferred import Step, assign_to_flow, make_step
from odenet.conversion.module_flow import ModuleFlow
from odenet.runtime.memory import run_checkpointed
from odenet.runtime.tracing import as_node


def _refuse_resizing(stage: nn.Module, *_: Any) -> NoReturn:
    """Raise RuntimeError: blocks cannot be added or removed."""
    raise RuntimeError(blocks_changed_message(stage))


class FlowsOfBlocks(nn.ModuleList):
    """The flows of a container, which registers this list next to its blocks."""

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse a call by code that takes every child of a container for a block.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "the code that calls the blocks reads `_modules`, where their flows are registered "
            "too: let it take children(), named_children(), or the container itself "
            "(`for layer in self.layers`), which give the blocks alone"
        )


class HoldsFlows(nn.Module):
    """Mixin before the class of a container of blocks: holds the flows that run them.

    Blocks are read and replaced as in the original.

    Attributes:
        original_class: the class of the original container.
        flows: the flows, one per run of blocks.
    """

    original_class: type[nn.Module]
    flows: nn.ModuleList

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The blocks by name, without the flows, for code that calls all children in a row."""
        return ((name, module) for name, module in super().named_children() if name != "flows")

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        if recurse:
            self.flows._apply(fn)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, for the flows too."""
        self.flows.train(mode)
        return super().train(mode)

    def __setattr__(self, name: str, value: Any) -> None:
        """A module that replaces a step becomes the step."""
        old = self.__dict__.get("_modules", {}).get(name)
        if isinstance(old, Step) and isinstance(value, nn.Module):
            value = make_step(value)
            assign_to_flow(value, old.flow_of_step, old.index_of_step)
        super().__setattr__(name, value)

    def block_names(self) -> tuple[str, ...]:
        """The names of the blocks, in order."""
        return tuple(name for name in self._modules if name != "flows")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle and copy, which cannot find a class that is made at run time."""
        return _new_instance, (self.original_class,), self.__dict__


class HoldsList(HoldsFlows):
    """Mixin before a list or sequence of blocks."""

    def __iter__(self) -> Iterator[nn.Module]:
        """The blocks, without the flows."""
        return (self.get_submodule(name) for name in self.block_names())

    def __len__(self) -> int:
        return len(self._modules) - 1

    append = extend = insert = pop = cast(Any, _refuse_resizing)
    __delitem__ = __add__ = __iadd__ = __mul__ = __imul__ = __rmul__ = cast(Any, _refuse_resizing)


class HoldsDict(HoldsFlows):
    """Mixin before a dictionary of blocks."""

    def __iter__(self) -> Iterator[str]:
        """The names of the blocks, without the flows."""
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
        """A module that replaces a step becomes the step."""
        if key not in self:
            _refuse_resizing(self)
        setattr(self, key, module)

    pop = clear = update = __delitem__ = cast(Any, _refuse_resizing)


@cache
def holder_class(cls: type[nn.Module]) -> type[nn.Module]:
    """The class of containers with flows, for a class of containers."""
    if issubclass(cls, nn.Sequential) and cls.forward is nn.Sequential.forward:
        mixin: type = ResidualStage
    elif issubclass(cls, nn.ModuleList):
        mixin = Layers
    elif issubclass(cls, nn.ModuleDict):
        mixin = HoldsDict
    else:
        mixin = HoldsList if issubclass(cls, nn.Sequential) else HoldsFlows
    if issubclass(mixin, cls):
        return mixin
    members: dict[str, Any] = {"__module__": cls.__module__, "original_class": cls}
    new_class: Any = type(cls.__name__, (mixin, cls), members)
    return new_class


def _new_instance(original_class: type[nn.Module]) -> nn.Module:
    return object.__new__(holder_class(original_class))


class Layers(HoldsList, nn.ModuleList):
    """A list of blocks that are steps of flows, and that the model's own code calls in a row."""

    original_class = nn.ModuleList

    def __getitem__(self, idx: Any) -> Any:
        """A block, or a list of the blocks of a slice."""
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        return nn.ModuleList(list(self)[idx])


class ResidualStage(HoldsList, nn.Sequential):
    """A sequence of blocks, which calls its flows in the place of their blocks.

    Attributes:
        call_order: the names of what is called: blocks, and flows as "flows.0".
        checkpoint: whether the blocks outside of flows are checkpointed.
    """

    original_class = nn.Sequential
    call_order: tuple[str, ...]
    checkpoint: bool

    def __setattr__(self, name: str, value: Any) -> None:
        """A module that replaces a step is called by the flow, unchanged."""
        nn.Module.__setattr__(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        """The blocks and flows one after the other.

        Raises:
            RuntimeError: if blocks were added or removed.
        """
        if not isinstance(input, Tensor):
            return as_node(self, input)
        if self.block_names() != self._blocks_called():
            raise RuntimeError(blocks_changed_message(self))
        for name in self.call_order:
            module = self.get_submodule(name)
            checkpoint = self.checkpoint and not isinstance(module, ModuleFlow)
            input = run_checkpointed(module, input) if checkpoint else module(input)
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
        return self._slice(names)

    def _slice(self, names: tuple[str, ...]) -> ResidualStage:
        """A stage of the named blocks, which shares them, with flows of its own."""
        stage = ResidualStage()
        stage._modules.update({name: self._modules[name] for name in names})
        call_order, flows = [], []
        for called in self.call_order:
            blocks = self._blocks_behind(called)
            if not set(blocks) & set(names):
                continue
            if not set(blocks) <= set(names):
                raise ValueError(
                    f"blocks {blocks[0]} to {blocks[-1]} of this stage are the steps of one flow, "
                    "which a slice would cut: slice the original model, and convert it then"
                )
            if called in names:
                call_order.append(called)
            else:
                call_order.append(f"flows.{len(flows)}")
                flows.append(
                    self._flow(called)
                    .shallow_copy()
                    .use_registered_modules(BlockReferences(stage, blocks))
                )
        stage.call_order, stage.checkpoint = tuple(call_order), self.checkpoint
        stage.training = self.training
        stage.flows = FlowsOfBlocks(flows)
        stage.flows.training = self.training
        return stage

    def _blocks_called(self) -> tuple[str, ...]:
        """The names of the blocks that `forward` runs, alone or in flows, in order."""
        return tuple(name for called in self.call_order for name in self._blocks_behind(called))

    def _blocks_behind(self, called: str) -> tuple[str, ...]:
        """The names of the blocks behind a name in `call_order`: a flow's, or one block's."""
        blocks = None if called in self._modules else self._flow(called).blocks
        return (called,) if blocks is None else blocks.names

    def _flow(self, name: str) -> ModuleFlow:
        return cast(ModuleFlow, self.get_submodule(name))


class Encoder(nn.TransformerEncoder):
    """A transformer encoder whose layers are the steps of flows."""

    @property
    def flow(self) -> ModuleFlow:
        """The flow of the layers."""
        return cast(ModuleFlow, cast(Layers, self.layers).flows[0])

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """As ``nn.TransformerEncoder``, without nested tensors; the masks go to every layer."""
        if not isinstance(src, Tensor):
            return as_node(self, src, (mask, src_key_padding_mask, is_causal))
        masks: dict[str, Any] = {
            "src_mask": mask,
            "src_key_padding_mask": src_key_padding_mask,
            "is_causal": bool(is_causal),
        }
        present = {key: value for key, value in masks.items() if value is not None}
        output = src
        for layer in self.layers:
            output = layer(output, **present)
        return output if self.norm is None else self.norm(output)
