"""Norms, energies and Jacobian eigenvalues along the depth of a flow, from one forward pass.

A flow is the part of a network that integrates the differential equation, one layer per time step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odenet.compiler import Program
from odenet.runtime.flow import Flow
from odenet.runtime.learned.constants import as_numbers
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.shear import state_like

SPECTRUM_COUNT = 3  # steps with eigenvalues; each takes hundreds of Jacobian products
EIGENVALUE_COUNT = 4  # those of largest modulus, and as many of largest real part


@dataclass(frozen=True)
class DepthProfile:
    """What was measured at each step of a flow Y' = F(Y); lists have one entry per step.

    Args:
        state_norms: the mean norm of the unknowns before the step.
        rate_norms: the mean norm of the right-hand side F.
        step_sizes: the step size h; 1 for a scheme without h.
        energies: the mean energy before each step and after the last one; empty where the
            certificate has no energy.
        eigenvalues: by the index of a step, eigenvalues of the Jacobian of F there, for one sample;
            only some steps have an entry.
    """

    state_norms: list[float]
    rate_norms: list[float]
    step_sizes: list[float]
    energies: list[float]
    eigenvalues: dict[int, list[complex]]

    @property
    def change_norms(self) -> list[float]:
        """The mean norm of h F at each step."""
        return [h * rate for h, rate in zip(self.step_sizes, self.rate_norms, strict=True)]


def depth_profile(flow: Flow, initial: State, spectrum_count: int = SPECTRUM_COUNT) -> DepthProfile:
    """Run a flow from a state and measure at each step.

    Args:
        flow: a flow in evaluation mode.
        initial: the state before the first step, for a batch of samples.
        spectrum_count: the number of steps, evenly spaced, to compute eigenvalues at.
    """
    steps, h = range(flow.steps), getattr(flow, "h", 1.0)
    states = flow.trajectory(initial)
    rates = [flow.field(state, step) for step, state in zip(steps, states, strict=False)]
    sample = state_like(initial, [tensor[:1] for tensor in initial])
    selected = np.unique(np.linspace(0, flow.steps - 1, spectrum_count).astype(int)).tolist()
    return DepthProfile(
        state_norms=[mean_norm(unknowns(flow, state)) for state in states[:-1]],
        rate_norms=[mean_norm(rate) for rate in rates],
        step_sizes=list(as_numbers(h, flow.steps)) if "h" in flow.varying else [h] * flow.steps,
        energies=mean_energies(flow, states),
        eigenvalues={i: flow.spectrum(sample, i, EIGENVALUE_COUNT).tolist() for i in selected},
    )


def equation_order(program: Program) -> int:
    """The order of a program's differential equations: 1 or 2; 0 if they have different orders."""
    orders = set(program.model.dynamics.states.values())
    return orders.pop() if len(orders) == 1 else 0


def unknowns(flow: Flow, state: Sequence[Tensor]) -> list[Tensor]:
    """The current values of the dynamics' states, such as Y[n].

    What a scheme stores besides is left out: earlier values, such as Y[n-1], and its auxiliary
    unknowns.
    """
    return [state[flow.slots.index(name)] for name in flow.states]


def mean_norm(values: Sequence[Tensor]) -> float:
    """The mean over a batch of the Euclidean norm of several tensors taken as one vector."""
    return torch.cat([value.flatten(1) for value in values], dim=1).norm(dim=1).mean().item()


def mean_energies(flow: Flow, states: Sequence[State]) -> list[float]:
    """The mean energy of each state of a trajectory, with the weights of the step that follows it.

    Empty if the flow has no certified energy.
    """
    try:
        last = flow.steps - 1
        return [flow.energy(s, min(i, last)).mean().item() for i, s in enumerate(states)]
    except NotImplementedError:
        return []
