"""By how much a flow changes volume: the log-determinant of its Jacobian, sample by sample.

A shear multiplies each element of its target by α and by e^E and adds what does not read it, so
that its log-determinant is the sum of log|α| + E over these elements. What depends on the state is
summed up as the steps go, and differentiated with them; the rest is the same for all samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odenet.runtime.learned.constants import all_values
from odenet.runtime.passes.equations import Equations
from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Coefficient, Registers, Term, like
from odenet.runtime.passes.steps import advance

LOG_DET = "log-determinant"  # among the further results of a call
PROBE = 1e3  # the size of the numbers that are sent through a flow without its steps


def per_sample(values: Tensor, tensor: Tensor) -> Tensor:
    """One value for each sample, at every element of it."""
    return values.view(-1, *(1,) * (tensor.ndim - 1)).expand_as(tensor)


def log_of_stretch(stretched: Tensor, exponent: Tensor) -> Tensor:
    """The log-determinant, by sample, of multiplying a value by the exponential of a field."""
    return exponent.to(stretched.dtype).expand_as(stretched).flatten(1).sum(1)


def _log(scale: Coefficient) -> Coefficient:
    return scale.abs().log() if isinstance(scale, Tensor) else math.log(abs(scale))


def collecting(flow: Stepwise, state: Registers) -> Callable[[str, Tensor], None]:
    """What adds the log-determinant of a multiplication to what a flow has collected."""

    def stretched(slot: str, exponent: Tensor) -> None:
        flow.collect({LOG_DET: log_of_stretch(state.read(slot), exponent)})

    return stretched


def one_step(flow: Stepwise, state: State, step: int) -> State:
    """One step as plain tensor code; of a flow that is measured by its shears."""
    if not flow.measured:
        return flow.advance(state, step)
    registers = Registers(flow.slots, tuple(state), in_place=False)

    def own(name: str) -> Any:
        every = getattr(flow, name)
        return every[step if name in flow.varying or len(every) > 1 else 0]

    def rate(term: Term, target: str) -> Tensor:
        return term.rate(*map(registers.read, term.reads), *map(own, term.params))

    shears = flow.shears(*map(own, flow.varying))
    advance(shears, registers, rate, collecting(flow, registers))
    registers.rename(flow.relabel)
    return like(state, registers.tensors())


class Volume(Equations):
    """The part of a flow that knows how it changes volume."""

    channels: int
    space: int

    def forward_with_log_det(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The flow of an input, and the log-determinant of its Jacobian there.

        Args:
            u: ``(batch, channels, *space)``.

        Returns:
            The output, and log|det ∂output/∂u| of each sample, ``(batch,)``. Both are
            differentiated as ``memory`` says.

        Raises:
            ValueError: if the flow is not an invertible map of its input.
        """
        self.require_density()
        call = self.view()
        call.measured = self.stretches
        out = call.forward(u)
        log_det = out.new_zeros(len(u)) + self.log_scale(self.initial(u[:1]))
        return out, log_det + call.collected.get(LOG_DET, 0.0)

    def log_scale(self, state: State) -> Tensor | float:
        """The log-determinant of all steps at a state, without what depends on its values."""
        sizes = {slot: t[:1].numel() for slot, t in zip(self.slots, state, strict=True)}
        columns = [all_values(getattr(self, name), self.steps) for name in self.varying]
        of_steps = [self.shears(*(column[step] for column in columns))
                    for step in range(self.steps if columns else 1)]  # fmt: skip
        total = sum(_log(s.scale) * sizes[s.target] for shears in of_steps for s in shears)
        return total * (1 if columns else self.steps)

    def require_density(self) -> None:
        """Refuses a flow that is not an invertible map of its input, or not undone.

        Raises:
            ValueError: with the reason.
        """
        name = type(self).__name__
        if not self.reversible:
            raise ValueError(f"{name} has no log-determinant: {self.obstacle}")
        if not self._rearranges():
            raise ValueError(
                f"{name} has no log-determinant: its states ({', '.join(self.slots)}) are not the "
                "elements of its input, each once, or its output is not all of its states"
            )

    @torch.no_grad()
    def _rearranges(self) -> bool:
        """Whether states are the elements of the input, and the output those of the states.

        A learned initial value would need gradients; numbers of all sizes show the other ones.
        """
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(1, self.channels, *(2,) * self.space, generator=generator) * PROBE
        known = next((p for p in self.parameters() if p.is_floating_point()), probe)
        probe = probe.to(known)
        with torch.enable_grad():
            state = self.initial(probe)
            out = self.readout(state)
        if out.requires_grad or out.shape != probe.shape or not torch.equal(out, probe):
            return False
        held = torch.cat([tensor.flatten() for tensor in state])
        return held.shape == probe.flatten().shape and torch.equal(
            held.sort().values, probe.flatten().sort().values
        )
