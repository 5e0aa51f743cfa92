"""An asynchronous copy of a tensor from an accelerator to the host."""

import torch
from torch import Tensor


class HostCopy:
    """A copy of a tensor on the host, which is waited for when it is read.

    Args:
        value: a tensor of a CUDA device. One of another device is kept as it is, without a copy,
            and so is every tensor while a CUDA graph is captured.
    """

    def __init__(self, value: Tensor):
        self._event: torch.cuda.Event | None = None
        if value.is_cuda and not torch.cuda.is_current_stream_capturing():
            host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            value = host.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        self._value = value

    @property
    def ready(self) -> bool:
        """Whether the value can be read without waiting for a device."""
        if self._event is None:
            return self._value.device.type == "cpu"
        # A stream that is being captured may not be queried.
        return not torch.cuda.is_current_stream_capturing() and self._event.query()

    def read(self) -> Tensor:
        """The copy; waits for it."""
        if self._event is not None:
            self._event.synchronize()
        return self._value
