"""By how much the backward pass rebuilt a state wrongly, told without making the device wait."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

LARGE = 1e-2  # relative error of rebuilt states at which gradients are visibly others


class DriftNote:
    """The drift of the last backward pass of a flow; views of a flow share one."""

    def __init__(self) -> None:
        self._drift: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None
        self._told = False

    def write(self, drift: Tensor) -> None:
        """Called by a backward pass."""
        self._arrived = None
        if drift.is_cuda and not torch.cuda.is_current_stream_capturing():
            host = torch.empty((), dtype=drift.dtype, pin_memory=True)
            drift = host.copy_(drift, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        self._drift = drift

    def read(self) -> float | None:
        """The drift; waits for it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return None if self._drift is None else self._drift.item()

    def tell(self, name: str, steps: int) -> None:
        """Warns once of a large drift, with causes and cures, if the number has arrived."""
        if self._told or self._drift is None or self._drift.device.type != "cpu":
            return  # captured in a CUDA graph, or without a value
        if self._arrived is not None:
            # A stream that is being captured must not be asked for anything.
            if torch.cuda.is_current_stream_capturing() or not self._arrived.query():
                return
        drift = self._drift.item()
        if drift <= LARGE:
            return
        self._told = True
        warnings.warn(
            f"{name} rebuilt its states with a relative error of {drift:.1e} in the last backward "
            f"pass, and its gradients are as wrong. Either rounding grows over {steps} steps: set "
            "flow.exact = True, or flow.anchors = 10, or a smaller h; or its right-hand sides give "
            "something else when they are evaluated again (they draw from a random stream of "
            'their own, or change what they read): set flow.memory = "stored"',
            stacklevel=3,
        )
