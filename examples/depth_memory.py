"""Peak memory over depth, of a ResNet and its momentum form (Sander et al. 2021, Fig. 2).

f(x) = W2^T tanh(W1 x + b) with the same weights in every step, a batch of 500 vectors of 500
values, and γ = 1 - 1/(50 k) at depth k. The ResNet stores its activations. The momentum network
rebuilds them: exactly, from the bits that multiplying by γ lost, or in floating point.
"""

import os

import torch
from figures import SPECS, options, save
from matplotlib import pyplot

import odenet
from odenet.footprint.allocator import Peak


def resnet(size, depth):
    """A ResNet that stores its activations."""
    flow = odenet.load(SPECS / "crossing_resnet.ode").flow(size, depth, space=0)
    flow.memory = "stored"
    return flow


def momentum(size, depth):
    """A momentum network that rebuilds its activations in floating point."""
    gamma = 1 - 1 / (50 * depth)
    return odenet.load(SPECS / "crossing.ode").flow(size, depth, space=0, gamma=gamma)


def exact_momentum(size, depth):
    """A momentum network that rebuilds its activations bit for bit."""
    flow = momentum(size, depth)
    flow.exact = True
    return flow


KINDS = {"ResNet": resnet, "Momentum ResNet": momentum, "exact": exact_momentum}


def held(flow, size):
    """MiB that a forward and a backward pass hold at most, gradients among them."""
    x = torch.randn(size, size)
    with Peak("cpu") as step:
        flow(x).square().mean().backward()
    return step.highest / 2**20


def main(arguments=None):
    """Measures and draws; gives MiB by kind and depth."""
    parser = options(__doc__, size=500)
    parser.add_argument("--depths", nargs="+", type=int, default=[1, 3, 10, 30, 100])
    given = parser.parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's notes on itself
    found = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for name, kind in KINDS.items():
        found[name] = {k: held(kind(given.size, k), given.size) for k in given.depths}
        axes.loglog(*zip(*found[name].items(), strict=True), "o-", label=name)
        print(f"{name}: " + ", ".join(f"{mib:.1f} MiB" for mib in found[name].values()))
    axes.set(xlabel="depth", ylabel="MiB")
    axes.legend()
    save(figure, given.out, "depth_memory.png")
    return found


if __name__ == "__main__":
    main()
