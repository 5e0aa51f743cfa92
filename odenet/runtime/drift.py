"""By how much the backward pass rebuilt a state wrongly, told without making the device wait."""

import warnings

from torch import Tensor

from odenet.runtime.passes.host_copy import HostCopy
from odenet.visible_drift import VISIBLE_DRIFT


class LastDrift:
    """The drift of the last backward pass of a flow; views of a flow share one."""

    def __init__(self) -> None:
        self._drift: HostCopy | None = None
        self._told = False

    def write(self, drift: Tensor) -> None:
        """Called by a backward pass."""
        self._drift = HostCopy(drift)

    def read(self) -> float | None:
        """The drift; waits for it."""
        return None if self._drift is None else self._drift.read().item()

    def tell(self, name: str, steps: int) -> None:
        """Warns once of a large drift, with causes and cures, if the number has arrived."""
        if self._told or self._drift is None or not self._drift.ready:
            return
        drift = self._drift.read().item()
        if drift <= VISIBLE_DRIFT:
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
