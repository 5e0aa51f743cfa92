"""Errors of the gradients of momentum networks, over their depth, for several implementations.

    python bench/momentum.py

prints a table. Plain autograd, odenet and momentumnet compute in float32; the reference is plain
autograd in float64. Each function f of a network is two dense layers of width 32 around a tanh.
"""

import argparse
import copy
import importlib.util
import warnings
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import odenet

WIDTH, BATCH = 32, 16
Network = Callable[[Tensor], Tensor]


def blocks(depth: int) -> nn.ModuleList:
    """The functions f of a network, one per step."""
    return nn.ModuleList(
        nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        for _ in range(depth)
    )


def plain(functions: nn.ModuleList, gamma: float) -> Network:
    """Plain autograd: Sander et al. 2021, Eq. 2."""

    def network(x: Tensor) -> Tensor:
        v = torch.zeros_like(x)
        for f in functions:
            v = gamma * v + (1 - gamma) * f(x)
            x = x + v
        return x

    return network


def floating_point(functions: nn.ModuleList, gamma: float) -> Network:
    """odenet, which recomputes the states in floating-point arithmetic."""
    with warnings.catch_warnings(action="ignore"):  # about the drift that is measured here
        return odenet.reversible(list(functions), "momentum", gamma=gamma)


def fixed_point(functions: nn.ModuleList, gamma: float) -> Network:
    """odenet, which recomputes the states bit for bit, in fixed-point arithmetic."""
    return odenet.reversible(list(functions), "momentum", gamma=gamma, exact=True)


def momentumnet(functions: nn.ModuleList, gamma: float) -> Network:
    """The package momentumnet, without stored activations."""
    from momentumnet import MomentumNet

    return MomentumNet(list(functions), gamma=gamma, init_speed=False, use_backprop=False)


IMPLEMENTATIONS = {
    "plain autograd": plain,
    "odenet": floating_point,
    "odenet, exact": fixed_point,
    "momentumnet": momentumnet,
}


def gradient(build: Callable, functions: nn.ModuleList, gamma: float, x: Tensor) -> Tensor:
    """The gradient by all weights of a network's mean square output, as one vector of float64.

    Args:
        build: one of the IMPLEMENTATIONS.
        functions: f of each step; a copy of them is used, in the dtype of x.
        gamma: γ of the momentum.
        x: the input; its dtype is that of the computation.
    """
    functions = copy.deepcopy(functions).to(x.dtype)
    build(functions, gamma)(x).square().mean().backward()
    return torch.cat([p.grad.double().flatten() for p in functions.parameters()])


def errors(depth: int, gamma: float, names: Sequence[str]) -> list[float]:
    """The relative error of the gradient in float32, for each of the named implementations."""
    torch.manual_seed(0)
    functions, x = blocks(depth), torch.randn(BATCH, WIDTH)
    reference = gradient(plain, functions, gamma, x.double())
    gradients = (gradient(IMPLEMENTATIONS[name], functions, gamma, x) for name in names)
    return [float((g - reference).norm() / reference.norm()) for g in gradients]


def main(arguments: Sequence[str] | None = None) -> dict[tuple[float, int], list[float]]:
    """Measures and prints; returns the errors by (γ, depth)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--depths", nargs="+", type=int, default=[10, 50, 100, 200, 500])
    parser.add_argument("--gammas", nargs="+", type=float, default=[0.99, 0.9, 0.5])
    args = parser.parse_args(arguments)
    is_installed = importlib.util.find_spec("momentumnet") is not None
    names = [name for name in IMPLEMENTATIONS if name != "momentumnet" or is_installed]
    table = Table("γ", "depth", *names)
    results = {}
    for gamma in args.gammas:
        for depth in args.depths:
            results[gamma, depth] = row = errors(depth, gamma, names)
            table.add_row(f"{gamma:g}", str(depth), *(f"{error:.1e}" for error in row))
    Console().print(table)
    return results


if __name__ == "__main__":
    main()
