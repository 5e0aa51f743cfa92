"""`convert`: makes a residual network reversible; parameters keep their names and order."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from odenet.conversion.blocks import BlockReferences, shallow_copy
from odenet.conversion.channel_axis import channel_axis
from odenet.conversion.deferred import assign_to_flow, make_step
from odenet.conversion.module_flow import ModuleFlow
from odenet.conversion.reversible import (
    ConversionSettings,
    Speed,
    SpeedFactory,
    new_flow,
    warn_if_not_reversible,
)
from odenet.conversion.schemes import SchemeLike, choose_scheme
from odenet.conversion.search import Plan, Runs, find_blocks
from odenet.conversion.stages import Encoder, FlowsOfBlocks, ResidualStage, holder_class


def convert(
    model: nn.Module,
    scheme: SchemeLike = "momentum",
    *,
    blocks: str | Iterable[str] | Plan | None = None,
    example: Any = None,
    v0: Speed | SpeedFactory = None,
    exact: bool = False,
    checkpoint: bool = False,
    **constants: Any,
) -> nn.Module:
    """A residual network whose shape-preserving blocks are the steps of reversible flows.

    Consecutive blocks of this kind (a run) become a flow of f(x) = block(x) - x, with the block's
    last activation inside (Sander et al. 2021, Section 3.1). Blocks that change the shape stay as
    they are. The converted model shares its layers with the original, which can still be used:
    parameters, their names and order, hooks, modes and ``state_dict`` are the same.

    Args:
        model: any model whose blocks are in ``nn.Sequential``s or ``nn.ModuleList``s and are called
            one after the other. A run of a copy on an example shows which of them are residual and
            keep the shape; `find_blocks` lists these, and says why the others stay.
        scheme: the name of a scheme of the library, a file, a text or a program; see `reversible`.
        blocks: paths of containers of blocks, such as ``"model.layers"`` or, as a pattern,
            ``"stages.*.blocks"``; blocks there need not be residual. Or the `Plan` that
            `find_blocks` returned for a model of the same layers.
        example: an input of the model: a tensor, a tuple of arguments, or a dictionary of keywords;
            by default one is made up.
        v0: the initial speed: 0, "f" for f(x0), "learned" for one value per channel, or a
            function from the first block of a flow to a module that computes the speed from x0;
            where there is a single flow, also such a module itself. By default 0; a scheme that
            starts from an earlier value has the speed f(x0).
        exact: take the steps in fixed point, where they are undone bit for bit at any depth.
        checkpoint: for blocks of an ``nn.Sequential`` that change the shape, save the input only,
            and evaluate them again in the backward pass.
        **constants: of the scheme: gamma, by default 0.9, or h, by default 1: a number, one for
            each step, or of `odenet.runtime` a ``Ramp``, ``Learned``, ``Uniform``, ``Geometric``.

    Returns:
        The converted model.

    Warns:
        UserWarning: if the inverse steps of a flow are too inexact in float32 to train by, or do
            not exist (euler, heun, rk4; momentum with γ = 0); if a cache of keys and values is
            turned off, since the backward pass evaluates blocks again.

    Raises:
        ValueError: if nothing can be converted, or the scheme or the speed does not suit the model.
        SpecError: if the scheme's text has an error, or a constant has a bad value.
    """
    require_convertible(model)
    plan = blocks if isinstance(blocks, Plan) else find_blocks(model, example, blocks)
    if not plan.runs:
        why = "".join(f"\n  {line}" for line in str(plan).splitlines()[:5])
        raise ValueError(
            f"{type(model).__name__} has no residual blocks that keep the shape; "
            f"odenet.reversible makes a flow of any modules that do{why}"
        )
    # True: the blocks are residual.
    settings = ConversionSettings(choose_scheme(scheme), True, v0, constants, exact, checkpoint)
    converter = _Converter(model, plan, settings)
    converted = converter.convert(model)
    flows = [module for module in converted.modules() if isinstance(module, ModuleFlow)]
    if isinstance(v0, nn.Module) and len(flows) > 1 and any(True for _ in v0.parameters()):
        raise ValueError(
            f"v0 is one module for {len(flows)} flows, whose channels differ: give a function that "
            "makes one for each, v0=lambda block: …, which is called with a flow's first block"
        )
    warn_if_not_reversible(flows[0], "the converted model")
    if converter.uncached_configs:
        warnings.warn(
            f"use_cache is turned off in the config of the converted {type(model).__name__}: the "
            "steps of a flow take no cache of keys and values",
            stacklevel=2,
        )
    return converted


def require_convertible(model: nn.Module) -> None:
    """Refuse a model that is not a module, or is compiled, wrapped or converted already.

    Raises:
        ValueError: says what to convert in its place.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"convert takes a torch.nn.Module, not a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError("TorchScript has no modules to convert: give the model it was made of")
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        raise ValueError("convert the model before it is wrapped for several devices")
    if any(type(module).__name__ == "OptimizedModule" for module in (model, *model.children())):
        raise ValueError("convert the model first, and give torch.compile the converted one")
    if any(isinstance(module, ModuleFlow) for module in model.modules()):
        raise ValueError(f"this {type(model).__name__} is converted already: convert the original")


