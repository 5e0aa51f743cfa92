"""How to train a network of others in less memory: what each way would take, and which to choose.

A training step of a copy without values is walked through, in every way.
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
from odenet.footprint.kernels import memory_within
from odenet.footprint.table import size_text
from odenet.footprint.walk import Demand, Loss, Walk, checkpointed, rest_checkpointed
from odenet.json_text import to_json
from odenet.training.flows import flows

# A way that is simpler is taken as long as it needs no more than this times the least.
NEARLY = 1.1

AGAIN = "one more forward pass"
ANOTHER = f"{AGAIN}; another network"
STORED = "another network; stores activations"


@dataclass(frozen=True)
class Way:
    """One way to take a training step, and what it takes.

    Attributes:
        name: "original", "checkpointed", "converted" or "converted, the rest checkpointed".
        peak: the most bytes held at once beyond weights and the optimizer's state: activations,
            gradients of the weights, working memory.
        in_backward: the same, where an optimizer without working memory of its own acts in the
            backward pass (`odenet.OptimizerInBackward`).
        cost: in time, of the blocks that are taken again, and what else changes, in words.
    """

    name: str
    peak: int
    in_backward: int
    cost: str = ""


@dataclass(frozen=True)
class Advice:
    """What a training step of a network takes, way by way.

    Attributes:
        network: the name of its class.
        weights: bytes of parameters and buffers, which every way needs.
        ways: the simplest first.
        recommended: the simplest way whose peak is within a tenth of the least.
        recommended_in_backward: the same by `Way.in_backward`.
        single: paths of runs of one block; a checkpoint holds less than a flow of one step.
        unsuited: why nothing can be converted; empty where something can.
        not_run: ways that do not run on the example, and why.
        unmeasured: why it is not known what convolutions and batch norms hold while they run; empty
            where it is.
        batch: samples of the example.
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
        width = max(18, *(len(way.name) for way in self.ways))
        head = f"{'beyond the weights':<{width}}  {'peak':>10}  {'update in backward':>18}"
        lines = [f"{self._title()}, {size_text(self.weights)} of weights", f"  {head}  cost"]
        for way in self.ways:
            sizes = f"{size_text(way.peak):>10}  {size_text(way.in_backward):>18}"
            lines.append(f"  {way.name:<{width}}  {sizes}  {way.cost}".rstrip())
        lines += [f"  {self.unsuited}"] if self.unsuited else []
        lines += [f"  {line}" for line in self._remarks()]
        return "\n".join([*lines, f"recommended: {self._reason()}"])

    def to_json(self) -> str:
        """For programs; sizes in bytes."""
        named = ("recommended", "recommended_in_backward")
        return to_json(asdict(self) | {name: getattr(self, name).name for name in named})

    def way(self, name: str) -> Way:
        """A way by its name; KeyError if it was not looked at."""
        return {way.name: way for way in self.ways}[name]

    def _title(self) -> str:
        return self.network if self.batch is None else f"{self.network}, batch {self.batch}"

    def _remarks(self) -> Iterator[str]:
        original = self.ways[0]
        yield from (f"{name}: {why}" for name, why in self.not_run.items())
        if self.unmeasured:
            yield f"without what convolutions and batch norms need within: {self.unmeasured}"
        converted = [way for way in self.ways if way.cost in (ANOTHER, STORED)]
        for way in converted:
            if way.peak >= original.peak:
                yield f"{way.name} saves nothing: {_compared(way.peak, original.peak)}"
        if any(way.cost == ANOTHER for way in converted):
            yield "another network: it begins with these weights, and is fine-tuned from there"
        if self.single:
            yield (
                f"runs of one block: {', '.join(self.single)}; a flow holds two states around it, "
                "a checkpoint one"
            )

    def _reason(self) -> str:
        best, original, early = self.recommended, self.ways[0], self.recommended_in_backward
        least = min(self.ways, key=lambda way: way.peak)
        found = f"{best.name}, {_compared(best.peak, original.peak)}"
        if len(self.ways) == 1:
            found = f"{best.name}: no other way was found"
        elif best is original:
            found = f"{best.name}: no other way saves more than a tenth"
        elif least is not best:
            found += f"; {least.name} saves no more than a tenth beside it"
        if early is not best:
            sizes = _compared(early.in_backward, best.in_backward)
            found += f"\nwith the update in the backward pass: {early.name}, {sizes}"
        return found


