"""Residual networks of others as reversible ones, with their parameters, names and order kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor, nn

from odenet.conversion.borrowed import Blocks, guarded, twin_of
from odenet.conversion.module_flow import ModuleFlow
from odenet.conversion.residual import find_row, keeps_shape
from odenet.conversion.reversible import (
    ConversionSettings,
    MakeSpeed,
    Speed,
    new_flow,
    warn_of_stored,
)
from odenet.conversion.schemes import GivenScheme, choose
from odenet.conversion.stages import Encoder, ResidualStage


def convert(
    model: nn.Module,
    scheme: GivenScheme = "momentum",
    *,
    v0: Speed | MakeSpeed = None,
    exact: bool = False,
    checkpoint: bool = False,
    **constants: float,
) -> nn.Module:
    """A residual network whose shape-preserving blocks are the steps of reversible flows.

    Each run of such blocks becomes a flow of f(x) = block(x) - x, with the block's last activation
    inside (Sander et al. 2021, Section 3.1). Blocks that change the shape stay as they are. The
    result is a model around the very same layers: parameters, their names and order, hooks, modes
    and ``state_dict`` are those of the original, which goes on to work.

    Args:
        model: with residual blocks that are known (ResNet, Wide ResNet, ResNeXt of torchvision and
            timm; MobileNetV2, EfficientNet, ConvNeXt, ViT and Swin of torchvision;
            ``nn.TransformerEncoder``), in ``nn.Sequential``s or encoders.
        scheme: of the library, of a file, as a text or of a program; see `reversible`.
        v0: the initial speed: 0, "f" for f(x0), "learned" for one value per channel, or a
            function that makes a module of x0 for a flow, given its first block; a module itself
            where there is a single flow. By default 0; a scheme that starts from an earlier value
            has the speed f(x0).
        exact: take the steps in fixed point, where they are undone bit for bit at any depth.
        checkpoint: store of blocks that change the shape their input only, and evaluate them again
            in the backward pass.
        **constants: of the scheme: gamma, by default 0.9, or h, by default 1.

    Returns:
        The converted model.

    Warns:
        UserWarning: if the steps of a flow are not undone in float32 well enough to train by, or
            have no inverse at all (euler, heun, rk4; momentum with γ = 0).

    Raises:
        ValueError: if nothing in it can be converted, or the scheme or the speed does not suit it.
        SpecError: if the scheme's text has an error, or a constant a bad value.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        raise ValueError("convert the model before it is wrapped for several devices")
    options = ConversionSettings(choose(scheme), True, v0, constants, exact, checkpoint)
    converted = _converted(model, options, {})
    if converted is model:
        raise ValueError(
            f"{type(model).__name__} has no residual blocks that are known here; "
            "odenet.reversible makes a flow of any modules that keep the shape"
        )
    flows = [module for module in converted.modules() if isinstance(module, ModuleFlow)]
    if isinstance(v0, nn.Module) and len(flows) > 1 and any(True for _ in v0.parameters()):
        raise ValueError(
            f"v0 is one module for {len(flows)} flows, whose channels differ: give a function that "
            "makes one for each, v0=lambda block: …, which is called with a flow's first block"
        )
    warn_of_stored(flows[0], "the converted model")
    return converted


def _converted(
    module: nn.Module, options: ConversionSettings, done: dict[nn.Module, nn.Module]
) -> nn.Module:
    """The module, or a twin of it in which something below is converted."""
    if module in done:
        return done[module]
    if type(module) is nn.Sequential and any(map(keeps_shape, module)):
        result: nn.Module = _stage(module, options)
    elif type(module) is nn.TransformerEncoder and all(map(keeps_shape, module.layers)):
        result = _encoder(module, options)
    else:
        children = {name: _converted(m, options, done) for name, m in module.named_children()}
        changed = any(m is not module._modules[name] for name, m in children.items())
        if changed and type(module).__name__ == "OptimizedModule":
            raise ValueError("convert the model first, and give torch.compile the converted one")
        result = twin_of(module, type(module), children) if changed else module
    done[module] = result
    return result


def _stage(original: nn.Sequential, options: ConversionSettings) -> ResidualStage:
    twins = {block: guarded(block) for block in original if keeps_shape(block)}
    blocks = {name: twins.get(block, block) for name, block in original.named_children()}
    stage: ResidualStage = twin_of(original, ResidualStage, blocks)
    flows, plan = [], []
    for kept, run in groupby(blocks, lambda name: keeps_shape(blocks[name])):
        names = tuple(run)
        if kept:
            plan.append(f"flows.{len(flows)}")
            flows.append(_flow(Blocks(stage, names), options))
        else:
            plan += names
    stage.plan = tuple(plan)
    stage.checkpoint = options.checkpoint
    stage.flows = _in_mode(nn.ModuleList(flows), original.training)
    return stage


def _encoder(original: nn.TransformerEncoder, options: ConversionSettings) -> Encoder:
    names = tuple(f"layers.{name}" for name, _ in original.layers.named_children())
    layers = {name: guarded(layer) for name, layer in original.layers.named_children()}
    twin = twin_of(original.layers, nn.ModuleList, layers)
    encoder: Encoder = twin_of(original, Encoder, {"layers": twin})
    encoder.flow = _in_mode(_flow(Blocks(encoder, names), options), original.training)
    return encoder


def _in_mode(module, training: bool):
    """The mode of what is new; the blocks keep theirs, such as that of frozen norms."""
    for part in (module, *module.children()):
        part.training = training
    return module


def _flow(blocks: Blocks, options: ConversionSettings) -> ModuleFlow:
    first = blocks.read()[0]
    if options.v0 == "learned":
        row = find_row(first)
        assert row is not None
        like = next(first.parameters())
        speed = InitialSpeed(torch.zeros(row.speed(first), device=like.device))
        options = replace(options, v0=speed.to(like.dtype))
    elif callable(options.v0) and not isinstance(options.v0, nn.Module):
        options = replace(options, v0=options.v0(first))
    return new_flow(len(blocks.names), options).borrow(blocks)


class InitialSpeed(nn.Module):
    """A learned speed that is the same for all inputs.

    Args:
        value: one per channel, as it is added to a feature map.
    """

    def __init__(self, value: Tensor):
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, x: Tensor) -> Tensor:
        """The speed at x."""
        return self.value.expand_as(x)
