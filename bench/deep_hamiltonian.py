"""A training step of very deep Hamiltonian networks, which take the memory of a shallow one."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

import odenet
from bench.networks import HAMILTONIAN
from odenet.footprint.allocator import Peak

LAYERS_PER_STEP = 2  # one for each half of the state, Y and Z


@dataclass(frozen=True)
class DeepStep:
    """What one training step of a deep network takes.

    Attributes:
        layers: number of layers of the network.
        peak: the most bytes held at once, without parameters and their gradients.
        parameters: bytes of the parameters.
        seconds: duration of the step.
        drift: relative error of the first state as the backward pass recomputes it.
    """

    layers: int
    peak: int
    parameters: int
    seconds: float
    drift: float


def measure_deep_step(layers: int) -> DeepStep:
    """A step of a network of 16 channels on 8 images of 16 x 16.

    The step size h is 0.1, or in deep networks so small that the whole time N h is 5.
    """
    torch.manual_seed(0)
    steps = layers // LAYERS_PER_STEP
    flow = odenet.loads(HAMILTONIAN, set={"h": min(0.1, 5 / steps)}).flow(channels=16, steps=steps)
    u = torch.randn(8, 16, 16, 16)
    start = time.perf_counter()
    flow(u).square().mean().backward()
    seconds = time.perf_counter() - start
    flow.zero_grad(set_to_none=True)
    with Peak("cpu") as peak:
        flow(u).square().mean().backward()
    parameters = sum(p.nbytes for p in flow.parameters())
    peak_bytes = peak.highest - parameters  # the gradients of the parameters are as large as these
    return DeepStep(layers, peak_bytes, parameters, seconds, flow.drift or 0.0)
