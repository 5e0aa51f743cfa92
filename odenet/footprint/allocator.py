"""The most memory that was held at once, as the allocator of a device counts it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


class Peak:
    """What is allocated within a `with` block, over what was held before it.

    Args:
        device: "cpu" or "cuda".

    Attributes:
        highest: the most bytes held at once.
        held: the bytes that are left at the end.
    """

    highest = 0
    held = 0

    def __init__(self, device: str):
        self._cuda = device == "cuda"
        self._profile = profile(
            activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
        )

    def __enter__(self) -> Peak:
        if self._cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._profile.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._cuda:
            torch.cuda.synchronize()
            self.highest = torch.cuda.max_memory_allocated() - self._before
            self.held = torch.cuda.memory_allocated() - self._before
            return
        self._profile.__exit__(kind, error, trace)
        profiler = self._profile.profiler
        results: Any = profiler and profiler.kineto_results
        for event in results.events():
            if event.name() == "[memory]":
                self.held += event.nbytes()
                self.highest = max(self.highest, self.held)