class _Converter:
    """Converts the modules of a model, for one call of `convert`.

    Attributes:
        plan: which blocks become steps.
        settings: how they become steps.
        paths: module -> its path in the model.
        converted: the result for each module that was visited.
        uncached_configs: copies of configurations with their cache off, by `id` of the original.
    """

    def __init__(self, model: nn.Module, plan: Plan, settings: ConversionSettings):
        self.plan = plan
        self.settings = settings
        self.paths = {module: path for path, module in model.named_modules()}
        self.converted: dict[nn.Module, nn.Module] = {}
        self.uncached_configs: dict[int, Any] = {}

    def convert(self, module: nn.Module) -> nn.Module:
        """The module, or a copy of it if something in it is converted."""
        if module not in self.converted:
            self.converted[module] = self._convert(module)
        return self.converted[module]

    def _convert(self, module: nn.Module) -> nn.Module:
        """As `convert`, for a module that was not visited before."""
        runs = self.plan.runs.get(self.paths[module], ())
        step_names = {name for run in runs for name in run}
        children = {
            name: make_step(child) if name in step_names else self.convert(child)
            for name, child in module.named_children()
        }
        if runs:
            holder = shallow_copy(module, holder_class(type(module)), children)
            self._turn_off_caches(holder)
            return self._add_flows(module, holder, runs)
        if all(child is module._modules[name] for name, child in children.items()):
            return module
        if type(module) is nn.TransformerEncoder:
            return shallow_copy(module, Encoder, children)
        duplicate = shallow_copy(module, type(module), children)
        self._turn_off_caches(duplicate)
        return duplicate

    def _add_flows(self, original: nn.Module, holder: Any, runs: Runs) -> Any:
        """Add a flow for each run of blocks to the copy of a container; returns the copy."""
        path = self.paths[original]
        flows = [self._flow(BlockReferences(holder, names), path) for names in runs]
        holder.flows = _set_mode(FlowsOfBlocks(flows), original.training)
        for flow, names in zip(flows, runs, strict=True):
            for index, name in enumerate(names):
                assign_to_flow(holder._modules[name], flow, index)
        if isinstance(holder, ResidualStage):
            holder.checkpoint = self.settings.checkpoint
            holder.call_order = tuple(_call_order(holder.block_names(), runs))
        return holder

    def _flow(self, blocks: BlockReferences, path: str) -> ModuleFlow:
        """A flow of blocks whose container has this path."""
        first = blocks.modules()[0]
        settings = self.settings
        if settings.v0 == "learned":
            first_path = f"{path}{'.' if path else ''}{blocks.names[0]}"
            settings = replace(settings, v0=self._learned_speed(first, first_path))
        elif callable(settings.v0) and not isinstance(settings.v0, nn.Module):
            settings = replace(settings, v0=settings.v0(first))
        return new_flow(len(blocks.names), settings).use_registered_modules(blocks)

    def _learned_speed(self, block: nn.Module, path: str) -> InitialSpeed:
        """A learned initial speed, one value per channel of a block's input, which starts at 0."""
        shape = self.plan.shapes.get(path)
        if shape is None:
            raise ValueError(
                'v0="learned" takes the width of the blocks from a run: give example=…'
            )
        # If the layers do not tell the axis: an input with more than three axes is a map.
        axis = channel_axis([block]) or (1 if len(shape) > 3 else -1)
        weight = next(block.parameters())
        size = (shape[axis],) if axis == -1 else (shape[axis], *(1,) * (len(shape) - 2))
        return InitialSpeed(torch.zeros(size, device=weight.device, dtype=weight.dtype))

    def _turn_off_caches(self, module: nn.Module) -> None:
        """Turn off the cache of keys and values in a configuration of Hugging Face transformers."""
        config = module.__dict__.get("config")
        if getattr(config, "use_cache", False):
            if id(config) not in self.uncached_configs:
                self.uncached_configs[id(config)] = copy.copy(config)
                self.uncached_configs[id(config)].use_cache = False
            module.__dict__["config"] = self.uncached_configs[id(config)]


def _call_order(names: tuple[str, ...], runs: Runs) -> Iterator[str]:
    """The names of the blocks, where `flows.0` and so on replace the runs."""
    flows = {run[0]: f"flows.{number}" for number, run in enumerate(runs)}
    inside_flows = {name for run in runs for name in run[1:]}
    return (flows.get(name, name) for name in names if name not in inside_flows)


def _set_mode(module, training: bool):
    """Set the mode of new modules; blocks keep their own, as frozen norms have to."""
    for part in (module, *module.children()):
        part.training = training
    return module


class InitialSpeed(nn.Module):
    """A learned initial speed that is the same for all inputs.

    Args:
        value: one number per channel, in a shape that broadcasts to the input.
    """

    def __init__(self, value: Tensor):
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, x: Tensor) -> Tensor:
        """The speed at x."""
        return self.value.expand_as(x)
