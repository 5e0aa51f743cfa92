"""Workspaces: the memory that convolutions and batch norms hold while they run.

It comes on top of their arguments and results. Libraries of convolutions copy images and weights
into memory layouts of their own; the backward pass of a batch norm needs one more feature map. The
allocator sees this memory, a simulation with fake tensors does not. How much it is depends on the
processor and the version of the library, so it is measured: each call is run on zeros, in a process
of its own.

`python -m odenet.footprint.kernels` reads calls from its standard input and prints the result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from odenet.footprint.allocator import Peak
from odenet.json_text import to_json

_KERNELS: Mapping[str, Callable] = {
    str(kernel): kernel
    for kernel in (
        torch.ops.aten.convolution.default,
        torch.ops.aten.convolution_backward.default,
        torch.ops.aten.native_batch_norm.default,
        torch.ops.aten.native_batch_norm_backward.default,
    )
}


def kernel_call(function: Callable, arguments: tuple) -> str | None:
    """A call as text, with layouts in place of tensors; None if its workspace is not measured."""
    name = str(function)
    if name not in _KERNELS:
        return None
    return json.dumps([name, *tree_map_only(Tensor, _layout, arguments)])


def measure_workspaces(calls: Iterable[str]) -> dict[str, int]:
    """The bytes that each call holds while it runs, in addition to its arguments and results.

    Args:
        calls: the calls, as `kernel_call` gives them.

    Raises:
        RuntimeError: if a call fails on this machine.
        OSError: if no process can be started.
    """
    calls = list(calls)
    if not calls:
        return {}
    child = subprocess.run(
        [sys.executable, "-m", "odenet.footprint.kernels"],
        input=to_json([torch.get_num_threads(), calls]),
        env=os.environ | {"KINETO_LOG_LEVEL": "99"},  # torch's profiler logs nothing
        capture_output=True,
        text=True,
    )
    if child.returncode:
        message = child.stderr.strip() or f"exit status {child.returncode}"
        raise RuntimeError(message.splitlines()[-1])
    return dict(zip(calls, json.loads(child.stdout), strict=True))


def _layout(tensor: Tensor) -> dict[str, Any]:
    """What the memory of a tensor depends on, for JSON."""
    return {
        "size": list(tensor.shape),
        "stride": list(tensor.stride()),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
    }


def _zeros(argument: Any) -> Any:
    """A tensor of zeros in place of a layout; other arguments as they are."""
    if not isinstance(argument, dict):
        return argument
    return torch.empty_strided(
        argument["size"],
        argument["stride"],
        dtype=getattr(torch, argument["dtype"]),
        device=argument["device"],
    ).zero_()


def _measure_workspace(call: str) -> int:
    """The workspace of a call in bytes."""
    name, *described = json.loads(call)
    arguments = [_zeros(argument) for argument in described]
    is_cuda = any(isinstance(a, Tensor) and a.is_cuda for a in arguments)
    with Peak("cuda" if is_cuda else "cpu") as peak:
        result = _KERNELS[name](*arguments)
    return peak.highest - sum(t.nbytes for t in tree_leaves(result) if isinstance(t, Tensor))


if __name__ == "__main__":
    threads, calls = json.load(sys.stdin)
    torch.set_num_threads(threads)
    print(to_json([_measure_workspace(call) for call in calls]))
