"""What layers of convolutional networks hold while they run, beside their arguments and results.

Libraries of convolutions reorder images and kernels into an order of their own, in memory that the
allocator sees and a walk without values does not: as much as the kernel where that is large. The
backward pass of a batch norm has a map of its own. How much it is depends on the processor and on
the version, so that it is measured: each such call is run on zeros, in a process of its own.

`python -m odenet.footprint.kernels` reads the job from its input and prints the result.
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
    """A call with sizes in the place of tensors, as text; None of one that is not measured."""
    name = str(function)
    if name not in _KERNELS:
        return None
    return json.dumps([name, *tree_map_only(Tensor, _described, arguments)])


def memory_within(calls: Iterable[str]) -> dict[str, int]:
    """The bytes that each call holds while it runs, beside its arguments and its results.

    Args:
        calls: as of `kernel_call`.

    Raises:
        RuntimeError: if one does not run on this machine.
        OSError: if no process can be started.
    """
    calls = list(calls)
    if not calls:
        return {}
    child = subprocess.run(
        [sys.executable, "-m", "odenet.footprint.kernels"],
        input=to_json([torch.get_num_threads(), calls]),
        env=os.environ | {"KINETO_LOG_LEVEL": "99"},  # the profiler's notes on itself
        capture_output=True,
        text=True,
    )
    if child.returncode:
        said = child.stderr.strip() or f"exit status {child.returncode}"
        raise RuntimeError(said.splitlines()[-1])
    return dict(zip(calls, json.loads(child.stdout), strict=True))


def _described(tensor: Tensor) -> dict[str, Any]:
    return {
        "size": list(tensor.shape),
        "stride": list(tensor.stride()),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
    }


def _zeros(argument: Any) -> Any:
    if not isinstance(argument, dict):
        return argument
    return torch.empty_strided(
        argument["size"],
        argument["stride"],
        dtype=getattr(torch, argument["dtype"]),
        device=argument["device"],
    ).zero_()


def _held(call: str) -> int:
    name, *described = json.loads(call)
    arguments = [_zeros(argument) for argument in described]
    cuda = any(isinstance(a, Tensor) and a.is_cuda for a in arguments)
    with Peak("cuda" if cuda else "cpu") as peak:
        given = _KERNELS[name](*arguments)
    return peak.highest - sum(t.nbytes for t in tree_leaves(given) if isinstance(t, Tensor))


if __name__ == "__main__":
    threads, calls = json.load(sys.stdin)
    torch.set_num_threads(threads)
    print(to_json([_held(call) for call in calls]))
