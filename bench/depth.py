"""A training step of very deep Hamiltonian networks: the memory of a shallow one."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

import odenet
from bench.networks import HAMILTONIAN
from odenet.footprint.allocator import Peak

LAYERS_PER_STEP = 2  # one for each of the halves


@dataclass(frozen=True)
class Deep:
    """One training step of a network of so many layers.

    Attributes:
        layers: how many.
        peak: bytes at once, without parameters and gradients.
        parameters: their bytes.
        seconds: of the step.
        drift: by how much the first state was rebuilt wrongly.
    """

    layers: int
    peak: int
    parameters: int
    seconds: float
    drift: float


def measure_depth(layers: int) -> Deep:
    """A step of a flow of 16 channels on 8 images of 16 x 16, h = 0.1 or less for a time of 5."""
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
    own = sum(p.nbytes for p in flow.parameters())
    return Deep(layers, peak.highest - own, own, seconds, flow.drift or 0.0)
