"""Optimizers of other libraries (8 bits, low rank) that step within the backward pass.

They move the weights exactly as if they stepped after it.
"""

import warnings

import pytest
import torch
from torch import nn

import odenet


class Block(nn.Module):
    """A residual block x + f(x)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 128), nn.Linear(128, 64)

    def forward(self, x):
        return x + self.last(torch.tanh(self.first(x)))


def parameter_groups(model, **low_rank):
    """Parameter groups: the matrices of the blocks get a low rank, all else does not.

    Every second step a new subspace is chosen, to which gradients are projected.
    """
    matrices = [p for p in model.parameters() if min(p.shape) >= 64 and p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    return [{"params": others}, {"params": matrices, "rank": 4, "update_proj_gap": 2, **low_rank}]


OPTIMIZERS = {
    "bitsandbytes": lambda library, model: library.optim.AdamW8bit(
        model.parameters(),
        lr=1e-3,
        min_8bit_size=256,  # smaller than the matrices here
    ),
    "torchao.optim": lambda library, model: library.AdamW8bit(model.parameters(), lr=1e-3),
    "galore_torch": lambda library, model: library.GaLoreAdamW(
        parameter_groups(model, scale=0.25, proj_type="std"), lr=1e-3
    ),
    "apollo_torch": lambda library, model: library.APOLLOAdamW(
        parameter_groups(model, scale=1, proj="random", scale_type="channel", proj_type="std"),
        lr=1e-3,
    ),
}


def train(library, make_optimizer, in_backward):
    """The weights of a converted network after five steps, in or after the backward passes."""
    torch.manual_seed(0)
    blocks = nn.Sequential(*[Block() for _ in range(3)])
    model = odenet.convert(nn.Sequential(nn.Linear(16, 64), blocks), example=torch.randn(2, 16))
    torch.manual_seed(1)  # some of the optimizers project gradients at random
    optimizer = make_optimizer(library, model)
    if in_backward:
        odenet.OptimizerInBackward(model, optimizer)
    for x in torch.randn(5, 8, 16):
        model(x).square().mean().backward()
        if not in_backward:
            optimizer.step()
            optimizer.zero_grad()
    return model.state_dict()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_are_those_of_an_ordinary_loop_bit_for_bit(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries
        library = pytest.importorskip(name)
        expected, actual = (
            train(library, OPTIMIZERS[name], in_backward) for in_backward in (False, True)
        )
    assert all(torch.equal(expected[key], value) for key, value in actual.items())
