"""Peak memory over depth, of a ResNet and its momentum form (Sander et al. 2021, Fig. 2).

f(x) = W2^T tanh(W1 x + b) has the same weights in every step; the input is a batch of 500 vectors
of 500 numbers, and γ = 1 - 1/(50 k) at depth k. The ResNet stores its activations. The momentum
network recomputes them in its backward pass: in floating point, or exactly ("exact"), for which it
keeps the bits that are lost when v is multiplied by γ.
"""

import os

import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure

import odenet
from odenet.footprint.allocator import Peak


def resnet(size, depth):
    """A ResNet that stores its activations."""
    flow = odenet.load(SPECS / "crossing_resnet.ode").flow(channels=size, steps=depth, space=0)
    flow.memory = "stored"
    return flow


def momentum(size, depth):
    """A momentum network that recomputes its activations in floating point."""
    program, gamma = odenet.load(SPECS / "crossing.ode"), 1 - 1 / (50 * depth)
    return program.flow(channels=size, steps=depth, space=0, gamma=gamma)


def exact_momentum(size, depth):
    """A momentum network that recomputes its activations bit for bit."""
    flow = momentum(size, depth)
    flow.exact = True
    return flow


NETWORKS = {"ResNet": resnet, "Momentum ResNet": momentum, "exact": exact_momentum}


def peak_mib(flow, size):
    """The most MiB that one forward and backward pass hold at once, gradients included.

    Args:
        flow: the network.
        size: the length of each vector, and the number of vectors.
    """
    x = torch.randn(size, size)
    with Peak("cpu") as peak:
        flow(x).square().mean().backward()
    return peak.highest / 2**20


def main(arguments=None):
    """Measures and draws all networks; returns their MiB as `{label: {depth: MiB}}`."""
    parser = argument_parser(__doc__, size=500)
    parser.add_argument("--depths", nargs="+", type=int, default=[1, 3, 10, 30, 100])
    args = parser.parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler logs nothing
    results = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for label, network in NETWORKS.items():
        results[label] = {k: peak_mib(network(args.size, k), args.size) for k in args.depths}
        axes.loglog(*zip(*results[label].items(), strict=True), "o-", label=label)
        print(f"{label}: " + ", ".join(f"{mib:.1f} MiB" for mib in results[label].values()))
    axes.set(xlabel="depth", ylabel="MiB")
    axes.legend()
    save_figure(figure, args.out, "depth_memory.png")
    return results


if __name__ == "__main__":
    main()
