"""`odenet.advise`: predicts the memory that a network needs in training, and how to save some.

The ways to save memory are checkpointing and conversion to a reversible network. For each of them,
a training step is simulated on fake tensors, with a copy of the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from odenet.conversion.call_recorder import ModelNotRun
from odenet.conversion.examples import Example
from odenet.conversion.model import convert, require_convertible
from odenet.conversion.search import Plan, child_path, find_blocks
from odenet.conversion.stages import ResidualStage
from odenet.footprint.kernels import measure_workspaces
from odenet.footprint.simulation import (
    Loss,
    MemoryDemand,
    StepSimulator,
    checkpoint_modules,
    checkpoint_rest,
)
from odenet.footprint.table import size_text
from odenet.json_text import to_json
from odenet.training.flows import flows

# The simplest way that needs at most this multiple of the least memory is recommended.
TOLERANCE = 1.1

# The costs of ways, in words; a converted network computes another function than the original.
RECOMPUTES = "one more forward pass"
CONVERTED = f"{RECOMPUTES}; another network"
CONVERTED_STORING = "another network; stores activations"


@dataclass(frozen=True)
class Way:
    """One way to train a network, and the memory of a training step.

    Attributes:
        name: "original", "checkpointed", "converted" or "converted, the rest checkpointed".
        peak: the most bytes held at once, without weights and the optimizer's state: activations,
            gradients of the weights, working memory.
        in_backward: the peak if the optimizer acts in the backward pass
            (`odenet.OptimizerInBackward`), and needs no working memory of its own.
        cost: what it costs, in words: time for blocks that are evaluated again, another function.
    """

    name: str
    peak: int
    in_backward: int
    cost: str = ""


@dataclass(frozen=True)
class Advice:
    """The memory of a training step of a network, way by way, and a recommendation.

    Attributes:
        network: the name of its class.
        weights: bytes of parameters and buffers, which all ways need in addition.
        ways: the simplest first.
        recommended: the simplest way whose peak is within a tenth of the least.
        recommended_in_backward: the same, for `Way.in_backward`.
        single: paths of blocks that become flows of one step; checkpointed they need less memory.
        unsuited: why nothing can be converted; empty if something can.
        not_run: why some ways do not run on the example, by their names.
        unmeasured: why the workspaces of convolutions and batch norms are unknown; else empty.
        batch: number of samples of the example; None if it has no tensors.
    """

    network: str
    weights: int
    ways: tuple[Way, ...]
    recommended: Way
    recommended_in_backward: Way
    single: tuple[str, ...] = ()
    unsuited: str = ""
    not_run: Mapping[str, str] = field(default_factory=dict)
    unmeasured: str = ""
    batch: int | None = None

    def __str__(self) -> str:
        width = max(18, *(len(way.name) for way in self.ways))  # 18: the heading's length
        head = f"{'beyond the weights':<{width}}  {'peak':>10}  {'update in backward':>18}"
        lines = [f"{self._title()}, {size_text(self.weights)} of weights", f"  {head}  cost"]
        for way in self.ways:
            sizes = f"{size_text(way.peak):>10}  {size_text(way.in_backward):>18}"
            lines.append(f"  {way.name:<{width}}  {sizes}  {way.cost}".rstrip())
        lines += [f"  {self.unsuited}"] if self.unsuited else []
        lines += [f"  {line}" for line in self._remarks()]
        return "\n".join([*lines, f"recommended: {self._reason()}"])

    def to_json(self) -> str:
        """The advice as JSON; sizes are in bytes."""
        named = ("recommended", "recommended_in_backward")
        return to_json(asdict(self) | {name: getattr(self, name).name for name in named})

    def way(self, name: str) -> Way:
        """A way by its name; KeyError if it is not among them."""
        return {way.name: way for way in self.ways}[name]

    def _title(self) -> str:
        return self.network if self.batch is None else f"{self.network}, batch {self.batch}"

    def _remarks(self) -> Iterator[str]:
        """Lines that explain the table."""
        original = self.ways[0]
        yield from (f"{name}: {why}" for name, why in self.not_run.items())
        if self.unmeasured:
            yield f"without what convolutions and batch norms need within: {self.unmeasured}"
        converted = [way for way in self.ways if way.cost in (CONVERTED, CONVERTED_STORING)]
        for way in converted:
            if way.peak >= original.peak:
                yield f"{way.name} saves nothing: {_comparison(way.peak, original.peak)}"
        if any(way.cost == CONVERTED for way in converted):
            yield "another network: it begins with these weights, and is fine-tuned from there"
        if self.single:
            yield (
                f"runs of one block: {', '.join(self.single)}; a flow holds two states around it, "
                "a checkpoint one"
            )

    def _reason(self) -> str:
        """The recommendations, and why."""
        best, original, in_backward = self.recommended, self.ways[0], self.recommended_in_backward
        least = min(self.ways, key=lambda way: way.peak)
        reason = f"{best.name}, {_comparison(best.peak, original.peak)}"
        if len(self.ways) == 1:
            reason = f"{best.name}: no other way was found"
        elif best is original:
            reason = f"{best.name}: no other way saves more than a tenth"
        elif least is not best:
            reason += f"; {least.name} saves no more than a tenth beside it"
        if in_backward is not best:
            sizes = _comparison(in_backward.in_backward, best.in_backward)
            reason += f"\nwith the update in the backward pass: {in_backward.name}, {sizes}"
        return reason


def advise(
    model: nn.Module, example: Any, *, loss: Loss | None = None, **conversion: Any
) -> Advice:
    """Predict what a training step takes with each way to save memory, and recommend one.

    The model is not changed, and no step is run: it is simulated on fake tensors. The workspaces of
    convolutions and batch norms are measured on zeros, in another process; those of other
    operations are not known. A model on the device "meta" is taken to be on the CPU.

    Args:
        model: any model; it may be on the device "meta".
        example: a batch: a tensor, a tuple of arguments, or a dictionary of keyword arguments;
            tensors may be on the device "meta".
        loss: the loss as a function of the model's output; by default the output's ``loss`` if it
            has one, else the mean square of all its tensors.
        **conversion: arguments of `odenet.convert`: the scheme, ``blocks``, constants.

    Returns:
        The advice; ``print`` it, or read `Advice.ways` and `Advice.recommended`.

    Raises:
        ValueError: if the model does not run on the example, or a conversion fails. That the model
            has nothing to convert is not an error.
    """
    require_convertible(model)
    simulator, not_run = StepSimulator(Example.from_input(example), loss), dict[str, str]()
    simulated = [("original", "", simulator.demands(model))]  # name, cost, demands of each way

    def simulate(name: str, cost: str, network: nn.Module, change: Any = None) -> None:
        try:
            simulated.append((name, cost, simulator.demands(network, change)))
        except ValueError as error:
            not_run[name] = str(error)

    chosen = conversion.pop("blocks", None)
    plan, plan_example = _plan(model, example, chosen)
    paths = [child_path(path, n) for path in plan.runs for n in _block_names(model, path)]
    paths = paths or list(_listed_blocks(model))
    if paths:
        simulate("checkpointed", RECOMPUTES, model, partial(checkpoint_modules, paths=paths))
    if plan.runs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user gets them when they call `convert`
            converted = convert(model, **conversion, blocks=chosen, example=plan_example)
        reversible = all(flow.reversible for flow in flows(converted).values())
        cost = CONVERTED if reversible else CONVERTED_STORING
        simulate("converted", cost, converted)
        if any(isinstance(module, ResidualStage) for module in converted.modules()):
            simulate("converted, the rest checkpointed", cost, converted, checkpoint_rest)
    workspaces, unmeasured = _workspaces([demands for _, _, demands in simulated])
    ways = [
        Way(name, plain.peak(workspaces), in_backward.peak(workspaces), cost)
        for name, cost, (plain, in_backward) in simulated
    ]
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    runs = [(path, names) for path, runs in plan.runs.items() for names in runs]
    return Advice(
        network=type(model).__name__,
        weights=sum(tensor.nbytes for tensor in tensors),
        ways=tuple(ways),
        recommended=_simplest(ways, attrgetter("peak")),
        recommended_in_backward=_simplest(ways, attrgetter("in_backward")),
        single=tuple(child_path(path, names[0]) for path, names in runs if len(names) == 1),
        unsuited="" if plan.runs else _unsuited(plan),
        not_run=not_run,
        unmeasured=unmeasured,
        batch=simulator.samples,
    )


def _workspaces(demands: Iterable[tuple[MemoryDemand, MemoryDemand]]) -> tuple[dict[str, int], str]:
    """The workspaces of kernels, by their calls; and why they are unknown, else empty."""
    calls = {call for pair in demands for demand in pair for call in demand.held_at_kernels}
    try:
        return measure_workspaces(calls), ""
    except (RuntimeError, OSError) as error:
        return {}, str(error)


def _simplest(ways: list[Way], size: Callable[[Way], int]) -> Way:
    """The first way whose size is close to the least."""
    least = min(map(size, ways))
    return next(way for way in ways if size(way) <= TOLERANCE * least)


def _plan(model: nn.Module, example: Any, blocks: Any) -> tuple[Plan, Any]:
    """The blocks to convert, and the example that they were found on.

    The example is None if the model runs on inputs that `find_blocks` makes up.
    """
    try:
        return find_blocks(model, blocks=blocks), None
    except ModelNotRun:
        example = pytree.tree_map_only(
            Tensor, lambda x: torch.zeros_like(x, device="cpu") if x.is_meta else x, example
        )
        return find_blocks(model, example, blocks), example


def _block_names(model: nn.Module, path: str) -> list[str]:
    """The names of the blocks of a container: its children with weights."""
    children = model.get_submodule(path).named_children()
    return [name for name, child in children if _has_weights(child)]


def _listed_blocks(model: nn.Module, path: str = "") -> Iterator[str]:
    """The paths of blocks in lists below a path; they can be checkpointed, if not converted."""
    module = model.get_submodule(path)
    for name, child in module.named_children():
        is_listed = isinstance(module, nn.Sequential | nn.ModuleList)
        if is_listed and any(True for _ in child.children()) and _has_weights(child):
            yield child_path(path, name)
        else:
            yield from _listed_blocks(model, child_path(path, name))


def _has_weights(module: nn.Module) -> bool:
    """Whether a module has matrices or kernels among its parameters."""
    return any(p.ndim > 1 for p in module.parameters())


def _unsuited(plan: Plan) -> str:
    """Why nothing can be converted."""
    first = next(iter(str(plan).splitlines()), "it has no blocks that are called one by one")
    return f"nothing can be converted: {first}"


def _comparison(size: int, other: int) -> str:
    return f"{size_text(size)} in place of {size_text(other)}"
