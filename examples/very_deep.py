"""Peak memory of training a very deep network, over the batch (Sander et al. 2021, Fig. 7).

The paper has a network of depth 1,201 on CIFAR-10. Here a ResNet of 6 n + 2 layers is compared with
the momentum network of the same blocks (specs `resnet` and `momentum`); with n = 200 they have
1,202 layers. In floating point, undoing 200 steps with γ = 0.9 would lose all digits, so the
momentum network is recomputed bit for bit, from the bits that are lost when v is multiplied by γ
(appendix C). The peak is that of a training step on random pictures: activations and gradients.
"""

import os
import time

import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure

import odenet
from odenet.footprint.allocator import Peak
from odenet.runtime import Flow

NETWORKS = {"ResNet": "resnet.ode", "Momentum ResNet": "momentum.ode"}


def build(spec, blocks, size):
    """The network of a spec, with a number of blocks per stage and a size of the pictures."""
    torch.manual_seed(0)
    net = odenet.load(SPECS / spec, set={"n": blocks, "size": size}).network().train()
    for flow in (module for module in net.modules() if isinstance(module, Flow)):
        flow.exact = flow.memory == "reversible"
    return net


def measure_step(net, batch, size):
    """Takes a training step; returns the most MiB held at once, and its processor seconds."""
    pictures = torch.randn(batch, 3, size, size)
    net.zero_grad(set_to_none=True)
    start = time.process_time()
    with Peak("cpu") as peak:
        net(pictures).square().mean().backward()
    return peak.highest / 2**20, time.process_time() - start


def main(arguments=None):
    """Measures and draws; returns the MiB as `{network: {batch: MiB}}`."""
    parser = argument_parser(__doc__, blocks=200, size=32)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8])
    args = parser.parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler logs nothing
    results = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for label, spec in NETWORKS.items():
        net = build(spec, args.blocks, args.size)
        steps = {batch: measure_step(net, batch, args.size) for batch in args.batches}
        results[label] = {batch: mib for batch, (mib, _) in steps.items()}
        axes.plot(*zip(*results[label].items(), strict=True), "o-", label=label)
        peaks = [f"{mib:.0f} MiB ({seconds:.0f} s)" for mib, seconds in steps.values()]
        print(f"{label}, {6 * args.blocks + 2} layers: {', '.join(peaks)}", flush=True)
    axes.set(xlabel="batch", ylabel="MiB of a training step", ylim=0, xticks=args.batches)
    axes.set_title(f"{6 * args.blocks + 2} layers, {args.size} x {args.size}")
    axes.legend()
    save_figure(figure, args.out, "very_deep.png")
    return results


if __name__ == "__main__":
    main()
