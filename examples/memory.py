"""Peak memory of training a residual network and its reversible forms (Sander et al. 2021, Fig. 7).

Every number is what the allocator held at most during one training step, in a process of its own:
activations and gradients, but not the weights. Compared are the network as it is, with its blocks
checkpointed, converted by odenet, also with the blocks checkpointed that no flow takes in, and,
where that package is installed, converted by momentumnet.
"""

import importlib.util

import torch
from figures import options, printed_by_child, save
from matplotlib import pyplot
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
    for block in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for child in block:
            if hasattr(child, "conv1"):
                child.forward = _checkpointed(child.forward)
    return model


def _checkpointed(forward):
    return lambda x: checkpoint(forward, x, use_reentrant=False)


def momentumnet(model):
    """The network converted by the package momentumnet."""
    from momentumnet import transform_to_momentumnet

    layers = ["layer1", "layer2", "layer3", "layer4"]
    return transform_to_momentumnet(model, layers, gamma=0.9, use_backprop=False)


def both(model):
    """The network converted by odenet, and of the other blocks only the input stored."""
    return odenet.convert(model, checkpoint=True)


KINDS = {
    "original": original,
    "checkpointed": checkpointed,
    "momentumnet": momentumnet,
    "odenet": odenet.convert,
    "odenet, other blocks checkpointed": both,
}


def one_step(kind, name, size, batch):
    """What a child process does: a training step; prints how many MiB were held at most."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = KINDS[kind](models.get_model(name, weights=None)).to(device).train()
    pictures = torch.randn(batch, 3, size, size, device=device)
    with Peak(device) as step:
        model(pictures).square().mean().backward()
    print(step.highest / 2**20)


def step_memory(kind, name, size, batch):
    """The memory in MiB that a training step takes in a fresh process."""
    return printed_by_child(__file__, "--step", f"{kind}:{name}:{size}:{batch}")


def parse(arguments):
    """The arguments of the command line."""
    parser = options(__doc__, size=64)
    parser.add_argument("--models", nargs="+", default=["resnet101", "resnet152"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--step", help="for child processes")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measures and draws; gives MiB by network, kind and batch."""
    given = parse(arguments)
    if given.step:
        kind, name, size, batch = given.step.split(":")
        return one_step(kind, name, int(size), int(batch))
    kinds = [k for k in KINDS if k != "momentumnet" or importlib.util.find_spec("momentumnet")]
    figure, axes = pyplot.subplots(1, len(given.models), figsize=(5 * len(given.models), 4))
    found = {}
    for panel, name in zip([axes] if len(given.models) == 1 else axes, given.models, strict=True):
        for kind in kinds:
            row = [step_memory(kind, name, given.size, batch) for batch in given.batches]
            found[name, kind] = dict(zip(given.batches, row, strict=True))
            panel.plot(given.batches, row, "o-", label=kind)
            print(f"{name}, {kind}: " + ", ".join(f"{mib:.0f} MiB" for mib in row))
        panel.set(title=name, xlabel="batch", ylabel="MiB of a training step", ylim=0)
        panel.legend()
    save(figure, given.out, "memory.png")
    return found


if __name__ == "__main__":
    main()
