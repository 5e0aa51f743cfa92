"""Peak memory, as the allocator of a device counts it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


class Peak:
    """The memory that is allocated within a `with` block, in addition to what was held before it.

    Args:
        device: "cpu" or "cuda".

    Attributes:
        highest: the most bytes held at once.
        held_at_end: the bytes that are still held when the block ends.
    """

    highest = 0
    held_at_end = 0

    def __init__(self, device: str):
        self._cuda = device == "cuda"
        activities = [ProfilerActivity.CPU]
        self._profile = profile(activities=activities, profile_memory=True, acc_events=True)

    def __enter__(self) -> Peak:
        if self._cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._bytes_before = torch.cuda.memory_allocated()
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
            self.highest = torch.cuda.max_memory_allocated() - self._bytes_before
            self.held_at_end = torch.cuda.memory_allocated() - self._bytes_before
            return
        self._profile.__exit__(kind, error, trace)
        profiler = self._profile.profiler
        results: Any = profiler and profiler.kineto_results
        for event in results.events():
            if event.name() == "[memory]":
                self.held_at_end += event.nbytes()
                self.highest = max(self.highest, self.held_at_end)
