"""`find_blocks`: the residual blocks of a model that keep the shape, found by running the model.

A block can become a step of a flow if it is called once, its input is the output of the block
before it, its output is a tensor of the same shape, and with its weights at zero it returns its
input, so that it adds to a skip connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from odenet.conversion.call_recorder import ModelNotRun, RecordedCall, first_line, record_calls
from odenet.conversion.side_outputs import independent_outputs, tensors_in
from odenet.counted import counted

NOT_RESIDUAL = "it adds to no skip connection, as far as weights of zero show (blocks= takes it)"
IDENTITY_SHARE = 0.4  # of values that must pass unchanged: relu(x) passes those above 0

Calls = Mapping[str, RecordedCall]  # by path of the module
Runs = tuple[tuple[str, ...], ...]  # names of consecutive blocks, one flow per run


@dataclass(frozen=True)
class Plan:
    """Which blocks of a model become steps of flows, and which do not.

    A run is a chain of blocks, each of which feeds the next one; it becomes one flow.

    Attributes:
        runs: path of a container -> the names of its blocks, run by run.
        reasons: path of a block -> why it stays as it is.
        shapes: path of a block -> the shape of its input.
    """

    runs: Mapping[str, Runs]
    reasons: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, torch.Size] = field(default_factory=dict)

    def __str__(self) -> str:
        lines: list[str] = []
        for path, runs in self.runs.items():
            for names in runs:
                first, last, several = names[0], names[-1], len(names) > 1
                blocks = f"{first} to {last}" if several else first
                steps = counted(len(names), "step")
                lines.append(f"{path or 'the model'}: {blocks} become {steps}")
        lines += [f"{path} stays: {why}" for path, why in self.reasons.items()]
        return "\n".join(lines)


def find_blocks(
    model: nn.Module, example: Any = None, blocks: str | Iterable[str] | None = None
) -> Plan:
    """The blocks that `odenet.convert` makes steps of flows.

    Args:
        model: any model.
        example: an input: a tensor, a tuple of arguments, or a dictionary of keyword arguments; by
            default one is made up.
        blocks: paths of the lists or sequences of blocks, as ``"model.layers"``, or patterns of
            paths, as ``"stages.*.blocks"``; by default all modules are looked at.

    Raises:
        ModelNotRun: if the model does not run on the example, or on any made-up one, and no paths
            are given.
        ValueError: if there is no such path, or no blocks are there.
    """
    containers = None if blocks is None else _find_containers(model, blocks)
    try:
        model_copy, calls = record_calls(model, example)
    except ModelNotRun:
        if containers is None or example is not None:
            raise
        return Plan({path: (_children(module),) for path, module in containers.items()})
    return _Search(model_copy, calls, containers).plan()


def _children(container: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, _ in container.named_children())


def _find_containers(model: nn.Module, blocks: str | Iterable[str]) -> dict[str, nn.Module]:
    """The modules whose paths match the patterns in `blocks`, by path."""
    patterns = [blocks] if isinstance(blocks, str) else list(blocks)
    modules = dict(model.named_modules(remove_duplicate=False))
    found: dict[str, nn.Module] = {}
    for pattern in patterns:
        paths = [path for path in modules if _matches(path, pattern)]
        if not paths:
            raise ValueError(f"{type(model).__name__} has no module at {pattern!r}")
        for path in paths:
            if not _children(modules[path]):
                class_name = type(modules[path]).__name__
                raise ValueError(
                    f"{path} is a {class_name} without children; blocks= names containers of blocks"
                )
            found[path] = modules[path]
    return found


def _matches(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern; a * matches within one name, between two dots."""
    names, patterns = path.split("."), pattern.split(".")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def child_path(path: str, name: str) -> str:
    """The path of a child module."""
    return f"{path}.{name}" if path else name


