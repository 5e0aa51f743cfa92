"""Where a model has residual blocks that keep the shape, found by running it.

A block is taken for a step where the model says that it is one: it is called once, what the block
before it gives is what it is handed, it gives a tensor of the same shape, and with its weights at
zero it hands on what it was given, so that it adds to a skip connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from odenet.conversion.call_recorder import NotRun, Seen, first_line, watched
from odenet.conversion.side_outputs import independent_outputs, tensors_in

NOT_RESIDUAL = "it adds to no skip connection, as far as weights of zero show (blocks= takes it)"
PASSED = 0.4  # of the values: relu(x) hands on those above 0


@dataclass(frozen=True)
class Plan:
    """What of a model becomes steps of flows, and what does not.

    Attributes:
        runs: container -> the names of its blocks in each run, by the path of the container.
        left: block -> why it stays as it is, by its path.
        shapes: block -> the shape of what it takes, by its path.
    """

    runs: Mapping[str, tuple[tuple[str, ...], ...]]
    left: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, torch.Size] = field(default_factory=dict)

    def __str__(self) -> str:
        lines: list[str] = []
        for path, runs in self.runs.items():
            for names in runs:
                first, last, several = names[0], names[-1], len(names) > 1
                blocks = f"{first} to {last}" if several else first
                steps = f"{len(names)} step{'s' if several else ''}"
                lines.append(f"{path or 'the model'}: {blocks} become {steps}")
        lines += [f"{path} stays: {why}" for path, why in self.left.items()]
        return "\n".join(lines)


def find_blocks(
    model: nn.Module, example: Any = None, blocks: str | Iterable[str] | None = None
) -> Plan:
    """What `odenet.convert` makes steps of flows.

    Args:
        model: any model.
        example: an input: a tensor, a tuple of what it is called with, or a dictionary of
            keywords; by default one is made up.
        blocks: paths of the lists or sequences of blocks, as ``"model.layers"``, or patterns of
            paths, as ``"stages.*.blocks"``; by default all are looked at.

    Raises:
        NotRun: if the model does not run on the example, or on any that is made up, and no paths
            are given.
        ValueError: if there is no such path, or no blocks are there.
    """
    wanted = None if blocks is None else _containers(model, blocks)
    try:
        twin, seen = watched(model, example)
    except NotRun:
        if wanted is None or example is not None:
            raise
        return Plan({path: (_names(known),) for path, known in wanted.items()})
    return _Search(twin, seen, wanted).plan()


def _names(container: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, _ in container.named_children())


def _containers(model: nn.Module, blocks: str | Iterable[str]) -> dict[str, nn.Module]:
    patterns = [blocks] if isinstance(blocks, str) else list(blocks)
    known = dict(model.named_modules(remove_duplicate=False))
    found: dict[str, nn.Module] = {}
    for pattern in patterns:
        paths = [path for path in known if _matches(path, pattern)]
        if not paths:
            raise ValueError(f"{type(model).__name__} has no module at {pattern!r}")
        for path in paths:
            if not _names(known[path]):
                kind = type(known[path]).__name__
                raise ValueError(
                    f"{path} is a {kind} without children, and blocks= names what has the blocks"
                )
            found[path] = known[path]
    return found


def _matches(path: str, pattern: str) -> bool:
    """Whether a path has a pattern, name by name: a * does not go past a dot."""
    names, patterns = path.split("."), pattern.split(".")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def joined(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name


class _Search:
    def __init__(self, model: nn.Module, seen: Mapping[str, Seen], wanted: Iterable[str] | None):
        self.modules = dict(model.named_modules())
        self.seen = seen
        self.wanted = wanted
        self.left: dict[str, str] = {}

    def plan(self) -> Plan:
        """The runs of the whole model."""
        self.runs = self._within("")
        steps = [joined(p, n) for p, runs in self.runs.items() for run in runs for n in run]
        left = {
            path: why
            for path, why in self.left.items()
            if path not in steps and (not self.runs or path.rpartition(".")[0] in self.runs)
        }
        return Plan(self.runs, left, {path: self.seen[path].x.shape for path in steps})

    def _within(self, path: str) -> dict[str, tuple[tuple[str, ...], ...]]:
        """The runs of a module and all within it; the longest flow, where they are nested.

        Each flow begins at rest, so that many short ones are further from the original network.
        """
        module = self.modules.get(path)
        if module is None:
            return {}
        inner = {name: self._within(joined(path, name)) for name in _names(module)}
        runs: list[tuple[str, ...]] = []
        for run in self._runs(path, module):
            below = [len(r) for name in run for rs in inner[name].values() for r in rs]
            if max(below, default=0) <= len(run):
                runs.append(run)
        stepped = {name for run in runs for name in run}
        found = {path: tuple(runs)} if runs else {}
        for name, deeper in inner.items():
            found |= {} if name in stepped else deeper
        return found

    def _runs(self, path: str, module: nn.Module) -> list[tuple[str, ...]]:
        if self.wanted is not None and path not in self.wanted:
            return []
        # One block alone is a step where the others of a stage change the shape before it.
        least = 1 if isinstance(module, nn.Sequential) or self.wanted is not None else 2
        names = [name for name in _names(module) if self._fits(joined(path, name))]
        chains = self._chains(path, names)
        fit = [n for chain in chains if len(chain) >= least for n in chain]
        residual = [name for name in fit if self._adds(joined(path, name))]
        runs = [tuple(run) for run in self._chains(path, residual) if len(run) >= least]
        taken = {name for run in runs for name in run}
        alone = set(residual) - taken or set(names) - set(fit)
        for name in filter(alone.__contains__, names):
            if _listed(module):
                self.left[joined(path, name)] = "no other block follows or precedes it"
        return runs

    def _chains(self, path: str, names: list[str]) -> list[list[str]]:
        """Names of blocks, each of which is handed what the one before it gives."""
        found: list[list[str]] = []
        for name in names:
            if found and self._goes_on(joined(path, found[-1][-1]), joined(path, name)):
                found[-1].append(name)
            else:
                found.append([name])
        return found

    def _goes_on(self, path: str, after: str) -> bool:
        """Whether what a block gives is handed to the block after it, and read by nothing else."""
        seen = self.seen[path]
        inner = f"{after}."
        within = (user == after or user.startswith(inner) for user in seen.read_in)
        return self.seen[after].x is seen.y and all(within)

    def _fits(self, path: str) -> bool:
        """Whether a block may be a step, as far as its calls say; notes why not."""
        seen, block = self.seen.get(path), self.modules.get(path)
        if block is None or not _has_weights(block):
            return False
        if seen is None:
            return self._noted(path, "it is not called, or as block.forward(…), which no flow sees")
        why = ""
        if seen.times > 1:
            why = f"it is called {seen.times} times, and each step has a block of its own"
        elif seen.x is None:
            why = "its forward cannot be given its input first, by position"
        elif not isinstance(seen.x, Tensor) or not isinstance(seen.y, Tensor):
            why = "it does not take and give a tensor"
        elif seen.x.shape != seen.y.shape or seen.x.dtype != seen.y.dtype:
            why = f"it changes the shape, {tuple(seen.x.shape)} to {tuple(seen.y.shape)}"
        elif not seen.x.is_floating_point():
            why = "it does not take real numbers"
        elif seen.y is seen.x:
            why = "it gives what it is handed, unchanged"
        else:
            why = self._beside(block, seen)
        return self._noted(path, why)

    def _adds(self, path: str) -> bool:
        """Whether a block adds to what it is given; notes if not."""
        if self.wanted is not None:
            return True
        return self._noted(path, _not_residual(self.modules[path], self.seen[path]))

    def _noted(self, path: str, why: str) -> bool:
        if why and _listed(self.modules[path.rpartition(".")[0]]):
            self.left[path] = why
        return not why

    def _beside(self, block: nn.Module, seen: Seen) -> str:
        """Why what a block gives beside its value cannot be handed on; empty if nothing says so."""
        places = seen.beside_read | self._handed_on(seen)
        given = {id(tensor) for tensor in tensors_in((seen.args, seen.kwargs))}
        own = {n for n in places if not {id(t) for t in tensors_in(seen.beside[n])} <= given}
        if not own:
            return ""
        others = (t for other in self.seen.values() for t in tensors_in(other.beside))
        if any(id(tensor) in given for tensor in others):
            return "what it gives beside its value is made of what another block gives so, and read"
        try:
            made = independent_outputs(block, seen.x, seen.args, seen.kwargs)
        except Exception as error:  # of any kind: the code is not ours
            return f"called again, with other values, it does not run: {first_line(error)}"
        if all(made[place] for place in own):
            return ""
        return "what it gives beside its value is made of what it is handed, and read"

    def _handed_on(self, seen: Seen) -> set[int]:
        """The places of what a block gives beside its value that other blocks are handed."""
        mine = {id(t): n for n, entry in enumerate(seen.beside) for t in tensors_in(entry)}
        if not mine:
            return set()
        given = (tensors_in((other.args, other.kwargs)) for other in self.seen.values())
        return {mine[id(tensor)] for ts in given for tensor in ts if id(tensor) in mine}


def _listed(module: nn.Module) -> bool:
    """Whether a module is a list of others, of which one may ask why they stay."""
    return isinstance(module, nn.Sequential | nn.ModuleList)


def _has_weights(block: nn.Module) -> bool:
    leaf = type(block).__module__.startswith("torch.nn.modules.") and not _names(block)
    return not leaf and any(p.ndim > 1 for p in block.parameters())


def _not_residual(block: nn.Module, seen: Seen) -> str:
    """Why a block with weights of zero does not hand on its input, but for activations and norms.

    Scales are tried at 1, for norms behind the skip connection (BERT), and at 0, for branches that
    have no other weights (PoolFormer); inputs of size 1, which such norms keep, and of size 64,
    where smooth activations behind it (SiLU) are the identity or zero. Empty if it does.
    """
    trials = ((scale, size) for size in (1.0, 64.0) for scale in (1.0, 0.0))
    try:
        return "" if any(_passes_on(block, seen, *trial) for trial in trials) else NOT_RESIDUAL
    except Exception as error:  # of any kind: the code is not ours
        return f"called again, with other values, it does not run: {first_line(error)}"


def _passes_on(block: nn.Module, seen: Seen, scale: float, size: float) -> bool:
    tensors = {name: _neutral(name, p, scale) for name, p in block.named_parameters()}
    for name, buffer in block.named_buffers():
        if "running_" in name:
            tensors[name] = _neutral(name, buffer, 1.0)
    x = torch.randn(seen.x.shape, generator=torch.Generator().manual_seed(0))
    x = (size * (layer_norm(x, x.shape[-1:]) if x.ndim == 3 else x)).to(seen.x)
    with torch.no_grad():
        y = torch.func.functional_call(block, tensors, (x, *seen.args), seen.kwargs)
    y = y[0] if isinstance(y, tuple | list) else y
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return False
    if y.is_meta:
        return True
    near = (y - x).abs() <= 0.02 * (1 + x.abs())
    return float(near.float().mean()) >= PASSED


def _neutral(name: str, tensor: Tensor, scale: float) -> Tensor:
    """A value of a weight that adds nothing, and of a scale one that changes nothing, or all."""
    if name.endswith("running_mean") or tensor.ndim > 1 or name.endswith("bias"):
        return torch.full_like(tensor, 1e-12)
    return torch.full_like(tensor, scale)
