"""The slices of stacked parameters, one for each step, as leaves of autograd.

A stacked parameter holds the values of all steps, and its gradient is complete only when the first
step has been undone. An optimizer that updates each step's values as soon as their gradient is
complete works on slices instead.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from odenet.runtime.learned.knots import Knotted


class Slices:
    """The slices of some stacked parameters, with which they share memory.

    Args:
        stacks: the parameters, ``(steps or knots, …)``.
    """

    def __init__(self, stacks: list[nn.Parameter]):
        self._by_id: dict[int, tuple[nn.Parameter, list[Tensor]]] = {}
        for stack in stacks:
            # By `data`, each slice has its own version counter: the others stay valid for autograd
            # when one is changed in place.
            slices = [stack.data[index] for index in range(len(stack))]
            self._by_id[id(stack)] = stack, [p.requires_grad_(stack.requires_grad) for p in slices]

    def get(self, stack: Any) -> list[Tensor] | None:
        """The slices of a parameter; None if it has none here.

        Raises:
            RuntimeError: if the parameter was moved in memory, or has a hook on its gradient.
        """
        if id(stack) not in self._by_id:
            return None
        stack, slices = self._by_id[id(stack)]
        if stack.untyped_storage()._cdata != slices[0].untyped_storage()._cdata:
            raise RuntimeError(
                f"a stacked parameter of shape {tuple(stack.shape)} was moved or converted after "
                "its optimizer was put into the backward pass: move the network first"
            )
        if stack._backward_hooks:
            raise RuntimeError(
                f"a hook on the gradient of a stacked parameter of shape {tuple(stack.shape)} is "
                "not called where an optimizer acts on each step's values in the backward pass: "
                "put it on the slices, which are in the optimizer's param_groups"
            )
        if slices[0].requires_grad != stack.requires_grad:  # frozen or unfrozen since
            for stack_slice in slices:
                stack_slice.requires_grad_(stack.requires_grad)
        return slices


def sliced_attributes(flow: Any, slices: Slices) -> Mapping[str, Any]:
    """Values for attributes of a copy of the flow, so that gradients arrive at the slices.

    Each stacked parameter becomes a list of its slices.
    """
    return _replacements(flow, slices, list)


def restacked_attributes(flow: Any, slices: Slices) -> Mapping[str, Any]:
    """The same for code that reads a whole stack: each becomes a new stack of its slices."""
    return _replacements(flow, slices, torch.stack)


def _replacements(flow: Any, slices: Slices, make: Callable[[list[Tensor]], Any]) -> dict[str, Any]:
    replacements: dict[str, Any] = {}
    for name, value in (*flow._parameters.items(), *flow._modules.items()):
        is_knotted = isinstance(value, Knotted)
        slices_of_stack = slices.get(value.knots if is_knotted else value)
        if slices_of_stack is None:
            continue
        replacements[name] = make(slices_of_stack)
        if is_knotted:
            knotted_copy = copy.copy(value)
            knotted_copy.__dict__ |= {"_parameters": {}, "knots": replacements[name]}
            replacements[name] = knotted_copy
    return replacements
