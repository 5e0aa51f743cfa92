"""The steps' slices of stacked parameters, as leaves of their own.

A stacked parameter holds the values of all steps, and its gradient is whole only when the first
step has been undone. An optimizer that acts on each step's values as soon as their gradient is
complete is given slices instead.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from odenet.runtime.learned.knots import Knotted


class Slices:
    """Slices by the parameters that they are of, whose memory they share.

    Args:
        stacks: the parameters to take apart, ``(steps or knots, …)``.
    """

    def __init__(self, stacks: list[nn.Parameter]):
        self._of: dict[int, tuple[nn.Parameter, list[Tensor]]] = {}
        for stack in stacks:
            # Each counts its own changes, so that others stay valid when one is changed in place.
            parts = [stack.data[place] for place in range(len(stack))]
            self._of[id(stack)] = stack, [p.requires_grad_(stack.requires_grad) for p in parts]

    def of(self, stack: Any) -> list[Tensor] | None:
        """The slices of a parameter; None if it is not taken apart.

        Raises:
            RuntimeError: if the parameter has other memory than it had, or a hook on its gradient.
        """
        if id(stack) not in self._of:
            return None
        stack, parts = self._of[id(stack)]
        if stack.untyped_storage()._cdata != parts[0].untyped_storage()._cdata:
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
        if parts[0].requires_grad != stack.requires_grad:  # frozen since, or no longer
            for part in parts:
                part.requires_grad_(stack.requires_grad)
        return parts


def taken_apart(flow: Any, slices: Slices) -> Mapping[str, Any]:
    """What to read in place of a flow's attributes, for gradients to arrive at slices."""
    return _replaced(flow, slices, list)


def put_together(flow: Any, slices: Slices) -> Mapping[str, Any]:
    """The same for what reads a stack as a whole: made of the slices."""
    return _replaced(flow, slices, torch.stack)


def _replaced(flow: Any, slices: Slices, form: Callable[[list[Tensor]], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, held in (*flow._parameters.items(), *flow._modules.items()):
        knotted = isinstance(held, Knotted)
        parts = slices.of(held.knots if knotted else held)
        if parts is None:
            continue
        found[name] = form(parts)
        if knotted:
            twin = copy.copy(held)
            twin.__dict__ |= {"_parameters": {}, "knots": found[name]}
            found[name] = twin
    return found
