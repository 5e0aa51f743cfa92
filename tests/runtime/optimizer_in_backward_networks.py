"""Networks and training loops for tests of an optimizer that acts within the backward pass."""

import copy

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

import odenet
from odenet import OptimizerInBackward

TWO_UNKNOWNS = "state Y, Z\nparam K1, K2 : conv(3)\nparam b : bias\n"
RIGHT_HAND_SIDES = "Y' = K1^T tanh(K1 Z + b)\nZ' = -K2^T tanh(K2 Y + b)\n"
ONE_UNKNOWN = "state Y\nparam K : conv(3)\nparam b : bias\n"
TWO_HALVES_SCHEME = """
scheme halves {
    for Y' = F(Z), Z' = G(Y)
    M = Y[n] + h/2 F(Z[n])
    Z[n+1] = Z[n] + h G(M)
    Y[n+1] = M + h/2 F(Z[n+1])
}
"""
SPECS = {
    "verlet": f"{TWO_UNKNOWNS}{RIGHT_HAND_SIDES}discretise verlet(h = 0.1)",
    "two halves": f"{TWO_UNKNOWNS}{RIGHT_HAND_SIDES}{TWO_HALVES_SCHEME}discretise halves(h = 0.1)",
    "leapfrog": f"{ONE_UNKNOWN}Y'' = -K^T tanh(K Y + b)\ndiscretise leapfrog(h = 0.1)",
    "midpoint": f"{ONE_UNKNOWN}Y' = tanh((K - K^T) Y + b)\ndiscretise midpoint(h = 0.1)",
    "momentum": "state Y\nmap f = conv(3) -> bn -> tanh -> conv(3)\nY' = f(Y)\n"
    "discretise momentum(γ = 0.9)",
    # v starts at the right-hand side, which reads the weights of the first step once more
    "start at f(x)": f"{ONE_UNKNOWN}Y' = tanh(K Y + b)\ndiscretise momentum(γ = 0.9) start v[0] = f(x[0])",
    "learned constants": f"{ONE_UNKNOWN}Y' = tanh(K Y + b)\ndiscretise momentum(γ = learned(0.9))",
    # K1 is interpolated over the depth between knots, its learned values at three times
    "knots": "state Y, Z\nparam K1 : conv(3, knots = 3)\nparam K2 : conv(3)\n"
    "Y' = K1^T tanh(K1 Z)\nZ' = -K2^T tanh(K2 Y)\ndiscretise verlet(h = 0.1)",
    "shared": "state Y, Z\nshared param K1 : conv(3)\nparam K2 : conv(3)\n"
    "Y' = K1^T tanh(K1 Z)\nZ' = -K2^T tanh(K2 Y)\ndiscretise verlet(h = 0.1)",
    "no inverse": f"{ONE_UNKNOWN}Y' = tanh(K Y + b)\ndiscretise heun(h = 0.1)",
}
NETWORK_LINE = "\nnet = input(4, 6, 6) -> conv(3, 4) -> flow(4) -> mean -> dense(3)\n"
OPTIMIZERS = {  # functions of the parameters
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2),
    "adafactor": lambda p: torch.optim.Adafactor(p, 1e-2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3),
}
ADAMW = OPTIMIZERS["adamw"]


def batches(shape, count=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(count)]


def build_network(spec_text, dtype=torch.float64):
    """A sequence of a convolution, the flow of a spec (at index 1), a mean and a linear layer."""
    torch.manual_seed(0)
    return odenet.loads(spec_text + NETWORK_LINE).network().to(dtype)


def train_with_steps(network, optimizer, inputs, clip=0.0):
    """The ordinary loop: the optimizer acts after each backward pass."""
    for x in inputs:
        network(x).square().mean().backward()
        if clip:
            clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()


def have_equal_states(network, twin):
    """Whether weights and buffers of two networks are equal bit for bit."""
    return all(map(torch.equal, network.state_dict().values(), twin.state_dict().values()))


def train_both_ways(network, inputs, make_optimizer=ADAMW):
    """The network after the ordinary loop, and a copy that an optimizer in the backward trained."""
    torch.manual_seed(3)
    twin = copy.deepcopy(network)
    train_with_steps(network, make_optimizer(network.parameters()), inputs)
    torch.manual_seed(3)
    OptimizerInBackward(twin, make_optimizer(twin.parameters()))
    for x in inputs:
        twin(x).square().mean().backward()
        assert all(p.grad is None for p in twin.parameters())
    return network, twin


def make_layer(width=8):
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Dropout(0.2), nn.GELU())


class FlowBetweenLayers(nn.Module):
    """A linear layer, a flow, and another linear layer."""

    def __init__(self, flow):
        super().__init__()
        self.stem, self.flow, self.head = nn.Linear(6, 8), flow, nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.flow(self.stem(x)))
