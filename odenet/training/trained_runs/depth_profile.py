"""What a flow does along its depth: norms, energy and spectra, from one pass over its states."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odenet.compiler import Program
from odenet.runtime.flow import Flow
from odenet.runtime.learned.constants import as_numbers
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.shear import like

SPECTRA = 3  # steps of a flow, since each takes hundreds of Jacobian products
EIGENVALUES = 4  # of largest modulus, and as many of largest real part


@dataclass(frozen=True)
class DepthProfile:
    """A flow along its depth; lists have an entry per step.

    Args:
        states: mean norm of the unknowns before the step.
        rates: mean norm of F.
        sizes: the step sizes h; 1 where the scheme has none.
        energy: mean energy before the step, and after the last; empty where none is certified.
        spectrum: eigenvalues of the Jacobian of F on one sample, by step, for some steps.
    """

    states: list[float]
    rates: list[float]
    sizes: list[float]
    energy: list[float]
    spectrum: dict[int, list[complex]]

    @property
    def changes(self) -> list[float]:
        """Mean norm of h F."""
        return [h * rate for h, rate in zip(self.sizes, self.rates, strict=True)]


def depth_profile(flow: Flow, begun: State, spectra: int = SPECTRA) -> DepthProfile:
    """Take the steps of a flow from a state, and measure at each.

    Args:
        flow: in evaluation mode.
        begun: the state before the first step, of some samples.
        spectra: of how many steps, evenly spaced.
    """
    every, h = range(flow.steps), getattr(flow, "h", 1.0)
    states = flow.trajectory(begun)
    rates = [flow.field(state, step) for step, state in zip(every, states, strict=False)]
    one = like(begun, [tensor[:1] for tensor in begun])
    some = np.unique(np.linspace(0, flow.steps - 1, spectra).astype(int)).tolist()
    return DepthProfile(
        states=[mean_norm(unknowns(flow, state)) for state in states[:-1]],
        rates=[mean_norm(rate) for rate in rates],
        sizes=list(as_numbers(h, flow.steps)) if "h" in flow.varying else [h] * flow.steps,
        energy=mean_energies(flow, states),
        spectrum={step: flow.spectrum(one, step, EIGENVALUES).tolist() for step in some},
    )


def equation_order(program: Program) -> int:
    """Of the equations: 1 or 2, and 0 where they are of several."""
    orders = set(program.model.dynamics.states.values())
    return orders.pop() if len(orders) == 1 else 0


def unknowns(flow: Flow, state: Sequence[Tensor]) -> list[Tensor]:
    """The unknowns of the dynamics among the values of a state."""
    return [state[flow.slots.index(name)] for name in flow.states]


def mean_norm(values: Sequence[Tensor]) -> float:
    """The mean over samples of the norm of several fields together."""
    together = torch.cat([value.flatten(1) for value in values], dim=1)
    return together.norm(dim=1).mean().item()


def mean_energies(flow: Flow, states: Sequence[State]) -> list[float]:
    """The mean energy along the trajectory, each state with the weights of the step it enters."""
    try:
        last = flow.steps - 1
        return [flow.energy(s, min(i, last)).mean().item() for i, s in enumerate(states)]
    except NotImplementedError:
        return []
