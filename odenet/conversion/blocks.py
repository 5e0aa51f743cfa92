"""Blocks of a converted model: its stages register them, and flows look them up at every call."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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


def within_flow() -> bool:
    """Whether a flow evaluates a block in this thread."""
    return bool(getattr(_running, "flows", 0))


@contextmanager
def assuming(flow: nn.Module, assumed: Sequence[Any]) -> Iterator[None]:
    """While a flow takes its steps: what its blocks were taken to give, for `assumed_of`."""
    before = getattr(_running, "assumed", None)
    _running.assumed = flow, assumed
    try:
        yield
    finally:
        _running.assumed = before


def assumed_of(step: Any) -> Any:
    """What a step was taken to give in the pass that its flow is in; None in a backward pass."""
    flow, assumed = getattr(_running, "assumed", None) or (None, ())
    return assumed[step.index_of_step] if step.flow_of_step is flow else None


def first_given(
    block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """What a block is called with first, and the rest.

    Raises:
        LookupError: if that is not the first parameter of its forward, which may go by position.
    """
    if args:
        return args[0], args[1:], kwargs
    first = next(iter(inspect.signature(block.forward).parameters.values()))
    if first.name not in kwargs or first.kind is not first.POSITIONAL_OR_KEYWORD:
        raise LookupError
    return kwargs[first.name], (), {k: v for k, v in kwargs.items() if k != first.name}


def twin_of(module: nn.Module, kind: type, children: dict[str, nn.Module] | None = None) -> Any:
    """A module of a class around the same parameters, buffers, hooks and children but some."""
    twin = object.__new__(kind)
    twin.__dict__.update(module.__dict__)
    twin.__dict__["_modules"] = {**module._modules, **(children or {})}
    twin.__dict__["_compiled_call_impl"] = None  # it would call the original
    return twin
