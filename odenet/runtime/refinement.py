"""Depth is time: the same flow with steps of half the size (Chang et al. 2018, multi-level)."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from odenet.runtime.knots import Knotted

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow


def refined(flow: Flow) -> Flow:
    """A flow with twice the steps, each pair of which has the weights of the one it replaces.

    Raises:
        ValueError: if a weight is computed in a way that does not go step by step.
    """
    finer = copy.deepcopy(flow)
    finer.steps = 2 * flow.steps
    finer._memory = flow._memory  # a share of a budget goes on to be one
    finer.__dict__.update(_numbers(flow, flow.h / 2))
    for name, stack in flow.named_parameters(recurse=False):
        if name not in flow.shared:
            setattr(finer, name, _twice(stack))
    for name, modules in flow.named_children():
        if isinstance(modules, nn.ModuleList) and name not in flow.shared:
            twice = (copy.deepcopy(module) for module in modules for _ in range(2))
            setattr(finer, name, nn.ModuleList(twice))
    for knotted in finer.children():
        if isinstance(knotted, Knotted):
            knotted.steps = finer.steps  # of the same K(t)
    for name, computed in _computed(flow).items():
        if name not in flow.shared:
            _refine_computed(finer, name, computed, getattr(flow, name))
    return finer


def _numbers(flow: Flow, h: float) -> dict[str, Any]:
    """The step size and the numbers that follow from it, as the flow's constructor has them."""
    given = list(inspect.signature(type(flow).__init__).parameters)[3:]
    known = [name for name in given if name not in ("h", "T", *flow.given)]
    if not {"h", "T"} & {*given} or not all(hasattr(flow, name) for name in known):
        return {"h": h}
    constants = {name: getattr(flow, name) for name in known}
    size = {"T": h} if "T" in given else {"h": h}
    with torch.random.fork_rng(devices=[]):
        stand_ins: dict[str, Any] = dict.fromkeys(flow.given, lambda channels: nn.Identity())
        one_step = type(flow)(flow.channels, 1, **size, **constants, **stand_ins)
    own = vars(one_step).keys() - vars(nn.Module()).keys() - {"channels", "steps", "space"}
    numbers = {name: vars(one_step)[name] for name in own if not name.startswith("_")}
    return {
        name: value
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "anchors"
    }


def _computed(flow: Flow) -> dict[str, ParametrizationList]:
    """The stacks that a parametrization computes from others."""
    found: Any = getattr(flow, "parametrizations", {})
    return dict(found.items())


def _refine_computed(finer: Flow, name: str, computed: ParametrizationList, before: Tensor) -> None:
    target = _computed(finer)[name]
    for own, stack in computed.named_parameters(recurse=False):
        if len(stack) == len(before):
            setattr(target, own, _twice(stack))
    with torch.no_grad():
        after = getattr(finer, name)
        expected = before.repeat_interleave(2, dim=0)
        if after.shape != expected.shape or not torch.allclose(after, expected):
            raise ValueError(
                f"{type(finer).__name__} cannot be refined: the parametrization of {name} does not "
                "compute each step from that step alone; remove it first "
                "(torch.nn.utils.parametrize.remove_parametrizations)"
            )


def _twice(stack: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(stack.detach().repeat_interleave(2, dim=0), stack.requires_grad)
