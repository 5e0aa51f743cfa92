"""Peak memory of training a residual network and its reversible forms (Sander et al. 2021, Fig. 7).

Each number is the most that the allocator holds during one training step, in a process of its own:
activations and gradients, without the weights. Compared are the network as it is; the network with
its blocks checkpointed; converted by odenet; converted with the remaining blocks checkpointed,
those that change the shape of their input; and, if that package is installed, converted by
momentumnet.
"""

import importlib.util

import torch
from matplotlib import pyplot
from shared import argument_parser, run_in_child_process, save_figure
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision import models

import odenet
from odenet.footprint.allocator import Peak


def original(model):
    """The network as it is."""
    return model


def checkpointed(model):
    """The network with only the input of each block stored."""
    for stage in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for block in stage:
            if hasattr(block, "conv1"):  # a residual block of torchvision
                block.forward = _checkpointed_forward(block.forward)
    return model


def _checkpointed_forward(forward):
    return lambda x: checkpoint(forward, x, use_reentrant=False)


def momentumnet(model):
    """The network converted by the package momentumnet."""
    from momentumnet import transform_to_momentumnet

    layers = ["layer1", "layer2", "layer3", "layer4"]
    return transform_to_momentumnet(model, layers, gamma=0.9, use_backprop=False)


def converted_and_checkpointed(model):
    """The network converted by odenet, with only the input of each remaining block stored."""
    return odenet.convert(model, checkpoint=True)


METHODS = {
    "original": original,
    "checkpointed": checkpointed,
    "momentumnet": momentumnet,
    "odenet": odenet.convert,
    "odenet, other blocks checkpointed": converted_and_checkpointed,
}


def print_peak_memory(method, model_name, size, batch):
    """What a child process does: takes one training step, and prints the peak in MiB."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = METHODS[method](models.get_model(model_name, weights=None)).to(device).train()
    pictures = torch.randn(batch, 3, size, size, device=device)
    with Peak(device) as peak:
        model(pictures).square().mean().backward()
    print(peak.highest / 2**20)


def peak_memory(method, model_name, size, batch):
    """The MiB that one training step holds at most, measured in a fresh process."""
    return run_in_child_process(__file__, "--step", f"{method}:{model_name}:{size}:{batch}")


def parse(arguments):
    """The command line, parsed."""
    parser = argument_parser(__doc__, size=64)
    parser.add_argument("--models", nargs="+", default=["resnet101", "resnet152"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--step", help="for child processes")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measures and draws; returns the MiB as `{(model, method): {batch: MiB}}`."""
    args = parse(arguments)
    if args.step:
        method, model_name, size, batch = args.step.split(":")
        return print_peak_memory(method, model_name, int(size), int(batch))
    methods = [m for m in METHODS if m != "momentumnet" or importlib.util.find_spec("momentumnet")]
    figure, panels = pyplot.subplots(1, len(args.models), figsize=(5 * len(args.models), 4))
    results = {}
    for axes, name in zip([panels] if len(args.models) == 1 else panels, args.models, strict=True):
        for method in methods:
            peaks = [peak_memory(method, name, args.size, batch) for batch in args.batches]
            results[name, method] = dict(zip(args.batches, peaks, strict=True))
            axes.plot(args.batches, peaks, "o-", label=method)
            print(f"{name}, {method}: " + ", ".join(f"{mib:.0f} MiB" for mib in peaks))
        axes.set(title=name, xlabel="batch", ylabel="MiB of a training step", ylim=0)
        axes.legend()
    save_figure(figure, args.out, "memory.png")
    return results


if __name__ == "__main__":
    main()
