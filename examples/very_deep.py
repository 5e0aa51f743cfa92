"""Peak memory of training a very deep network, over the batch (Sander et al. 2021, Fig. 7).

The paper has a network of depth 1,201 on CIFAR-10. Here a ResNet of 6 n + 2 layers and the momentum
network of the same blocks are compared, by the specs `resnet` and `momentum`; n = 200 makes them
1,202 layers deep. The momentum network is rebuilt bit for bit, from what multiplying by γ lost
(appendix C): in floating point, 200 steps with γ = 0.9 lose all digits. A training step on random
pictures holds activations and gradients at most.
"""

import os
import time

import torch
from figures import SPECS, options, save
from matplotlib import pyplot

import odenet
from odenet.footprint.allocator import Peak
from odenet.runtime import Flow

NETWORKS = {"ResNet": "resnet.ode", "Momentum ResNet": "momentum.ode"}


def network(spec, blocks, size):
    """The network of a spec with so many blocks in each stage, for pictures of that size."""
    torch.manual_seed(0)
    net = odenet.load(SPECS / spec, set={"n": blocks, "size": size}).network().train()
    for flow in (module for module in net.modules() if isinstance(module, Flow)):
        flow.exact = flow.memory == "reversible"
    return net


def step(net, batch, size):
    """MiB that a training step holds at most, and its processor seconds."""
    pictures = torch.randn(batch, 3, size, size)
    net.zero_grad(set_to_none=True)
    began = time.process_time()
    with Peak("cpu") as peak:
        net(pictures).square().mean().backward()
    return peak.highest / 2**20, time.process_time() - began


def main(arguments=None):
    """Measures and draws; gives MiB by network and batch."""
    parser = options(__doc__, blocks=200, size=32)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8])
    given = parser.parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's notes on itself
    found = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for name, spec in NETWORKS.items():
        net = network(spec, given.blocks, given.size)
        steps = {batch: step(net, batch, given.size) for batch in given.batches}
        found[name] = {batch: mib for batch, (mib, _) in steps.items()}
        axes.plot(*zip(*found[name].items(), strict=True), "o-", label=name)
        told = [f"{mib:.0f} MiB ({seconds:.0f} s)" for mib, seconds in steps.values()]
        print(f"{name}, {6 * given.blocks + 2} layers: {', '.join(told)}", flush=True)
    axes.set(xlabel="batch", ylabel="MiB of a training step", ylim=0, xticks=given.batches)
    axes.set_title(f"{6 * given.blocks + 2} layers, {given.size} x {given.size}")
    axes.legend()
    save(figure, given.out, "very_deep.png")
    return found


if __name__ == "__main__":
    main()
