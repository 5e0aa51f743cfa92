"""An optimizer that acts in the backward pass: on each weight as soon as its gradient is complete.

Gradients then live one step of a flow at a time, and what depth costs is weights and the state of
the optimizer. The optimizer is called on one weight at a time by a hook that torch calls when it
has added a gradient up (`register_post_accumulate_grad_hook`; Lv et al. 2024, LOMO, section 3.1).
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.utils.checkpoint
from torch import Tensor, nn

from odenet.runtime.flow import Flow
from odenet.runtime.learned.optimizer_states import joined, parted
from odenet.runtime.learned.slices import Slices
from odenet.runtime.passes.flow_weights import FlowWeights

ClipBy = Literal["exact", "last"]
_NO_ZERO = 1e-6  # added to norms that are divided by, as in torch.nn.utils.clip_grad_norm_


class OptimizerInBackward:
    """Puts an optimizer into the backward pass of a network.

    A loop is written as before, without `optimizer.step()`; that does nothing, since no gradient is
    left. Schedules, `state_dict` and parameter groups are those of the optimizer. To the optimizer
    each step's slice of a stacked parameter is a parameter of its own.

    Args:
        network: on its device, and in its precision; its flows hand gradients over step by step.
        optimizer: of torch, or made like those, with the state of each parameter apart.
        clip: the largest norm of the whole gradient; 0 for no limit.
        clip_by: how that norm is known. "exact" goes back twice, first for the norm alone, and
            needs ``backward(loss)``. "last" takes the norm of the last backward pass, or that of
            the gradients found in this one by then if it is larger.

    Attributes:
        optimizer: the optimizer.
        norm: of the gradient of the last backward pass, before clipping; None without ``clip``.

    Raises:
        TypeError: if the optimizer needs all gradients at once.
        ValueError: if it has no parameter of the network, or ``clip`` is not a norm.
        RuntimeError: where several processes train together.

    Example:
        ::

            moving = OptimizerInBackward(network, torch.optim.AdamW(network.parameters()))
            loss(network(x), y).backward()  # weights move here
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip: float = 0.0,
        clip_by: ClipBy = "exact",
    ):
        if clip_by not in ("exact", "last"):
            raise ValueError(f'clip_by is "exact" or "last", not {clip_by!r}')
        if not clip >= 0:
            raise ValueError(f"clip is the largest norm of the gradient, or 0; not {clip}")
        _refuse(optimizer)
        within = {id(parameter) for parameter in network.parameters()}
        if not any(id(t) in within for group in optimizer.param_groups for t in group["params"]):
            raise ValueError(
                f"this {type(optimizer).__name__} has no parameter of the network, none of which "
                "would move: make it of network.parameters()"
            )
        self.optimizer = optimizer
        self.norm: Tensor | None = None
        self._clip, self._by = clip, clip_by
        self._last: Tensor | None = None  # norm of the pass before
        self._factor: Tensor | None = None  # of gradients, where it is known exactly
        self._measuring = self._gathering = False
        self._pass = -1  # the engine's number of the running backward pass
        self._names = {id(p): name for name, p in network.named_parameters()}
        state = optimizer.state_dict() if optimizer.state else None
        self._take_apart([m for m in network.modules() if isinstance(m, Flow)])
        for index, group in enumerate(optimizer.param_groups):
            for tensor in group["params"]:
                _hook(tensor, partial(self._arrived, index))
        optimizer.register_state_dict_post_hook(lambda _, saved: joined(saved, self._counts))
        optimizer.register_load_state_dict_pre_hook(lambda _, saved: parted(saved, self._counts))
        if state is not None:
            optimizer.state.clear()
            optimizer.load_state_dict(state)

    def backward(self, loss: Tensor) -> None:
        """Goes back from a loss; weights move on the way.

        With exact clipping twice, where the first pass keeps what the second needs.
        """
        if not self._clip or self._by == "last":
            loss.backward()
            return
        tensors = [t for group in self.optimizer.param_groups for t in group["params"]]
        self.norm, self._measuring = None, True
        try:
            inputs = [tensor for tensor in tensors if tensor.requires_grad]
            torch.autograd.backward(loss, inputs=inputs, retain_graph=True)
        finally:
            self._measuring = False
        self._factor = None if self.norm is None else self._limited(self.norm)
        try:
            loss.backward()
        finally:
            self._factor = None

    @contextmanager
    def accumulating(self) -> Iterator[None]:
        """Backward passes within leave their gradients, for the next one outside to add its own.

        Gradients of all weights then live until that one: it saves no memory.

        Raises:
            ValueError: with exact clipping, whose first pass would add to them.
        """
        if self._clip and self._by == "exact":
            raise ValueError(
                'gradients that wait cannot be clipped exactly in two passes: say clip_by="last", '
                "or take the batch as one"
            )
        self._gathering = True
        try:
            yield
        finally:
            self._gathering = False

    def _take_apart(self, flows: list[Flow]) -> None:
        """Puts slices in the place of stacked parameters."""
        groups = self.optimizer.param_groups
        moved = {id(tensor) for group in groups for tensor in group["params"]}
        # A solver with tolerances reads all of a stack, and hands over its whole gradient.
        fixed = [flow for flow in flows if not hasattr(flow, "rtol")]
        stacks = [s for flow in fixed for s in FlowWeights(flow, flow.learned()).stacks]
        slices = Slices([s for s in {id(s): s for s in stacks}.values() if id(s) in moved])
        for flow in flows:
            flow.slices = slices
        self._counts: list[list[int]] = []
        for group in groups:
            found = [slices.of(tensor) for tensor in group["params"]]
            for stack, parts in zip(group["params"], found, strict=True):
                if parts is not None:
                    _hook(stack, self._refuse_whole)
                    name = self._names.get(id(stack), "a parameter")
                    self._names |= {id(s): f"{name}[{i}]" for i, s in enumerate(parts)}
            self._counts.append([len(parts or ()) for parts in found])
            pairs = zip(group["params"], found, strict=True)
            group["params"] = [t for p, parts in pairs for t in (parts or [p])]

    def _arrived(self, index: int, tensor: Tensor) -> None:
        """Told by autograd that a gradient is complete.

        Args:
            index: of the parameter group.
            tensor: the parameter, or slice of one.
        """
        if self._gathering:
            return
        self._note_pass()
        gradient = tensor.grad
        if gradient is None:
            return
        if self._clip and (self._measuring or self._by == "last"):
            norm = torch.linalg.vector_norm(gradient, dtype=_wide(gradient.dtype))
            self.norm = norm if self.norm is None else torch.hypot(self.norm.to(norm), norm)
        if self._measuring:
            tensor.grad = None
            return
        if self._clip:
            gradient.mul_(self._factor_now().to(gradient))
        self._step(index, tensor)
        tensor.grad = None

    def _note_pass(self) -> None:
        number = torch._C._current_graph_task_id()
        if number == self._pass:
            return
        self._pass = number
        _refuse_reentrant()
        if self._by == "last":
            self._last, self.norm = self.norm, None

    def _factor_now(self) -> Tensor:
        if self._factor is not None:
            return self._factor
        if self._by == "exact":
            raise RuntimeError(
                "exact clipping takes two backward passes: in place of loss.backward() call "
                'backward(loss) of the OptimizerInBackward, or say clip_by="last"'
            )
        assert self.norm is not None, "this gradient is in it"
        if self._last is None:
            return self._limited(self.norm)
        # After a pass with an inf or a nan the gradients of this one are all that is known.
        last = torch.where(self._last.isfinite(), self._last, 0.0)
        return self._limited(torch.maximum(self.norm, last))

    def _limited(self, norm: Tensor) -> Tensor:
        return (self._clip / (norm + _NO_ZERO)).clamp(max=1.0)

    def _step(self, index: int, tensor: Tensor) -> None:
        """The optimizer's step on one parameter: the groups have this one alone for its time."""
        groups = self.optimizer.param_groups
        alone = [{**group, "params": []} for group in groups]
        alone[index]["params"] = [tensor]
        self.optimizer.param_groups = alone
        try:
            self.optimizer.step()
        finally:
            self.optimizer.param_groups = groups
        for name, value in alone[index].items():
            if name != "params" and groups[index].get(name) is not value:
                raise RuntimeError(
                    f"{type(self.optimizer).__name__} keeps `{name}` for a whole group of "
                    "parameters and changes it in its step: it cannot act on them one by one"
                )

    def _refuse_whole(self, stack: Tensor) -> None:
        stack.grad = None
        raise RuntimeError(
            f"{self._names.get(id(stack), 'a stacked parameter')} is read outside of the steps of "
            "its flow, as by a penalty on weights, and its gradient came as a whole: the optimizer "
            "acts on each step's values in the backward pass, and would miss it. Take "
            "flow.smoothness(), or the optimizer's weight decay"
        )


def _hook(tensor: Tensor, function: Any) -> None:
    """Puts a hook on a leaf, also on one that is frozen now."""
    needed = tensor.requires_grad
    tensor.requires_grad_().register_post_accumulate_grad_hook(function)
    tensor.requires_grad_(needed)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Squares of 16 bits overflow."""
    return torch.float32 if dtype.itemsize < 4 else dtype


def _refuse(optimizer: torch.optim.Optimizer) -> None:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(
            f"{type(optimizer).__name__} evaluates the loss within its step, for which it needs "
            "the gradients of all weights at once: it cannot act in the backward pass"
        )
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise RuntimeError(
            "several processes average gradients when the backward pass is over: an optimizer in "
            "the backward pass is for one process"
        )


def _refuse_reentrant() -> None:
    """A reentrant checkpoint has a backward pass of its own, where no gradient is known complete.

    Raises:
        RuntimeError: if the hook that calls this was called in one.
    """
    code = torch.utils.checkpoint.CheckpointFunction.backward.__code__
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is code:
            raise RuntimeError(
                "checkpoint(use_reentrant=True) has a backward pass of its own, in which it is not "
                "known when a gradient is complete: say use_reentrant=False"
            )
        frame = frame.f_back
