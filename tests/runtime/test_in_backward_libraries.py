"""Optimizers of libraries that keep few bits or a low rank act in the backward pass as after it."""

import warnings

import pytest
import torch
from torch import nn

import odenet


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 128), nn.Linear(128, 64)

    def forward(self, x):
        """As every residual block."""
        return x + self.last(torch.tanh(self.first(x)))


def groups(model, **low_rank):
    """The matrices of the blocks with a low rank, all else without."""
    matrices = [p for p in model.parameters() if min(p.shape) >= 64 and p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    return [{"params": others}, {"params": matrices, "rank": 4, "update_proj_gap": 2, **low_rank}]


MAKERS = {
    "bitsandbytes": lambda library, model: library.optim.AdamW8bit(
        model.parameters(), lr=1e-3, min_8bit_size=256
    ),
    "torchao.optim": lambda library, model: library.AdamW8bit(model.parameters(), lr=1e-3),
    "galore_torch": lambda library, model: library.GaLoreAdamW(
        groups(model, scale=0.25, proj_type="std"), lr=1e-3
    ),
    "apollo_torch": lambda library, model: library.APOLLOAdamW(
        groups(model, scale=1, proj="random", scale_type="channel", proj_type="std"), lr=1e-3
    ),
}


def trained(library, make, early):
    """The weights of a converted network after five steps."""
    torch.manual_seed(0)
    blocks = nn.Sequential(*[Block() for _ in range(3)])
    model = odenet.convert(nn.Sequential(nn.Linear(16, 64), blocks), example=torch.randn(2, 16))
    torch.manual_seed(1)  # some project at random
    optimizer = make(library, model)
    if early:
        odenet.OptimizerInBackward(model, optimizer)
    for x in torch.randn(5, 8, 16):
        model(x).square().mean().backward()
        if not early:
            optimizer.step()
            optimizer.zero_grad()
    return model.state_dict()


@pytest.mark.parametrize("name", MAKERS)
def test_weights_are_those_of_the_ordinary_way_bit_for_bit(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        library = pytest.importorskip(name)
        after, early = (trained(library, MAKERS[name], early) for early in (False, True))
    assert all(torch.equal(after[key], value) for key, value in early.items())
