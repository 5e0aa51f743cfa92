"""Depth is time: the same flow with steps of half the size (Chang et al. 2018, multi-level)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow


def refined(flow: Flow) -> Flow:
    """A flow with twice the steps, each pair of which has the weights of the one it replaces."""
    finer = copy.deepcopy(flow)
    finer.steps, finer.h = 2 * flow.steps, flow.h / 2
    for name, stack in flow.named_parameters(recurse=False):
        if name not in flow.shared:
            repeated = stack.detach().repeat_interleave(2, dim=0)
            setattr(finer, name, nn.Parameter(repeated, stack.requires_grad))
    for name, modules in flow.named_children():
        if isinstance(modules, nn.ModuleList) and name not in flow.shared:
            twice = (copy.deepcopy(module) for module in modules for _ in range(2))
            setattr(finer, name, nn.ModuleList(twice))
    return finer