def advise(
    model: nn.Module,
    example: Any,
    *,
    loss: Loss | None = None,
    **conversion: Any,
) -> Advice:
    """Predict what a training step takes with each way to save memory, and recommend one.

    The model is not changed, and no step is run: it is walked through without values. What
    convolutions and batch norms hold while they run is measured, on zeros, in another process; of
    other operations it is not seen. A model on "meta" is taken to be on the CPU.

    Args:
        model: any model; a real one, or one on the device "meta".
        example: a batch: a tensor, a tuple of arguments, or a dictionary of keywords; tensors on
            the device "meta" will do.
        loss: of what the model gives; by default its ``loss`` where it has one, else the mean
            square of all its tensors.
        **conversion: as `odenet.convert` takes them: the scheme, ``blocks``, constants.

    Returns:
        The advice; ``print`` it, or read `Advice.ways` and `Advice.recommended`.

    Raises:
        ValueError: if the model does not run on the example, or the conversion is not possible for
            another reason than that nothing in it can be converted.
    """
    require_convertible(model)
    walk, not_run = Walk(Example.from_input(example), loss), dict[str, str]()
    walked = [("original", "", walk.demands(model))]

    def look(name: str, cost: str, changed: nn.Module, change: Any = None) -> None:
        try:
            walked.append((name, cost, walk.demands(changed, change)))
        except ValueError as error:
            not_run[name] = str(error)

    paths = conversion.pop("blocks", None)
    plan, known = _plan(model, example, paths)
    blocks = [child_path(path, n) for path in plan.runs for n in _children(model, path)]
    blocks = blocks or list(_listed(model))
    if blocks:
        look("checkpointed", AGAIN, model, partial(checkpointed, paths=blocks))
    if plan.runs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say, `convert` says when it is called
            converted = convert(model, **conversion, blocks=paths, example=known)
        cost = ANOTHER if all(f.reversible for f in flows(converted).values()) else STORED
        look("converted", cost, converted)
        if any(isinstance(module, ResidualStage) for module in converted.modules()):
            look("converted, the rest checkpointed", cost, converted, rest_checkpointed)
    within, unmeasured = _within_kernels([demands for _, _, demands in walked])
    ways = [
        Way(name, plain.peak(within), early.peak(within), cost)
        for name, cost, (plain, early) in walked
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
        batch=walk.samples,
    )


def _within_kernels(walked: Iterable[tuple[Demand, Demand]]) -> tuple[dict[str, int], str]:
    """What kernels hold while they run, by their calls; or why that is not known."""
    calls = {call for both in walked for demand in both for call in demand.at_kernels}
    try:
        return memory_within(calls), ""
    except (RuntimeError, OSError) as error:
        return {}, str(error)


def _simplest(ways: list[Way], size: Callable[[Way], int]) -> Way:
    """The first that needs hardly more than the least."""
    least = min(map(size, ways))
    return next(way for way in ways if size(way) <= NEARLY * least)


def _plan(model: nn.Module, example: Any, blocks: Any) -> tuple[Plan, Any]:
    """What can be converted, and the example that shows it; None for one that is made up."""
    try:
        return find_blocks(model, None, blocks), None
    except ModelNotRun:
        real = pytree.tree_map_only(
            Tensor, lambda x: torch.zeros_like(x, device="cpu") if x.is_meta else x, example
        )
        return find_blocks(model, real, blocks), real


def _children(model: nn.Module, path: str) -> list[str]:
    """The blocks of a container: those of its children that have weights."""
    children = model.get_submodule(path).named_children()
    return [name for name, child in children if _learns(child)]


def _listed(model: nn.Module, path: str = "") -> Iterator[str]:
    """Blocks that lists of a model hold and no scheme can take as steps; a checkpoint takes any."""
    module = model.get_submodule(path)
    for name, child in module.named_children():
        listed = isinstance(module, nn.Sequential | nn.ModuleList)
        if listed and any(True for _ in child.children()) and _learns(child):
            yield child_path(path, name)
        else:
            yield from _listed(model, child_path(path, name))


def _learns(module: nn.Module) -> bool:
    return any(p.ndim > 1 for p in module.parameters())


def _unsuited(plan: Plan) -> str:
    first = next(iter(str(plan).splitlines()), "it has no blocks that are called one by one")
    return f"nothing can be converted: {first}"


def _compared(size: int, other: int) -> str:
    return f"{size_text(size)} in place of {size_text(other)}"
