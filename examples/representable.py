"""Which linear maps a momentum network represents (Sander et al. 2021, Theorem 1 and Fig. 4).

A diagonalisable D is the map of εx'' + x' = θx, x'(0) = 0, at time 1 if and only if every real
eigenvalue below λ_ε is of even multiplicity. Here λ_ε is computed, and linear momentum networks
are fitted to maps on either side of it.
"""

import math

import numpy as np
import torch
from figures import SPECS, options, save
from matplotlib import pyplot

import odenet


def least_eigenvalue(epsilon):
    """λ_ε: the least of exp(-1/(2ε)) (cos α + sin(α) / (2εα)); it lies in the first trough."""
    alpha = np.linspace(1e-6, 2 * math.pi, 20_001)
    return (
        math.exp(-1 / (2 * epsilon)) * (np.cos(alpha) + np.sin(alpha) / (2 * epsilon * alpha))
    ).min()


def fitted(target, epsilon, steps, seed=0):
    """The map nearest to a target matrix that a fitted network of that many steps has."""
    torch.manual_seed(seed)
    size = len(target)
    flow = odenet.load(SPECS / "linear.ode").flow(
        size, steps, space=0, gamma=1 - 1 / (steps * epsilon)
    )
    flow.double()
    flow.memory = "stored"
    with torch.no_grad():
        flow.K.copy_((torch.randn(size, size) - 3 * torch.eye(size)) / steps)
    basis = torch.eye(size, dtype=torch.float64)
    solver = torch.optim.LBFGS(flow.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        solver.zero_grad()
        error = (flow(basis).T - target).square().sum()
        error.backward()
        return error

    solver.step(loss)
    return flow(basis).T.detach()


def distance(eigenvalues, epsilon, steps, seeds=3):
    """From a diagonal map to the nearest that fitting finds, over some starts."""
    target = torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    return min(
        torch.linalg.matrix_norm(fitted(target, epsilon, steps, seed) - target).item()
        for seed in range(seeds)
    )


def draw(axes, epsilons, limits, least):
    """Fig. 4: λ_ε with the least eigenvalues that were fitted, and the set for ε = 1/2 in 2-D."""
    curve = np.linspace(0.02, 5, 200)
    axes[0].plot(curve, [least_eigenvalue(e) for e in curve], label="λ_ε")
    axes[0].plot(epsilons, limits, "o", label="fitted to -1.5")
    axes[0].set(xlabel="ε", title="least simple eigenvalue")
    axes[0].legend()
    axes[1].fill_between([least, 2], least, 2, color="lightgrey", label="two simple ones")
    axes[1].plot([-2, 2], [-2, 2], color="grey", label="a double one")
    axes[1].set(xlabel="λ₁", ylabel="λ₂", title="representable, ε = 1/2")
    axes[1].legend()


def main(arguments=None):
    """Fits and draws; gives λ_ε with what was fitted, and distances to four maps at ε = 1/2."""
    given = options(__doc__, steps=60).parse_args(arguments)
    epsilons = (0.3, 0.5, 1.0, 3.0)
    far = torch.tensor([[-1.5]], dtype=torch.float64)
    limits = [fitted(far, epsilon, given.steps).item() for epsilon in epsilons]
    for epsilon, limit in zip(epsilons, limits, strict=True):
        print(f"ε = {epsilon}: λ_ε = {least_eigenvalue(epsilon):.3f}, fitted {limit:.3f}")
    least = least_eigenvalue(0.5)
    maps = [(0.5, -0.2), (0.5, -1.0), (-1.0, -1.0), (-0.2, -0.3)]
    distances = {pair: distance(pair, 0.5, given.steps) for pair in maps}
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4))
    draw(axes, epsilons, limits, least)
    for pair, error in distances.items():
        print(f"eigenvalues {pair}, λ_ε = {least:.3f}: distance {error:.3f}")
        for point in {pair, pair[::-1]}:
            axes[1].plot(*point, "o" if error < 0.05 else "x", color="black")
    save(figure, given.out, "representable.png")
    pairs = dict(
        zip(epsilons, zip(map(least_eigenvalue, epsilons), limits, strict=True), strict=True)
    )
    return pairs, distances


if __name__ == "__main__":
    main()
