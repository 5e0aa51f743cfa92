"""An optimizer that acts in the backward pass: on each weight as soon as its gradient is complete.

Gradients then exist for one step of a flow at a time, so that depth costs memory only for weights
and the state of the optimizer. A hook that torch calls when a gradient is complete runs the
optimizer on one weight at a time (`register_post_accumulate_grad_hook`; Lv et al. 2024, LOMO,
section 3.1).
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
from odenet.runtime.learned.optimizer_states import slice_state, stack_state
from odenet.runtime.learned.slices import Slices
from odenet.runtime.passes.flow_weights import FlowWeights

ClipBy = Literal["exact", "last"]
_SMALL = 1e-6  # added to a norm before dividing by it, as in torch.nn.utils.clip_grad_norm_


class OptimizerInBackward:
    """Puts an optimizer into the backward pass of a network.

    A training loop is written as before, without `optimizer.step()`, which does nothing, since no
    gradients are left. Schedules, `state_dict` and parameter groups are those of the optimizer. To
    the optimizer each step's slice of a stacked parameter is a parameter of its own.

    Args:
        network: the network, already on its device and in its precision.
        optimizer: one of torch, or of a class that keeps its state separately for each parameter.
        clip: the largest norm of the whole gradient; 0 for no limit.
        clip_by: where that norm comes from. "exact" runs the backward pass twice, first for the
            norm alone, and needs ``backward(loss)``. "last" takes the norm of the last backward
            pass, or that of the gradients so far in this one if it is larger.

    Attributes:
        optimizer: the optimizer.
        norm: the norm of the gradient in the last backward pass, before clipping; None without
            ``clip``.

    Raises:
        TypeError: if the optimizer needs all gradients at once.
        ValueError: if it has no parameter of the network, or ``clip`` is not a norm.
        RuntimeError: where several processes train together.

    Example:
        ::

            optimizer = OptimizerInBackward(network, torch.optim.AdamW(network.parameters()))
            loss(network(x), y).backward()  # updates the weights
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
        _refuse_unsuitable(optimizer)
        known_ids = {id(parameter) for parameter in network.parameters()}
        if not any(id(t) in known_ids for group in optimizer.param_groups for t in group["params"]):
            raise ValueError(
                f"this {type(optimizer).__name__} has no parameter of the network, and would move "
                "none: make it of network.parameters()"
            )
        self.optimizer = optimizer
        self.norm: Tensor | None = None
        self._clip, self._clip_by = clip, clip_by
        self._last_norm: Tensor | None = None  # of the previous pass
        self._clip_factor: Tensor | None = None  # for all gradients, with exact clipping
        # Within the first pass of exact clipping, and within `accumulating`.
        self._only_measures = self._accumulates = False
        self._pass_number = -1  # the engine's number of the running backward pass
        self._names = {id(p): name for name, p in network.named_parameters()}
        state = optimizer.state_dict() if optimizer.state else None
        self._install_slices([m for m in network.modules() if isinstance(m, Flow)])
        for index, group in enumerate(optimizer.param_groups):
            for tensor in group["params"]:
                _hook_gradient(tensor, partial(self._on_gradient, index))
        optimizer.register_state_dict_post_hook(lambda _, s: stack_state(s, self._slice_counts))
        optimizer.register_load_state_dict_pre_hook(lambda _, s: slice_state(s, self._slice_counts))
        if state is not None:
            optimizer.state.clear()
            optimizer.load_state_dict(state)

    def backward(self, loss: Tensor) -> None:
        """Runs the backward pass of a loss, in which the weights are updated.

        With exact clipping it runs twice, the first time for the norm of the gradient.
        """
        if not self._clip or self._clip_by == "last":
            loss.backward()
            return
        tensors = [t for group in self.optimizer.param_groups for t in group["params"]]
        self.norm, self._only_measures = None, True
        try:
            inputs = [tensor for tensor in tensors if tensor.requires_grad]
            torch.autograd.backward(loss, inputs=inputs, retain_graph=True)
        finally:
            self._only_measures = False
        self._clip_factor = None if self.norm is None else self._clip_factor_of(self.norm)
        try:
            loss.backward()
        finally:
            self._clip_factor = None

    @contextmanager
    def accumulating(self) -> Iterator[None]:
        """A context manager for gradient accumulation: passes within it only add up gradients.

        The next pass outside updates the weights. Until then the gradients of all weights are in
        memory.

        Raises:
            ValueError: with exact clipping, whose first pass would add to the gradients.
        """
        if self._clip and self._clip_by == "exact":
            raise ValueError(
                'accumulated gradients cannot be clipped exactly in two passes: say clip_by="last",'
                " or take the whole batch at once"
            )
        self._accumulates = True
        try:
            yield
        finally:
            self._accumulates = False

    def _install_slices(self, flows: list[Flow]) -> None:
        """Replaces stacked parameters in the optimizer's groups by their slices."""
        groups = self.optimizer.param_groups
        optimized = {id(tensor) for group in groups for tensor in group["params"]}
        # Not of adaptive flows, whose solver reads whole stacks and gives whole gradients.
        fixed_flows = [flow for flow in flows if not hasattr(flow, "rtol")]
        stacks = [s for flow in fixed_flows for s in FlowWeights(flow, flow.learned_names()).stacks]
        slices = Slices([s for s in {id(s): s for s in stacks}.values() if id(s) in optimized])
        for flow in flows:
            flow.slices = slices
        self._slice_counts: list[list[int]] = []
        for group in groups:
            slices_by_parameter = [slices.get(tensor) for tensor in group["params"]]
            for stack, parts in zip(group["params"], slices_by_parameter, strict=True):
                if parts is not None:
                    _hook_gradient(stack, self._refuse_whole_gradient)
                    name = self._names.get(id(stack), "a parameter")
                    self._names |= {id(s): f"{name}[{i}]" for i, s in enumerate(parts)}
            self._slice_counts.append([len(parts or ()) for parts in slices_by_parameter])
            pairs = zip(group["params"], slices_by_parameter, strict=True)
            group["params"] = [t for whole, parts in pairs for t in (parts or [whole])]

    def _on_gradient(self, group_index: int, tensor: Tensor) -> None:
        """Called by autograd when a gradient is complete.

        Args:
            group_index: the index of the parameter group.
            tensor: the parameter, or a slice of one.
        """
        if self._accumulates:
            return
        self._note_pass()
        gradient = tensor.grad
        if gradient is None:
            return
        if self._clip and (self._only_measures or self._clip_by == "last"):
            norm = torch.linalg.vector_norm(gradient, dtype=_accumulation_dtype(gradient.dtype))
            self.norm = norm if self.norm is None else torch.hypot(self.norm.to(norm), norm)
        if self._only_measures:
            tensor.grad = None
            return
        if self._clip:
            gradient.mul_(self._current_clip_factor().to(gradient))
        self._step(group_index, tensor)
        tensor.grad = None

    def _note_pass(self) -> None:
        """Called with each gradient; the first one of a backward pass begins a new norm."""
        number = torch._C._current_graph_task_id()
        if number == self._pass_number:
            return
        self._pass_number = number
        _refuse_reentrant()
        if self._clip_by == "last":
            self._last_norm, self.norm = self.norm, None

    def _current_clip_factor(self) -> Tensor:
        if self._clip_factor is not None:
            return self._clip_factor
        if self._clip_by == "exact":
            raise RuntimeError(
                "exact clipping takes two backward passes: in place of loss.backward() call "
                'backward(loss) of the OptimizerInBackward, or say clip_by="last"'
            )
        assert self.norm is not None, "this gradient is in it"
        if self._last_norm is None:
            return self._clip_factor_of(self.norm)
        # If the last norm was inf or nan, only the gradients of this pass count.
        last = torch.where(self._last_norm.isfinite(), self._last_norm, 0.0)
        return self._clip_factor_of(torch.maximum(self.norm, last))

    def _clip_factor_of(self, norm: Tensor) -> Tensor:
        return (self._clip / (norm + _SMALL)).clamp(max=1.0)

    def _step(self, group_index: int, tensor: Tensor) -> None:
        """Runs the optimizer's step with groups that contain this parameter only."""
        groups = self.optimizer.param_groups
        single_groups = [{**group, "params": []} for group in groups]
        single_groups[group_index]["params"] = [tensor]
        self.optimizer.param_groups = single_groups
        try:
            self.optimizer.step()
        finally:
            self.optimizer.param_groups = groups
        for name, value in single_groups[group_index].items():
            if name != "params" and groups[group_index].get(name) is not value:
                raise RuntimeError(
                    f"{type(self.optimizer).__name__} keeps `{name}` for a whole group of "
                    "parameters and changes it in its step: it cannot act on them one by one"
                )

    def _refuse_whole_gradient(self, stack: Tensor) -> None:
        stack.grad = None
        raise RuntimeError(
            f"{self._names.get(id(stack), 'a stacked parameter')} is read outside of the steps of "
            "its flow, as by a penalty on weights, and its gradient came as a whole: the optimizer "
            "acts on each step's values in the backward pass, and would miss it. Take "
            "flow.smoothness(), or the optimizer's weight decay"
        )


def _hook_gradient(tensor: Tensor, function: Any) -> None:
    """Registers a hook for the complete gradient of a leaf, even if it is frozen now."""
    required_grad = tensor.requires_grad
    tensor.requires_grad_().register_post_accumulate_grad_hook(function)
    tensor.requires_grad_(required_grad)


def _accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which squares are summed: in 16 bits they would overflow."""
    return torch.float32 if dtype.itemsize < 4 else dtype


def _refuse_unsuitable(optimizer: torch.optim.Optimizer) -> None:
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
    """Refuses reentrant checkpoints: in their own backward pass gradients are not yet complete.

    Raises:
        RuntimeError: if the calling hook runs in the backward pass of such a checkpoint.
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
