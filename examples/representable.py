"""Which linear maps a momentum network represents (Sander et al. 2021, Theorem 1 and Fig. 4).

A linear momentum network approximates the equation εx'' + x' = θx with x'(0) = 0, where θ is a
matrix. The map from x(0) to x(1) can be a diagonalisable matrix D if and only if every real
eigenvalue of D below a number λ_ε has even multiplicity. This example computes λ_ε, and fits linear
momentum networks to maps with eigenvalues on either side of it.
"""

import math

import numpy as np
import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure

import odenet


def least_eigenvalue(epsilon):
    """λ_ε: the minimum of exp(-1/(2ε)) (cos α + sin(α) / (2εα)) over α in (0, 2π]."""
    alpha = np.linspace(1e-6, 2 * math.pi, 20_001)
    return (
        math.exp(-1 / (2 * epsilon)) * (np.cos(alpha) + np.sin(alpha) / (2 * epsilon * alpha))
    ).min()


def fitted_map(target, epsilon, steps, seed=0):
    """The matrix of a linear momentum network that is fitted to a target matrix.

    Args:
        target: ``(n, n)``.
        epsilon: ε of the equation; the network has γ = 1 - 1/(steps ε).
        steps: number of steps of the network.
        seed: the seed of its initial weights.
    """
    torch.manual_seed(seed)
    size = len(target)
    gamma = 1 - 1 / (steps * epsilon)
    program = odenet.load(SPECS / "linear.ode")
    flow = program.flow(channels=size, steps=steps, space=0, gamma=gamma)
    flow.double()
    flow.memory = "stored"
    with torch.no_grad():  # K = θ / steps; with θ near -3 the first map contracts
        flow.K.copy_((torch.randn(size, size) - 3 * torch.eye(size)) / steps)
    basis = torch.eye(size, dtype=torch.float64)
    optimizer = torch.optim.LBFGS(flow.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        error = (flow(basis).T - target).square().sum()
        error.backward()
        return error

    optimizer.step(loss)
    return flow(basis).T.detach()


def fitting_error(eigenvalues, epsilon, steps, seeds=3):
    """The distance of a diagonal matrix from the best of several fitted maps (Frobenius norm)."""
    target = torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    return min(
        torch.linalg.matrix_norm(fitted_map(target, epsilon, steps, seed) - target).item()
        for seed in range(seeds)
    )


def draw(panels, epsilons, fitted, lambda_half):
    """Draws the two panels of Fig. 4.

    Args:
        panels: the axes; the first gets λ_ε over ε, the second the set of pairs of eigenvalues
            that maps of the plane can have at ε = 1/2.
        epsilons: the values of ε at which networks were fitted.
        fitted: the least eigenvalue that fitting reached at each of them.
        lambda_half: λ_ε at ε = 1/2.
    """
    limits, plane = panels
    grid = np.linspace(0.02, 5, 200)
    limits.plot(grid, [least_eigenvalue(epsilon) for epsilon in grid], label="λ_ε")
    limits.plot(epsilons, fitted, "o", label="fitted to -1.5")
    limits.set(xlabel="ε", title="least simple eigenvalue")
    limits.legend()
    plane.fill_between([lambda_half, 2], lambda_half, 2, color="lightgrey", label="two simple")
    plane.plot([-2, 2], [-2, 2], color="grey", label="one double")
    plane.set(xlabel="λ₁", ylabel="λ₂", title="representable, ε = 1/2")
    plane.legend()


def main(arguments=None):
    """Fits and draws.

    Returns:
        `{ε: (λ_ε, least eigenvalue that was fitted)}` and, for four pairs of eigenvalues at
        ε = 1/2, `{pair: distance of the fitted map}`.
    """
    args = argument_parser(__doc__, steps=60).parse_args(arguments)
    epsilons = (0.3, 0.5, 1.0, 3.0)
    out_of_reach = torch.tensor([[-1.5]], dtype=torch.float64)  # below λ_ε for each of them
    fitted = [fitted_map(out_of_reach, epsilon, args.steps).item() for epsilon in epsilons]
    for epsilon, eigenvalue in zip(epsilons, fitted, strict=True):
        print(f"ε = {epsilon}: λ_ε = {least_eigenvalue(epsilon):.3f}, fitted {eigenvalue:.3f}")
    lambda_half = least_eigenvalue(epsilon=0.5)
    pairs = [(0.5, -0.2), (0.5, -1.0), (-1.0, -1.0), (-0.2, -0.3)]
    distances = {pair: fitting_error(pair, epsilon=0.5, steps=args.steps) for pair in pairs}
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4))
    draw(panels, epsilons, fitted, lambda_half)
    _, plane = panels
    for pair, distance in distances.items():
        print(f"eigenvalues {pair}, λ_ε = {lambda_half:.3f}: distance {distance:.3f}")
        marker = "o" if distance < 0.05 else "x"  # whether the map was found
        for point in {pair, pair[::-1]}:
            plane.plot(*point, marker, color="black")
    save_figure(figure, args.out, "representable.png")
    limits_and_fits = zip(map(least_eigenvalue, epsilons), fitted, strict=True)
    return dict(zip(epsilons, limits_and_fits, strict=True)), distances


if __name__ == "__main__":
    main()
