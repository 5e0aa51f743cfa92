"""The drift of a flow: the relative error of its rebuilt states, read without making a GPU wait."""

import warnings

from torch import Tensor

from odenet.runtime.passes.host_copy import HostCopy
from odenet.visible_drift import VISIBLE_DRIFT


class LastDrift:
    """The drift of the last backward pass of a flow; shallow copies of a flow share this object."""

    def __init__(self) -> None:
        self._drift: HostCopy | None = None
        self._has_warned = False

    def set(self, drift: Tensor) -> None:
        """Starts to copy the drift to the host; called by a backward pass."""
        self._drift = HostCopy(drift)

    def get(self) -> float | None:
        """The drift; waits for its copy to the host. None before the first backward pass."""
        return None if self._drift is None else self._drift.read().item()

    def warn_if_large(self, name: str, steps: int) -> None:
        """Warns once of a large drift, with causes and remedies, once it is on the host.

        Args:
            name: the name of the class of the flow.
            steps: the number of steps of the flow.
        """
        if self._has_warned or self._drift is None or not self._drift.ready:
            return
        drift = self._drift.read().item()
        if drift <= VISIBLE_DRIFT:
            return
        self._has_warned = True
        warnings.warn(
            f"{name} rebuilt its states with a relative error of {drift:.1e} in the last backward "
            f"pass, and its gradients are as wrong. Either rounding grows over {steps} steps: set "
            "flow.exact = True, or flow.anchors = 10, or a smaller h; or its right-hand sides give "
            "something else when they are evaluated again (they draw from a random stream of "
            'their own, or change what they read): set flow.memory = "stored"',
            stacklevel=3,
        )
