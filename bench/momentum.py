"""Gradients of momentum networks by depth: plain autograd, odenet and momentumnet against float64.

    python bench/momentum.py

prints a table. Every function is two dense layers around a tanh, of width 32.
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
    """Sander et al. 2021, Eq. 2, written out."""

    def network(x: Tensor) -> Tensor:
        v = torch.zeros_like(x)
        for f in functions:
            v = gamma * v + (1 - gamma) * f(x)
            x = x + v
        return x

    return network


def rounded(functions: nn.ModuleList, gamma: float) -> Network:
    """odenet, in floating-point arithmetic."""
    with warnings.catch_warnings(action="ignore"):  # of the drift that is measured here
        return odenet.reversible(list(functions), "momentum", gamma=gamma)


def exact(functions: nn.ModuleList, gamma: float) -> Network:
    """odenet, in fixed-point arithmetic."""
    return odenet.reversible(list(functions), "momentum", gamma=gamma, exact=True)


def momentumnet(functions: nn.ModuleList, gamma: float) -> Network:
    """The package momentumnet, without stored activations."""
    from momentumnet import MomentumNet

    return MomentumNet(list(functions), gamma=gamma, init_speed=False, use_backprop=False)


CONTENDERS = {
    "plain autograd": plain,
    "odenet": rounded,
    "odenet, exact": exact,
    "momentumnet": momentumnet,
}


def gradient(build: Callable, functions: nn.ModuleList, gamma: float, x: Tensor) -> Tensor:
    """Of a loss by all weights, in double precision."""
    functions = copy.deepcopy(functions).to(x.dtype)
    build(functions, gamma)(x).square().mean().backward()
    return torch.cat([p.grad.double().flatten() for p in functions.parameters()])


def errors(depth: int, gamma: float, names: Sequence[str]) -> list[float]:
    """Relative errors of the gradient in float32, contender by contender."""
    torch.manual_seed(0)
    functions, x = blocks(depth), torch.randn(BATCH, WIDTH)
    true = gradient(plain, functions, gamma, x.double())
    found = (gradient(CONTENDERS[name], functions, gamma, x) for name in names)
    return [float((g - true).norm() / true.norm()) for g in found]


def main(arguments: Sequence[str] | None = None) -> dict[tuple[float, int], list[float]]:
    """Measures and prints; gives the errors by γ and depth."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--depths", nargs="+", type=int, default=[10, 50, 100, 200, 500])
    parser.add_argument("--gammas", nargs="+", type=float, default=[0.99, 0.9, 0.5])
    given = parser.parse_args(arguments)
    known = importlib.util.find_spec("momentumnet") is not None
    names = [name for name in CONTENDERS if name != "momentumnet" or known]
    table = Table("γ", "depth", *names)
    found = {}
    for gamma in given.gammas:
        for depth in given.depths:
            found[gamma, depth] = row = errors(depth, gamma, names)
            table.add_row(f"{gamma:g}", str(depth), *(f"{error:.1e}" for error in row))
    Console().print(table)
    return found


if __name__ == "__main__":
    main()
