"""What calls what in a model: a run of a copy of it on an example, watched."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from odenet.conversion.blocks import first_given
from odenet.conversion.examples import Example, examples
from odenet.conversion.placeholders import READABLE
from odenet.conversion.side_outputs import tensors_in


@dataclass
class Seen:
    """The calls of a block.

    Attributes:
        x: what it was handed first; None if that cannot go by its position.
        args: what else, with the keywords.
        y: what it gave, or first in a tuple.
        beside: the entries that it gave after that.
        beside_read: places of those that an operation read after the call.
        read_in: the blocks during whose calls an operation read y.
        times: how often it was called.
    """

    x: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    y: Any
    beside: list[Any]
    beside_read: set[int] = field(default_factory=set)
    read_in: set[str] = field(default_factory=set)
    times: int = 1


class NotRun(ValueError):
    """A model could not be run on an input, which would have shown its blocks."""


class Watch(TorchFunctionMode):
    """Notes the calls of all parts of a model, and what is read between them."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.seen: dict[str, Seen] = {}
        self._given: dict[int, list[Seen]] = {}  # by the `id` of what blocks gave
        self._beside: dict[int, list[tuple[Seen, int]]] = {}
        self._running = [""]
        self._handles: list[Any] = []
        for path, module in model.named_modules():
            before, after = partial(self._begin, path), partial(self._end, path)
            self._handles.append(module.register_forward_pre_hook(before, prepend=True))
            self._handles.append(module.register_forward_hook(after, with_kwargs=True))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in READABLE and self._given:
            for value in pytree.tree_leaves((args, kwargs)):
                if not isinstance(value, Tensor):
                    continue
                for seen in self._given.get(id(value), ()):
                    seen.read_in.add(self._running[-1])
                for seen, place in self._beside.get(id(value), ()):
                    seen.beside_read.add(place)
        return func(*args, **kwargs or {})

    def _begin(self, path: str, block: nn.Module, args: tuple) -> None:
        self._running.append(path)

    def _end(
        self, path: str, block: nn.Module, args: tuple, kwargs: dict[str, Any], result: Any
    ) -> None:
        self._running.pop()
        if path in self.seen:
            self.seen[path].times += 1
            return
        try:
            x, args, kwargs = first_given(block, args, kwargs)
        except (LookupError, StopIteration):
            x = None
        several = isinstance(result, tuple | list) and bool(result)
        y, rest = (result[0], list(result[1:])) if several else (result, [])
        seen = self.seen[path] = Seen(x, args, dict(kwargs), y, rest)
        for place, entry in enumerate(rest):
            for tensor in tensors_in(entry):
                self._beside.setdefault(id(tensor), []).append((seen, place))
        self._given.setdefault(id(y), []).append(seen)  # a stage gives what its last block gives

    def remove(self) -> None:
        """Leaves the model alone."""
        for handle in self._handles:
            handle.remove()


def first_line(error: Exception) -> str:
    """What an error says, in short."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def copied(model: nn.Module, instead: Mapping[int, Any]) -> nn.Module:
    """A copy of a model.

    Args:
        model: any.
        instead: what comes in the place of tensors, by their `id`.
    """
    kept = pytree.tree_leaves([vars(module) for module in model.modules()])
    # What a module keeps of an earlier call has a graph, which cannot be copied.
    results = (t for t in kept if isinstance(t, Tensor) and t.grad_fn is not None)
    return copy.deepcopy(model, {id(t): t.detach() for t in results} | dict(instead))


def watched(model: nn.Module, example: Any) -> tuple[nn.Module, dict[str, Seen]]:
    """A copy of a model in evaluation mode, and the calls of its parts in a run on an example."""
    shared = {id(parameter): parameter for parameter in model.parameters()}  # and no buffers
    try:
        twin = copied(model, shared).eval()
    except Exception as error:
        raise NotRun(f"{type(model).__name__} cannot be copied: {error}") from error
    for module in twin.modules():
        module._forward_hooks.clear()
        # Models of transformers have recorders among them, and put them on again without this.
        module.__dict__.pop("_output_capturing_hooks_installed", None)
        # A cache of keys and values, which a converted model has not, is full in a second run.
        config: Any = module.__dict__.get("config")
        if getattr(config, "use_cache", False):
            config.use_cache = False
    problems: list[str] = []
    for one in _made_up(twin) if example is None else [Example.of(example)]:
        watch = Watch(twin)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), watch:
                twin(*one.args, **one.kwargs)
            return twin, watch.seen
        except Exception as error:
            problems.append(f"{one}: {first_line(error)}")
        finally:
            watch.remove()
    tried = f" ({problems[0]})" if problems else ""
    what = "the example" if example is not None else "an input that could be made up"
    raise NotRun(
        f"{type(model).__name__} does not run on {what}{tried}: give one, "
        "odenet.convert(model, example=…), or say where the blocks are, "
        'blocks="model.layers"'
    )


def _made_up(model: nn.Module) -> list[Example]:
    try:
        return list(examples(model))
    except Exception:  # of any kind: a configuration is not ours, and may say anything
        return []
