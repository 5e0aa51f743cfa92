"""Blocks of a converted model: its stages register them, and flows look them up at every call."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Blocks:
    """Where the steps of a flow find their modules, so that one put in a block's place is used.

    Attributes:
        holder: the module that registers them.
        names: of the blocks, seen from the holder.
    """

    holder: nn.Module
    names: tuple[str, ...]

    def read(self) -> list[nn.Module]:
        """The modules that have the names now.

        Raises:
            RuntimeError: if there is none of some name.
        """
        try:
            return [self.holder.get_submodule(name) for name in self.names]
        except AttributeError:
            raise RuntimeError(changed(self.holder)) from None


def changed(holder: nn.Module) -> str:
    """What is said where blocks were added or removed after the conversion."""
    return (
        f"blocks were added to or removed from this {type(holder).__name__}, and each block is a "
        "step of a flow: put other modules in their places (stage[1] = module), or change the "
        "original model and convert it again"
    )


_running = threading.local()  # .flows: how many calls of flows this thread is in


class _WithinFlow:
    """A context around the evaluation of a block by its flow."""

    def __enter__(self) -> None:
        _running.flows = getattr(_running, "flows", 0) + 1

    def __exit__(self, *error: object) -> None:
        _running.flows -= 1


WITHIN_FLOW = _WithinFlow()


def only_within_flow(block: nn.Module, inputs: tuple[Any, ...]) -> None:
    """A forward pre-hook of a block that is a step: called in any other way, it is refused.

    One block after the other would be the original network, whereas the converted one carries
    more from block to block than the blocks take and give.

    Raises:
        RuntimeError: if no flow evaluates it.
    """
    if torch.compiler.is_compiling() or getattr(_running, "flows", 0):
        return
    if torch._C._current_graph_task_id() != -1:
        return  # a checkpoint around the block evaluates it again in the backward pass
    raise RuntimeError(
        f"this {type(block).__name__} is a step of a flow now, and on its own it would compute "
        "the original network: call the stage that it belongs to, or convert the model with "
        "the part left out; the block of the original model can be called"
    )


def guarded(block: nn.Module) -> nn.Module:
    """A block around the same parameters, buffers and parts, which only its flow may call."""
    twin = twin_of(block, type(block))
    hooks = twin.__dict__["_forward_pre_hooks"] = block._forward_pre_hooks.copy()
    for name in ("_forward_hooks", "_forward_pre_hooks_with_kwargs", "_forward_hooks_with_kwargs"):
        twin.__dict__[name] = getattr(block, name).copy()
    if only_within_flow not in hooks.values():
        twin.register_forward_pre_hook(only_within_flow, prepend=True)
    return twin


def twin_of(module: nn.Module, kind: type, children: dict[str, nn.Module] | None = None) -> Any:
    """A module of a class around the same parameters, buffers, hooks and children but some."""
    twin = object.__new__(kind)
    twin.__dict__.update(module.__dict__)
    twin.__dict__["_modules"] = {**module._modules, **(children or {})}
    twin.__dict__["_compiled_call_impl"] = None  # it would call the original
    return twin
