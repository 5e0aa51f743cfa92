"""Run as a process of its own: what training steps take, as the allocator saw it.

What the ways are is written out here by hand. It prints peaks in bytes, by model and way.
"""

import json
import sys
import warnings

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.regnet import BlockParams, RegNet

import odenet
from odenet.footprint.allocator import Peak
from odenet.runtime.optimizer_in_backward import OptimizerInBackward


def regnet():
    """Of four stages, of 1, 3, 2 and 1 blocks."""
    widths = BlockParams([1, 3, 2, 1], [16, 24, 32, 48], [8] * 4, [1.0] * 4, [2] * 4)
    return RegNet(widths, num_classes=10, stem_width=8), (torch.randn(16, 3, 48, 48),)


def encoder():
    """Of tokens, all layers alike."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), (torch.randn(4, 64, 64),)


class Wide(nn.Module):
    """x + f(x) with kernels far larger than the pictures, which convolutions reorder."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        """As every residual block."""
        return x + self.last(torch.relu(self.first(x)))


class Patches(nn.Module):
    """Patches of pictures, and blocks of wide convolutions."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 256, 16, 16)
        self.layers = nn.Sequential(Wide(256), Wide(256))

    def forward(self, x):
        """Maps of 4×4."""
        return self.layers(self.patches(x))


def patches():
    """Kernels of 2.25 MiB on maps of 64 KiB."""
    return Patches(), (torch.randn(4, 3, 64, 64),)


MODELS = {"regnet": regnet, "encoder": encoder, "patches": patches}


def blocks(model):
    """Those of a model."""
    stages = model.trunk_output if isinstance(model, RegNet) else [model.layers]
    return [block for stage in stages for block in stage.children()]


def checkpointed(model):
    """Each block on its own."""
    for block in blocks(model):
        forward = block.forward
        block.forward = lambda *a, f=forward, **k: checkpoint(f, *a, use_reentrant=False, **k)
    return model


WAYS = {
    "original": lambda model: model,
    "checkpointed": checkpointed,
    "converted": odenet.convert,
    "converted, the rest checkpointed": lambda model: odenet.convert(model, checkpoint=True),
}


def highest(model, given):
    """The peak of a step, after one that makes what is made once."""
    for _ in range(2):
        model.zero_grad(set_to_none=True)
        with Peak("cpu") as peak:
            model(*given).square().mean().backward()
    return peak.highest


def main():
    """All models, all ways."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = {}
    for name, make in MODELS.items():
        for way, change in WAYS.items():
            model, given = make()
            model = change(model.train())
            plain = highest(model, given)
            model.zero_grad(set_to_none=True)
            OptimizerInBackward(model, torch.optim.SGD(model.parameters(), lr=1e-3))
            found[f"{name}, {way}"] = plain, highest(model, given)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