class _Search:
    """The search for runs, given the calls of a model's modules in a run on an example."""

    def __init__(self, model: nn.Module, calls: Calls, containers: Iterable[str] | None):
        self.modules = dict(model.named_modules())
        self.calls = calls
        self.containers = containers
        self.reasons: dict[str, str] = {}

    def plan(self) -> Plan:
        """The runs of the whole model."""
        self.runs = self._runs_below("")
        step_paths = [
            child_path(p, n) for p, runs in self.runs.items() for run in runs for n in run
        ]
        # If there are runs, only blocks beside them are worth a reason.
        reasons = {
            path: why
            for path, why in self.reasons.items()
            if path not in step_paths and (not self.runs or path.rpartition(".")[0] in self.runs)
        }
        return Plan(self.runs, reasons, {path: self.calls[path].input.shape for path in step_paths})

    def _runs_below(self, path: str) -> dict[str, Runs]:
        """The runs of a module and of all modules below it; of nested runs the longest.

        Each flow starts at speed 0, so many short ones are further from the original network.
        """
        module = self.modules.get(path)
        if module is None:
            return {}
        by_child = {n: self._runs_below(child_path(path, n)) for n in _children(module)}
        runs: list[tuple[str, ...]] = []
        for run in self._runs_of_children(path, module):
            lengths = [len(r) for name in run for rs in by_child[name].values() for r in rs]
            if max(lengths, default=0) <= len(run):
                runs.append(run)
        step_names = {name for run in runs for name in run}
        all_runs = {path: tuple(runs)} if runs else {}
        for name, inner_runs in by_child.items():
            all_runs |= {} if name in step_names else inner_runs
        return all_runs

    def _runs_of_children(self, path: str, module: nn.Module) -> list[tuple[str, ...]]:
        """The runs among the children of a module; notes why other candidates stay."""
        if self.containers is not None and path not in self.containers:
            return []
        # In a sequence one block is enough: in a ResNet the one before it may change the shape.
        shortest = 1 if isinstance(module, nn.Sequential) or self.containers is not None else 2
        candidates = [n for n in _children(module) if self._is_candidate(child_path(path, n))]
        chains = self._chains(path, candidates)
        chained = [n for chain in chains if len(chain) >= shortest for n in chain]
        residual = [name for name in chained if self._is_residual(child_path(path, name))]
        runs = [tuple(run) for run in self._chains(path, residual) if len(run) >= shortest]
        step_names = {name for run in runs for name in run}
        unchained = set(residual) - step_names or set(candidates) - set(chained)
        for name in filter(unchained.__contains__, candidates):
            if _is_block_list(module):
                self.reasons[child_path(path, name)] = "no other block follows or precedes it"
        return runs

    def _chains(self, path: str, names: list[str]) -> list[list[str]]:
        """The names in chains of blocks, each of which feeds the next one only."""
        chains: list[list[str]] = []
        for name in names:
            previous_path = child_path(path, chains[-1][-1]) if chains else ""
            if chains and self._feeds_only(previous_path, child_path(path, name)):
                chains[-1].append(name)
            else:
                chains.append([name])
        return chains

    def _feeds_only(self, path: str, next_path: str) -> bool:
        """Whether the output of a block is the input of another, and nothing else reads it."""
        call = self.calls[path]
        prefix = f"{next_path}."
        read_by_next = (reader == next_path or reader.startswith(prefix) for reader in call.readers)
        return self.calls[next_path].input is call.output and all(read_by_next)

    def _is_candidate(self, path: str) -> bool:
        """Whether a block may be a step, judged by its call; notes the reason if not."""
        call, block = self.calls.get(path), self.modules.get(path)
        if block is None or not _has_weights(block):
            return False
        if call is None:
            return self._note(path, "it is not called, or as block.forward(…), which no flow sees")
        why = ""
        if call.count > 1:
            why = f"it is called {call.count} times, and each step has a block of its own"
        elif call.input is None:
            why = "its forward cannot be given its input first, by position"
        elif not isinstance(call.input, Tensor) or not isinstance(call.output, Tensor):
            why = "its input or its output is not a tensor"
        elif call.input.shape != call.output.shape or call.input.dtype != call.output.dtype:
            why = f"it changes the shape, {tuple(call.input.shape)} to {tuple(call.output.shape)}"
        elif not call.input.is_floating_point():
            why = "it does not take real numbers"
        elif call.output is call.input:
            why = "it returns its input unchanged"
        else:
            why = self._side_output_obstacle(block, call)
        return self._note(path, why)

    def _is_residual(self, path: str) -> bool:
        """Whether a block adds to its input; notes the reason if not."""
        if self.containers is not None:
            return True
        return self._note(path, _why_not_residual(self.modules[path], self.calls[path]))

    def _note(self, path: str, why: str) -> bool:
        """Note why a block stays, if there is a reason; returns whether there is none."""
        if why and _is_block_list(self.modules[path.rpartition(".")[0]]):
            self.reasons[path] = why
        return not why

    def _side_output_obstacle(self, block: nn.Module, call: RecordedCall) -> str:
        """Why the side outputs of a block cannot be passed on; empty if they can."""
        used = call.side_outputs_read | self._side_outputs_passed_on(call)
        arguments = {id(tensor) for tensor in tensors_in((call.args, call.kwargs))}
        outputs = call.side_outputs
        new = {i for i in used if not {id(t) for t in tensors_in(outputs[i])} <= arguments}
        if not new:
            return ""
        side_outputs = (t for other in self.calls.values() for t in tensors_in(other.side_outputs))
        if any(id(tensor) in arguments for tensor in side_outputs):
            return "what it gives beside its value is read, and depends on that of another block"
        try:
            independent = independent_outputs(block, call.input, call.args, call.kwargs)
        except Exception as error:  # of any type: it is the model's code
            return f"called again, with other values, it does not run: {first_line(error)}"
        if all(independent[index] for index in new):
            return ""
        return "what it gives beside its value is read, and depends on its input"

    def _side_outputs_passed_on(self, call: RecordedCall) -> set[int]:
        """The indices of the side outputs of a block that are arguments of other blocks."""
        outputs = enumerate(call.side_outputs)
        indices = {id(t): index for index, entry in outputs for t in tensors_in(entry)}
        if not indices:
            return set()
        passed = (tensors_in((other.args, other.kwargs)) for other in self.calls.values())
        return {indices[id(t)] for tensors in passed for t in tensors if id(t) in indices}


