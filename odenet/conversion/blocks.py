"""References from flows to the blocks of a converted model, and the state of calls between them.

A flow runs blocks (submodules of the model) as its steps. The model's own containers register them.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class BlockReferences:
    """The blocks of a flow by name; they are looked up at every call, so they can be replaced.

    Attributes:
        holder: the container that registers the blocks.
        names: the names of the blocks in it.
    """

    holder: nn.Module
    names: tuple[str, ...]

    def modules(self) -> list[nn.Module]:
        """The modules that are registered under the names now.

        Raises:
            RuntimeError: if a name is missing.
        """
        try:
            return [self.holder.get_submodule(name) for name in self.names]
        except AttributeError:
            raise RuntimeError(blocks_changed_message(self.holder)) from None


def blocks_changed_message(holder: nn.Module) -> str:
    """The message where blocks were added to or removed from a container."""
    return (
        f"blocks were added to or removed from this {type(holder).__name__}, and each block is a "
        "step of a flow: put other modules in their places (stage[1] = module), or change the "
        "original model and convert it again"
    )


# Of this thread: .depth, of nested contexts `WITHIN_FLOW`; .expected, as `expecting` sets it.
_running = threading.local()


class _WithinFlow:
    """A context in which a flow evaluates a block."""

    def __enter__(self) -> None:
        _running.depth = getattr(_running, "depth", 0) + 1

    def __exit__(self, *error: object) -> None:
        _running.depth -= 1


WITHIN_FLOW = _WithinFlow()


def within_flow() -> bool:
    """Whether this thread is inside `WITHIN_FLOW`."""
    return bool(getattr(_running, "depth", 0))


@contextmanager
def expecting(flow: nn.Module, expected: Sequence[Any]) -> Iterator[None]:
    """A context in which a flow is run; `expected` has an `ExpectedResult` for each of its steps.

    An `ExpectedResult` (`placeholders`) is what the block returned before the flow was run.
    """
    previous = getattr(_running, "expected", None)
    _running.expected = flow, expected
    try:
        yield
    finally:
        _running.expected = previous


def expected_result(step: Any) -> Any:
    """The expected result of a step while its flow is run; None in a backward pass."""
    flow, expected = getattr(_running, "expected", None) or (None, ())
    return expected[step.index_of_step] if step.flow_of_step is flow else None


def split_first_argument(
    block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The first argument of a block's forward, and the other arguments and keywords.

    Raises:
        LookupError: if the first argument is missing, or cannot be passed by position.
    """
    if args:
        return args[0], args[1:], kwargs
    first = next(iter(inspect.signature(block.forward).parameters.values()))
    if first.name not in kwargs or first.kind is not first.POSITIONAL_OR_KEYWORD:
        raise LookupError
    return kwargs[first.name], (), {k: v for k, v in kwargs.items() if k != first.name}


def shallow_copy(
    module: nn.Module, new_class: type, children: dict[str, nn.Module] | None = None
) -> Any:
    """A copy of another class; it shares parameters, buffers, hooks and all other children."""
    copy = object.__new__(new_class)
    copy.__dict__.update(module.__dict__)
    copy.__dict__["_modules"] = {**module._modules, **(children or {})}
    copy.__dict__["_compiled_call_impl"] = None  # it would call the original
    return copy
