"""The oracle of `odenet.advise`: peak memory of training steps as the allocator counts it.

Each way to save memory is written out by hand. Run as a process of its own, it prints JSON: for
each "MODEL, WAY", the peak in bytes of a plain step and of one with the optimizer in the backward
pass.
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
    """A RegNet of four stages, of 1, 3, 2 and 1 blocks, and its input."""
    stages = BlockParams(
        depths=[1, 3, 2, 1],
        widths=[16, 24, 32, 48],
        group_widths=[8] * 4,
        bottleneck_multipliers=[1.0] * 4,
        strides=[2] * 4,
    )
    return RegNet(stages, num_classes=10, stem_width=8), (torch.randn(16, 3, 48, 48),)


def encoder():
    """An encoder of tokens, in which all layers are alike, and its input."""
    layer = nn.TransformerEncoderLayer(64, nhead=4, dim_feedforward=128, batch_first=True)
    model = nn.TransformerEncoder(layer, num_layers=3, enable_nested_tensor=False)
    return model, (torch.randn(4, 64, 64),)


class WideBlock(nn.Module):
    """x + f(x); its kernels take far more memory than its feature maps, and so do their copies."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        """x + f(x)."""
        return x + self.last(torch.relu(self.first(x)))


class Patches(nn.Module):
    """An embedding of patches, and two wide blocks."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 256, 16, 16)
        self.layers = nn.Sequential(WideBlock(256), WideBlock(256))

    def forward(self, x):
        """Feature maps of 4×4."""
        return self.layers(self.patches(x))


def patches():
    """A model with kernels of 2.25 MiB and feature maps of 64 KiB, and its input."""
    return Patches(), (torch.randn(4, 3, 64, 64),)


MODELS = {"regnet": regnet, "encoder": encoder, "patches": patches}


def blocks(model):
    """The residual blocks of a model."""
    stages = model.trunk_output if isinstance(model, RegNet) else [model.layers]
    return [block for stage in stages for block in stage.children()]


def checkpointed(model):
    """The model, with each block under activation checkpointing."""
    for block in blocks(model):
        forward = block.forward
        block.forward = lambda *a, f=forward, **k: checkpoint(f, *a, use_reentrant=False, **k)
    return model


# The ways of `odenet.advise`, each as a function that prepares a model.
WAYS = {
    "original": lambda model: model,
    "checkpointed": checkpointed,
    "converted": odenet.convert,
    "converted, the rest checkpointed": lambda model: odenet.convert(model, checkpoint=True),
}


def peak_of_step(model, inputs):
    """The peak of the second of two training steps; buffers that stay are there after the first."""
    for _ in range(2):
        model.zero_grad(set_to_none=True)
        with Peak("cpu") as peak:
            model(*inputs).square().mean().backward()
    return peak.highest


def main():
    """Measure all models in all ways, and print the peaks."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    peaks = {}
    for name, build in MODELS.items():
        for way, prepare in WAYS.items():
            model, inputs = build()
            model = prepare(model.train())
            plain_peak = peak_of_step(model, inputs)
            model.zero_grad(set_to_none=True)
            OptimizerInBackward(model, torch.optim.SGD(model.parameters(), lr=1e-3))
            peaks[f"{name}, {way}"] = plain_peak, peak_of_step(model, inputs)
    json.dump(peaks, sys.stdout)


if __name__ == "__main__":
    main()
