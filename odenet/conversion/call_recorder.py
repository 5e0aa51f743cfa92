"""Runs a copy of a model on an example, and records the calls of its blocks."""

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

from odenet.conversion.blocks import split_first_argument
from odenet.conversion.examples import Example, make_up_examples
from odenet.conversion.placeholders import METADATA_FUNCTIONS
from odenet.conversion.side_outputs import tensors_in


@dataclass
class RecordedCall:
    """The first call of a block.

    Attributes:
        input: the first argument; None if it cannot be passed by position.
        args: the other arguments.
        kwargs: the keyword arguments.
        output: what the block returned; of a tuple or list the first entry.
        side_outputs: the entries after that.
        side_outputs_read: indices of the side outputs that an operation read later.
        readers: the paths of the modules during whose calls an operation read the output.
        count: how often the block was called.
    """

    input: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    side_outputs: list[Any]
    side_outputs_read: set[int] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    count: int = 1


class ModelNotRun(ValueError):
    """A model could not be run on an example, so that its calls are not known."""


class CallRecorder(TorchFunctionMode):
    """Records the calls of all modules of a model, and which operations read their outputs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.calls: dict[str, RecordedCall] = {}
        self._calls_by_output: dict[int, list[RecordedCall]] = {}  # by `id` of the output
        self._calls_by_side_output: dict[int, list[tuple[RecordedCall, int]]] = {}
        self._call_stack = [""]
        self._handles: list[Any] = []
        for path, module in model.named_modules():
            before, after = partial(self._before_call, path), partial(self._after_call, path)
            self._handles.append(module.register_forward_pre_hook(before, prepend=True))
            self._handles.append(module.register_forward_hook(after, with_kwargs=True))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in METADATA_FUNCTIONS and self._calls_by_output:
            for value in pytree.tree_leaves((args, kwargs)):
                if not isinstance(value, Tensor):
                    continue
                for call in self._calls_by_output.get(id(value), ()):
                    call.readers.add(self._call_stack[-1])
                for call, index in self._calls_by_side_output.get(id(value), ()):
                    call.side_outputs_read.add(index)
        return func(*args, **kwargs or {})

    def _before_call(self, path: str, block: nn.Module, args: tuple) -> None:
        self._call_stack.append(path)

    def _after_call(
        self, path: str, block: nn.Module, args: tuple, kwargs: dict[str, Any], result: Any
    ) -> None:
        self._call_stack.pop()
        if path in self.calls:
            self.calls[path].count += 1
            return
        try:
            x, args, kwargs = split_first_argument(block, args, kwargs)
        except (LookupError, StopIteration):
            x = None
        has_several = isinstance(result, tuple | list) and bool(result)
        output, side_outputs = (result[0], list(result[1:])) if has_several else (result, [])
        call = self.calls[path] = RecordedCall(x, args, dict(kwargs), output, side_outputs)
        for index, entry in enumerate(side_outputs):
            for tensor in tensors_in(entry):
                self._calls_by_side_output.setdefault(id(tensor), []).append((call, index))
        self._calls_by_output.setdefault(id(output), []).append(call)

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def copy_model(model: nn.Module, replacements: Mapping[int, Any]) -> nn.Module:
    """A deep copy of a model, with some of its tensors replaced.

    Args:
        model: the model.
        replacements: the tensors of the copy, by `id` of those of the model.
    """
    leaves = pytree.tree_leaves([vars(module) for module in model.modules()])
    # deepcopy refuses tensors with a graph, such as results of an earlier call that a module kept.
    with_graph = (t for t in leaves if isinstance(t, Tensor) and t.grad_fn is not None)
    return copy.deepcopy(model, {id(t): t.detach() for t in with_graph} | dict(replacements))


def record_calls(model: nn.Module, example: Any) -> tuple[nn.Module, dict[str, RecordedCall]]:
    """A copy of a model, and the calls of its modules by path in a run on an example.

    The copy is in evaluation mode. Without an example, made-up inputs are tried.
    """
    shared = {id(parameter): parameter for parameter in model.parameters()}  # buffers are copied
    try:
        duplicate = copy_model(model, shared).eval()
    except Exception as error:
        raise ModelNotRun(f"{type(model).__name__} cannot be copied: {error}") from error
    for module in duplicate.modules():
        module._forward_hooks.clear()
        # This included hooks of transformers, whose models install them again without this flag.
        module.__dict__.pop("_output_capturing_hooks_installed", None)
        # Converted models use no cache of keys and values, and one would be full in a second run.
        config: Any = module.__dict__.get("config")
        if getattr(config, "use_cache", False):
            config.use_cache = False
    problems: list[str] = []
    examples = None if example is None else [Example.from_input(example)]
    for candidate in examples or _made_up_examples(duplicate):
        recorder = CallRecorder(duplicate)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), recorder:
                duplicate(*candidate.args, **candidate.kwargs)
            return duplicate, recorder.calls
        except Exception as error:
            problems.append(f"{candidate}: {first_line(error)}")
        finally:
            recorder.remove()
    first_problem = f" ({problems[0]})" if problems else ""
    tried_input = "the example" if example is not None else "an input that could be made up"
    raise ModelNotRun(
        f"{type(model).__name__} does not run on {tried_input}{first_problem}: give one, "
        "odenet.convert(model, example=…), or say where the blocks are, "
        'blocks="model.layers"'
    )


def _made_up_examples(model: nn.Module) -> list[Example]:
    try:
        return list(make_up_examples(model))
    except Exception:  # of any type: a configuration may hold anything
        return []