def _is_block_list(module: nn.Module) -> bool:
    """Whether a module is a list of blocks, for which reasons are reported."""
    return isinstance(module, nn.Sequential | nn.ModuleList)


def _has_weights(block: nn.Module) -> bool:
    """Whether a module has matrices or kernels, and is not a single layer of torch."""
    torch_layer = type(block).__module__.startswith("torch.nn.modules.") and not _children(block)
    return not torch_layer and any(p.ndim > 1 for p in block.parameters())


def _why_not_residual(block: nn.Module, call: RecordedCall) -> str:
    """Why a block is not residual; empty if, with weights of zero, it nearly returns its input.

    The scales of norms are set to 1, for norms behind the skip connection (BERT), or to 0, for
    branches with no other weights (PoolFormer). Inputs have size 1, which such norms keep, or 64,
    where smooth activations behind the skip connection (SiLU) are the identity or zero.
    """
    trials = ((scale, size) for size in (1.0, 64.0) for scale in (1.0, 0.0))
    try:
        return "" if any(_near_identity(block, call, *trial) for trial in trials) else NOT_RESIDUAL
    except Exception as error:  # of any type: it is the model's code
        return f"called again, with other values, it does not run: {first_line(error)}"


def _near_identity(block: nn.Module, call: RecordedCall, scale: float, size: float) -> bool:
    """Whether a block with neutral weights nearly returns its input.

    The input consists of random values with the root mean square `size`.
    """
    tensors = {name: _neutral_value(name, p, scale) for name, p in block.named_parameters()}
    for name, buffer in block.named_buffers():
        if "running_" in name:
            tensors[name] = _neutral_value(name, buffer, scale=1.0)
    x = torch.randn(call.input.shape, generator=torch.Generator().manual_seed(0))
    x = (size * (layer_norm(x, x.shape[-1:]) if x.ndim == 3 else x)).to(call.input)
    with torch.no_grad():
        y = torch.func.functional_call(block, tensors, (x, *call.args), call.kwargs)
    y = y[0] if isinstance(y, tuple | list) else y
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return False
    if y.is_meta:
        return True
    is_near = (y - x).abs() <= 0.02 * (1 + x.abs())
    return float(is_near.float().mean()) >= IDENTITY_SHARE


def _neutral_value(name: str, tensor: Tensor, scale: float) -> Tensor:
    """A parameter value for the test: about 0 for weights and biases, ``scale`` for scales."""
    if name.endswith("running_mean") or tensor.ndim > 1 or name.endswith("bias"):
        return torch.full_like(tensor, 1e-12)
    return torch.full_like(tensor, scale)
