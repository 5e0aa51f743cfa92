"""What is read off one training step: its peak, its evaluations, its time, its gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.contender import Contender
from bench.networks import Network, Size
from odenet.footprint.allocator import Peak


@dataclass(frozen=True)
class Setting:
    """Where and how; on a GPU maps are channels-last.

    Attributes:
        device: "cpu" or "cuda".
        precision: "float32", "tf32" (on a GPU), or "bf16", which is autocast.
    """

    device: str
    precision: str = "float32"

    @classmethod
    def here(cls) -> Setting:
        """The best of this machine."""
        return cls("cuda", "bf16") if torch.cuda.is_available() else cls("cpu")

    def place(self, module: nn.Module) -> nn.Module:
        """The module where it is to run."""
        if self.device == "cpu":
            return module
        return module.to(self.device, memory_format=torch.channels_last)

    def input(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The same random input for all."""
        torch.manual_seed(1)
        u = torch.randn(shape).to(self.device, dtype)
        if self.device != "cpu" and u.ndim == 4:
            u = u.contiguous(memory_format=torch.channels_last)
        return u.requires_grad_()

    def autocast(self) -> AbstractContextManager:
        """Around forward passes."""
        low = self.precision == "bf16"
        return torch.autocast(self.device, torch.bfloat16) if low else nullcontext()

    def multiply(self) -> None:
        """Sets how matrices of float32 are multiplied, for the whole process."""
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device != "cpu":
            torch.cuda.synchronize()


class Step:
    """One training step of a contender, without the optimizer.

    Args:
        contender: what is trained.
        setting: where and how.
        network: which is trained.
        size: of the input.
        dtype: of input and weights.
    """

    def __init__(
        self,
        contender: Contender,
        setting: Setting,
        network: Network,
        size: Size,
        dtype: torch.dtype = torch.float32,
    ):
        self._contender = contender
        self._setting = setting
        self._module = setting.place(contender.module).train()
        self._counted = network.counted
        shape = network.shape(size)
        self._input = setting.input(shape, dtype)
        torch.manual_seed(2)
        direction = torch.randn(shape) / self._input.numel() ** 0.5
        self._direction = direction.to(setting.device, dtype)

    def __call__(self) -> None:
        """Forward and backward."""
        self._clear()
        self._forward().backward()

    def seconds(self) -> float:
        """How long it takes."""
        self._clear()
        self._setting.wait()
        start = time.perf_counter()
        self._forward().backward()
        self._setting.wait()
        return time.perf_counter() - start

    def peak(self) -> int:
        """The most bytes held at once for activations and as working memory.

        Gradients of weights are no activations: what the backward pass leaves is taken off its
        peak. They stay, for `gradients`.
        """
        self._clear()
        with Peak(self._setting.device) as forward:
            loss = self._forward()
        with Peak(self._setting.device) as backward:
            loss.backward()
        gradients = [*self._contender.gradients(), self._input.grad]
        left = sum(gradient.nbytes for gradient in gradients if gradient is not None)
        return max(forward.highest, forward.held + backward.highest - left)

    def evaluations(self) -> int:
        """Of the counted operation, forward and in the backward pass over again."""
        with Counting(self._counted) as counted:
            self()
        return counted.found

    def gradients(self) -> Tensor:
        """The gradients of the weights as one vector, from the step before."""
        found = self._contender.gradients()
        return torch.cat([g.detach().double().flatten().cpu() for g in found])

    def statistics(self) -> int | None:
        """How often a step counts its batch in running statistics; None without any."""
        norms = [m for m in self._module.modules() if isinstance(m, nn.BatchNorm2d)]
        if not norms:
            return None
        before = int(norms[0].num_batches_tracked)
        self()
        return int(norms[0].num_batches_tracked) - before

    def _forward(self) -> Tensor:
        with self._setting.autocast():
            out = self._module(self._input)
        return (out * self._direction).sum()

    def _clear(self) -> None:
        self._module.zero_grad(set_to_none=True)
        self._input.grad = None


class Counting(TorchDispatchMode):
    """Counts the calls of an operation.

    Args:
        operation: of aten.
    """

    def __init__(self, operation: Callable):
        super().__init__()
        self.found = 0
        self._operation = operation

    def __torch_dispatch__(self, func: Callable, types: tuple, args=(), kwargs=None) -> object:
        """Counts, and goes on."""
        self.found += func is self._operation
        return func(*args, **(kwargs or {}))
