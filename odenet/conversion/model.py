"""Residual networks of others as reversible ones, with their parameters, names and order kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from odenet.conversion.adopted import AdoptedFlow
from odenet.conversion.residual import find_row, keeps_shape
from odenet.conversion.reversible import Options, Speed, assemble
from odenet.runtime.memory import recomputed


def convert(
    model: nn.Module,
    scheme: str = "momentum",
    *,
    v0: Speed = None,
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
        scheme: of the library.
        v0: the initial speed: 0, "f" for f(x0), "learned" for one value per channel, or a module
            of x0. By default 0; a scheme that starts from an earlier value has the speed f(x0).
        exact: take the steps in fixed point, where they are undone bit for bit at any depth.
        checkpoint: store of blocks that change the shape their input only, and evaluate them again
            in the backward pass.
        **constants: of the scheme: gamma, by default 0.9, or h, by default 1.

    Returns:
        The converted model.

    Warns:
        UserWarning: if the steps of a flow are not undone in float32 well enough to train by.

    Raises:
        ValueError: if nothing in it can be converted, or the scheme does not suit it.
        SpecError: if the scheme has no such constant.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        raise ValueError("convert the model before it is wrapped for several devices")
    options = Options(scheme, True, v0, constants, exact, checkpoint, owner=False)
    converted = _converted(model, options, {})
    if converted is model:
        raise ValueError(
            f"{type(model).__name__} has no residual blocks that are known here; "
            "odenet.reversible makes a flow of any modules that keep the shape"
        )
    return converted


class Stage(nn.Sequential):
    """A sequence of blocks of which some are run as the steps of flows.

    Attributes:
        flows: one per run of blocks that keep the shape; the blocks are children of the stage.
        checkpoint: whether the other blocks are evaluated again in the backward pass.
    """

    flows: nn.ModuleList
    checkpoint: bool
    plan: tuple[str, ...]  # names of blocks, and of flows as "flows.0"

    def forward(self, input: Tensor) -> Tensor:
        """The blocks and flows one after the other."""
        for name in self.plan:
            module = self.get_submodule(name)
            again = self.checkpoint and not isinstance(module, AdoptedFlow)
            input = recomputed(module, input) if again else module(input)
        return input

    def __iter__(self) -> Iterator[nn.Module]:
        """The blocks, as of the original."""
        return (module for module in self._modules.values() if module is not self.flows)

    def __len__(self) -> int:
        return len(self._modules) - 1


class Encoder(nn.TransformerEncoder):
    """A transformer encoder whose layers are the steps of a flow."""

    flow: AdoptedFlow

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """As torch's; the masks go to every layer."""
        given: dict[str, Any] = {
            "src_mask": mask,
            "src_key_padding_mask": src_key_padding_mask,
            "is_causal": bool(is_causal),
        }
        kept = {key: value for key, value in given.items() if value is not None}
        output = self.flow(src, **kept)
        return output if self.norm is None else self.norm(output)


def _converted(module: nn.Module, options: Options, done: dict[nn.Module, nn.Module]) -> nn.Module:
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
        result = _twin(module, type(module), children) if changed else module
    done[module] = result
    return result


def _stage(blocks: nn.Sequential, options: Options) -> Stage:
    stage = _twin(blocks, Stage, {})
    flows, plan = [], []
    for kept, run in groupby(blocks.named_children(), lambda child: keeps_shape(child[1])):
        names, modules = zip(*run, strict=True)
        if kept:
            plan.append(f"flows.{len(flows)}")
            flows.append(_flow(modules, options))
        else:
            plan += names
    stage.plan = tuple(plan)
    stage.checkpoint = options.checkpoint
    stage.flows = nn.ModuleList(flows)
    stage.flows.train(blocks.training)
    return stage


def _encoder(original: nn.TransformerEncoder, options: Options) -> Encoder:
    encoder = _twin(original, Encoder, {})
    encoder.flow = _flow(tuple(original.layers), options)
    encoder.flow.train(original.training)
    return encoder


def _flow(blocks: Sequence[nn.Module], options: Options) -> AdoptedFlow:
    if options.v0 == "learned":
        row = find_row(blocks[0])
        assert row is not None
        like = next(blocks[0].parameters())
        speed = InitialSpeed(torch.zeros(row.speed(blocks[0]), device=like.device))
        options = replace(options, v0=speed.to(like.dtype))
    return assemble([(block,) for block in blocks], options)


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


def _twin(module: nn.Module, kind: type, children: dict[str, nn.Module]):
    """A module of a class around the same parameters, buffers, hooks and children but some."""
    twin = object.__new__(kind)
    twin.__dict__.update(module.__dict__)
    twin.__dict__["_modules"] = {**module._modules, **children}
    return twin
