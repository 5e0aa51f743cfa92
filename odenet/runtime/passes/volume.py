"""By how much a flow changes volume: the log-determinant of its Jacobian, for each sample.

A shear multiplies each element of its target by α and by e^E and adds terms that do not read the
target, so that its log-determinant is the sum of log|α| + E over these elements. The exponents E
are summed up during the steps and differentiated with them; the rest is the same for all samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odenet.runtime.learned.constants import step_values
from odenet.runtime.passes.equations import Equations
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Coefficient, Registers, Term, state_like
from odenet.runtime.passes.steps import advance

LOG_DET = "log-determinant"  # its key among the further results of a call
# The scale of the random input that is passed through `initial` and `readout`. It is large, since a
# function such as a clamp leaves small values as they are.
PROBE_SCALE = 1e3


def broadcast_samples(values: Tensor, tensor: Tensor) -> Tensor:
    """One value for each sample, expanded to the shape of a tensor."""
    return values.view(-1, *(1,) * (tensor.ndim - 1)).expand_as(tensor)


def log_det_of_stretch(target: Tensor, exponent: Tensor) -> Tensor:
    """The log-determinant, by sample, of multiplying a target by e^exponent."""
    return exponent.to(target.dtype).expand_as(target).flatten(1).sum(1)


def _log_abs(scale: Coefficient) -> Coefficient:
    return scale.abs().log() if isinstance(scale, Tensor) else math.log(abs(scale))


def log_det_collector(flow: Stepwise, state: Registers) -> Callable[[str, Tensor], None]:
    """A function for ``on_stretch`` of `advance`, which adds to the log-determinant of a call."""

    def collect(slot: str, exponent: Tensor) -> None:
        flow.collect({LOG_DET: log_det_of_stretch(state.read(slot), exponent)})

    return collect


def run_step(flow: Stepwise, state: State, step: int) -> State:
    """Runs one step as plain tensor code, by its shears if the log-determinant is collected."""
    if not flow.collects_log_det:
        return flow.advance(state, step)
    registers = Registers(flow.slots, tuple(state), in_place=False)

    def value_in_step(name: str) -> Any:
        values = getattr(flow, name)
        return values[step if name in flow.varying or len(values) > 1 else 0]

    def evaluate(term: Term, target: str) -> Tensor:
        return term.rate(*map(registers.read, term.reads), *map(value_in_step, term.params))

    shears = flow.shears(*map(value_in_step, flow.varying))
    advance(shears, registers, evaluate, log_det_collector(flow, registers))
    registers.rename(flow.relabel)
    return state_like(state, registers.tensors())


class Volume(Equations):
    """The part of a flow that computes its log-determinant.

    Attributes:
        channels: number of channels of the input.
        space: number of spatial axes of the input.
    """

    channels: int
    space: int

    def forward_with_log_det(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The output for an input, and the log-determinant of the flow's Jacobian there.

        Args:
            u: the input ``(batch, channels, …)`` with its spatial axes.

        Returns:
            The output, and log|det ∂output/∂u| of each sample, ``(batch,)``. The gradients of both
            are computed as ``memory`` says.

        Raises:
            ValueError: if the flow is not an invertible map of its input.
        """
        self.require_density()
        flow_copy = self.shallow_copy()
        flow_copy.collects_log_det = self.stretches
        out = flow_copy.forward(u)
        log_det = out.new_zeros(len(u)) + self.log_scale(self.initial(u[:1]))
        return out, log_det + flow_copy.collected.get(LOG_DET, 0.0)

    def log_scale(self, state: State) -> Tensor | float:
        """The state-independent part of the log-determinant of all steps, Σ log|α|.

        Args:
            state: a state, of which only the number of elements per sample is read.
        """
        sizes = {slot: t[:1].numel() for slot, t in zip(self.slots, state, strict=True)}
        constants = [step_values(getattr(self, name), self.steps) for name in self.varying]
        shears_by_step = [self.shears(*(column[step] for column in constants))
                    for step in range(self.steps if constants else 1)]  # fmt: skip
        total = sum(_log_abs(s.scale) * sizes[s.target] for step in shears_by_step for s in step)
        return total * (1 if constants else self.steps)

    def require_density(self) -> None:
        """Refuses a flow whose output is not an invertible map of its input.

        Raises:
            ValueError: if it is not; with the reason.
        """
        name = type(self).__name__
        if not self.reversible:
            raise ValueError(f"{name} has no log-determinant: {self.obstacle}")
        if not self._is_rearrangement():
            raise ValueError(
                f"{name} has no log-determinant: its states ({', '.join(self.slots)}) are not the "
                "elements of its input, each once, or its output is not all of its states"
            )

    @torch.no_grad()
    def _is_rearrangement(self) -> bool:
        """Whether the first state is a rearrangement of the input, which the output undoes.

        If learned values take part, the output requires a gradient; any other change of the values
        is seen on a random input.
        """
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(1, self.channels, *(2,) * self.space, generator=generator) * PROBE_SCALE
        parameter = next((p for p in self.parameters() if p.is_floating_point()), probe)
        probe = probe.to(parameter)
        with torch.enable_grad():
            state = self.initial(probe)
            out = self.readout(state)
        if out.requires_grad or out.shape != probe.shape or not torch.equal(out, probe):
            return False
        state_elements = torch.cat([tensor.flatten() for tensor in state])
        return state_elements.shape == probe.flatten().shape and torch.equal(
            state_elements.sort().values, probe.flatten().sort().values
        )
