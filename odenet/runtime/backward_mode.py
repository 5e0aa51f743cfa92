"""The memory mode of a flow: whether its backward pass stores states or rebuilds them."""

from typing import Any

import torch
from torch import Tensor

from odenet.runtime.drift import LastDrift
from odenet.runtime.memory import Memory, parse_memory
from odenet.runtime.step_constants import StepConstants


class BackwardMode(StepConstants):
    """The part of a flow that holds its memory mode and the drift of rebuilt states."""

    def __init__(self) -> None:
        super().__init__()
        self._memory: Memory = "reversible" if self.reversible else "stored"
        self._drift = LastDrift()

    def require_inverse(self) -> None:
        """Makes the flow irreversible if a step has no inverse; called by constructors.

        With ramped constants it stays reversible, and steps are stored while they have no inverse.
        """
        obstacle = self.obstacle_to_inverse()
        if obstacle and not self.ramped_constants():
            self.give_up_reversing(obstacle)

    def give_up_reversing(self, obstacle: str) -> None:
        """Makes the flow irreversible, for this reason; called by constructors."""
        if self.exact:
            raise ValueError(f"{type(self).__name__} cannot be exact: {obstacle}")
        self.reversible, self.obstacle, self._memory = False, obstacle, "stored"

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "exact" and value and not self.reversible:
            raise ValueError(f"exact arithmetic undoes steps, and {self._why_irreversible()}")
        if name == "exact" and value and self.stretches:
            raise ValueError(
                "exact arithmetic multiplies by fractions of whole numbers, and "
                f"{type(self).__name__} multiplies by exponentials of fields"
            )
        super().__setattr__(name, value)

    @property
    def memory(self) -> Memory:
        """The memory mode: how the backward pass gets the states of all steps.

        "reversible" stores nothing and rebuilds states by undoing steps; "stored" is plain
        autograd; "checkpoint" stores one state per step; a number, or a size such as "2GB", is a
        budget in bytes: as many steps as fit are stored, and the others are undone.
        """
        return self._memory

    @memory.setter
    def memory(self, memory: Memory | str) -> None:
        mode = parse_memory(memory)
        if not self.reversible and mode not in ("stored", "checkpoint"):
            raise ValueError(self._why_irreversible())
        self._memory = mode

    def _current_memory(self, dtype: torch.dtype) -> Memory:
        """The mode of a call: "stored" while ramped constants have values without an inverse."""
        keeps_states = self._memory in ("stored", "checkpoint")
        return (
            self._memory
            if keeps_states or not self.ramped_constants() or self.is_invertible_in(dtype)
            else "stored"
        )

    @property
    def drift(self) -> float | None:
        """The largest relative error of a rebuilt state in the last backward pass.

        Measured on one sample, at the first state and at each of the ``anchors``.
        """
        return self._drift.get()

    def note_drift(self, drift: Tensor) -> None:
        """Called by the backward pass with the value of ``drift``."""
        self._drift.set(drift)
