"""What the backward pass of a flow works from, and how exactly it rebuilt what it did not store."""

from typing import Any

import torch
from torch import Tensor

from odenet.runtime.drift import LastDrift
from odenet.runtime.memory import Memory, as_mode
from odenet.runtime.step_constants import Varying


class BackwardMode(Varying):
    """The part of a flow that says whether its steps are undone, or stored."""

    def __init__(self) -> None:
        super().__init__()
        self._memory: Memory = "reversible" if self.reversible else "stored"
        self._drift = LastDrift()

    def require_inverse(self) -> None:
        """Called while being built: gives up reversing where a step has no inverse.

        A constant that moves may come to values with one; while it has others, steps are stored.
        """
        obstacle = self.not_undone()
        if obstacle and not self.moving():
            self.give_up_reversing(obstacle)

    def give_up_reversing(self, obstacle: str) -> None:
        """Called while being built with constants for which the scheme has no inverse."""
        if self.exact:
            raise ValueError(f"{type(self).__name__} cannot be exact: {obstacle}")
        self.reversible, self.obstacle, self._memory = False, obstacle, "stored"

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "exact" and value and not self.reversible:
            raise ValueError(f"exact arithmetic undoes steps, and {self._irreversible()}")
        if name == "exact" and value and self.stretches:
            raise ValueError(
                "exact arithmetic multiplies by fractions of whole numbers, and "
                f"{type(self).__name__} multiplies by exponentials of fields"
            )
        super().__setattr__(name, value)

    @property
    def memory(self) -> Memory:
        """What the backward works from: how time is traded for memory.

        "reversible" stores nothing and rebuilds states by undoing steps; "stored" is plain
        autograd; "checkpoint" stores one state per step; a number, or a size such as "2GB", is a
        budget in bytes, filled with stored steps, the rest being reversed.
        """
        return self._memory

    @memory.setter
    def memory(self, memory: Memory | str) -> None:
        mode = as_mode(memory)
        if not self.reversible and mode not in ("stored", "checkpoint"):
            raise ValueError(self._irreversible())
        self._memory = mode

    def _memory_now(self, dtype: torch.dtype) -> Memory:
        """As asked for; stored while a moving constant has values that are not undone."""
        keeps = self._memory in ("stored", "checkpoint")
        return self._memory if keeps or not self.moving() or self.undoes(dtype) else "stored"

    @property
    def drift(self) -> float | None:
        """By how much the last backward pass rebuilt a state wrongly, relative to its size.

        Measured on one sample, where the flow began and at each of the ``anchors``.
        """
        return self._drift.read()

    def note_drift(self, drift: Tensor) -> None:
        """Called by the backward pass, with what ``drift`` reports."""
        self._drift.write(drift)
