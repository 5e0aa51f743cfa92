"""One training step, measured: its peak memory, time, operation counts and gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.implementation import Implementation
from bench.networks import Network, Size
from odenet.footprint.allocator import Peak


@dataclass(frozen=True)
class ExecutionMode:
    """The device and the precision of a step; on a GPU feature maps are channels-last.

    Attributes:
        device: "cpu" or "cuda".
        precision: "float32", "tf32" (on a GPU), or "bf16", which is autocast.
    """

    device: str
    precision: str = "float32"

    @classmethod
    def of_this_machine(cls) -> ExecutionMode:
        """bf16 on the GPU where there is one, else float32 on the CPU."""
        return cls("cuda", "bf16") if torch.cuda.is_available() else cls("cpu")

    def move(self, module: nn.Module) -> nn.Module:
        """The module on the device."""
        if self.device == "cpu":
            return module
        return module.to(self.device, memory_format=torch.channels_last)

    def random_input(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A random tensor on the device, the same for every implementation."""
        torch.manual_seed(1)
        u = torch.randn(shape).to(self.device, dtype)
        if self.device != "cpu" and u.ndim == 4:
            u = u.contiguous(memory_format=torch.channels_last)
        return u.requires_grad_()

    def autocast(self) -> AbstractContextManager:
        """The context of forward passes: autocast for bf16, else nothing."""
        is_bf16 = self.precision == "bf16"
        return torch.autocast(self.device, torch.bfloat16) if is_bf16 else nullcontext()

    def set_matmul_precision(self) -> None:
        """Turns TF32 on or off for matrices of float32, in the whole process."""
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def synchronize(self) -> None:
        """Waits until the device has finished its work."""
        if self.device != "cpu":
            torch.cuda.synchronize()


class MeasuredStep:
    """One training step of an implementation, without the optimizer.

    Args:
        implementation: what is trained.
        mode: device and precision.
        network: which it implements.
        size: the size of the input and the number of steps.
        dtype: the dtype of the input, which the implementation's weights have already.
    """

    def __init__(
        self,
        implementation: Implementation,
        mode: ExecutionMode,
        network: Network,
        size: Size,
        dtype: torch.dtype = torch.float32,
    ):
        self._implementation = implementation
        self._mode = mode
        self._module = mode.move(implementation.module).train()
        self._counted_operation = network.counted_operation
        shape = network.shape(size)
        self._input = mode.random_input(shape, dtype)
        torch.manual_seed(2)
        weights = torch.randn(shape) / self._input.numel() ** 0.5
        self._loss_weights = weights.to(mode.device, dtype)

    def __call__(self) -> None:
        """Runs the forward and the backward pass."""
        self._clear_gradients()
        self._loss().backward()

    def seconds(self) -> float:
        """The time of the step."""
        self._clear_gradients()
        self._mode.synchronize()
        start = time.perf_counter()
        self._loss().backward()
        self._mode.synchronize()
        return time.perf_counter() - start

    def peak(self) -> int:
        """The most bytes held at once for activations and as working memory.

        Gradients do not count: what is left after the backward pass is subtracted from its peak.
        The gradients stay, for `gradients`.
        """
        self._clear_gradients()
        with Peak(self._mode.device) as forward:
            loss = self._loss()
        with Peak(self._mode.device) as backward:
            loss.backward()
        gradients = [*self._implementation.gradients(), self._input.grad]
        gradient_bytes = sum(gradient.nbytes for gradient in gradients if gradient is not None)
        return max(forward.highest, forward.held_at_end + backward.highest - gradient_bytes)

    def operations(self) -> int:
        """How often a step calls the network's counted operation, recomputation included."""
        with OperationCounter(self._counted_operation) as counter:
            self()
        return counter.count

    def gradients(self) -> Tensor:
        """The gradients of the weights that the last step left, as one vector of float64."""
        gradients = self._implementation.gradients()
        return torch.cat([g.detach().double().flatten().cpu() for g in gradients])

    def batch_norm_updates(self) -> int | None:
        """How often a step updates running statistics with its batch; None without batch norms."""
        norms = [m for m in self._module.modules() if isinstance(m, nn.BatchNorm2d)]
        if not norms:
            return None
        before = int(norms[0].num_batches_tracked)
        self()
        return int(norms[0].num_batches_tracked) - before

    def _loss(self) -> Tensor:
        with self._mode.autocast():
            output = self._module(self._input)
        return (output * self._loss_weights).sum()

    def _clear_gradients(self) -> None:
        self._module.zero_grad(set_to_none=True)
        self._input.grad = None


class OperationCounter(TorchDispatchMode):
    """Counts the calls of an operation within a `with` block, in `count`.

    Args:
        operation: an operation of `torch.ops.aten`.
    """

    def __init__(self, operation: Callable):
        super().__init__()
        self.count = 0
        self._operation = operation

    def __torch_dispatch__(self, func: Callable, types: tuple, args=(), kwargs=None) -> object:
        """Counts the call, and makes it."""
        self.count += func is self._operation
        return func(*args, **(kwargs or {}))
