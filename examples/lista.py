"""Learning to optimise: sparse codes by learned ISTA (Sander et al. 2021, Section 5.3, Fig. 10).

ISTA is the proximal gradient method for the Lasso: given measurements y and a dictionary D, it
finds codes x that minimise the cost |y - D x|^2 / 2 + λ |x|_1. Learned ISTA is a network of L
layers from y to x that starts as L iterations of ISTA; its matrices are then trained to lower the
cost. As a RevNet it cannot converge (Proposition 1).
"""

import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure
from torch.nn import functional

import odenet

CODES, MEASUREMENTS, LAMBDA = 32, 16, 0.1
NETWORKS = {  # by label: spec, values of constants
    "LISTA": ("lista.ode", {}),
    "Momentum LISTA, γ = 0.2": ("lista_momentum.ode", {}),
    "Momentum LISTA, γ = 0.9": ("lista_momentum.ode", {"gamma": 0.9}),
    "RevNet LISTA": ("lista_revnet.ode", {}),
}


class Lasso:
    """A Lasso problem: a random dictionary D ``(16, 32)``, training and test measurements.

    Args:
        sample_count: measurement vectors of each split.
    """

    def __init__(self, sample_count):
        torch.manual_seed(0)
        self.D = functional.normalize(torch.randn(MEASUREMENTS, CODES), dim=0)
        self.step_size = 1 / torch.linalg.matrix_norm(self.D, 2).item() ** 2
        self.train, self.test = (
            functional.normalize(torch.randn(sample_count, MEASUREMENTS), dim=1) for _ in range(2)
        )
        codes = self.ista(self.test, 3000)  # enough iterations to converge
        self.minimal_cost = self.cost(codes, self.test)

    def cost(self, x, y):
        """The mean cost of codes x ``(samples, 32)`` for measurements y ``(samples, 16)``."""
        return ((y - x @ self.D.T).square().sum(1) / 2 + LAMBDA * x.abs().sum(1)).mean()

    def ista(self, y, iterations):
        """The codes of measurements y after some iterations of ISTA from 0."""
        x = y.new_zeros(len(y), CODES)
        for _ in range(iterations):
            gradient_step = x - self.step_size * (x @ self.D.T - y) @ self.D
            x = functional.softshrink(gradient_step, self.step_size * LAMBDA)
        return x

    def network(self, spec, constants, layers):
        """A flow whose layers start as iterations of ISTA: W1 = 1 - η D^T D, W2 = η D^T.

        Its input is y followed by zeros, as long as x, so W2 has columns of zeros for those.
        """
        program = odenet.load(SPECS / spec, set={"η": self.step_size, "λ": LAMBDA})
        flow = program.flow(channels=CODES, steps=layers, space=0, **constants)
        flow.memory = "stored"  # faster than recomputing, for a few small layers
        zero_columns = torch.zeros(CODES, CODES - MEASUREMENTS)
        W1 = torch.eye(CODES) - self.step_size * self.D.T @ self.D
        W2 = torch.cat((self.step_size * self.D.T, zero_columns), dim=1)
        with torch.no_grad():
            for name in flow.operators:  # W1, W2; the RevNet has them twice, as W3 and W4 too
                getattr(flow, name).copy_(W1 if name in ("W1", "W3") else W2)
        return flow

    def excess_cost(self, spec, constants, layers, iterations):
        """Trains a network to lower the cost; returns its test cost minus the minimal one."""
        flow = self.network(spec, constants, layers)
        train_inputs, test_inputs = (
            functional.pad(y, (0, CODES - MEASUREMENTS)) for y in (self.train, self.test)
        )
        optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
        for _ in range(iterations):
            loss = self.cost(flow(train_inputs), self.train)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return (self.cost(flow(test_inputs), self.test) - self.minimal_cost).item()


def main(arguments=None):
    """Trains each network at several depths; returns, by label, a list of excess costs."""
    args = argument_parser(__doc__, iterations=800, samples=500, deepest=8).parse_args(arguments)
    problem = Lasso(args.samples)
    depths = range(2, args.deepest + 1, 2)
    results = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for label, network in NETWORKS.items():
        costs = [problem.excess_cost(*network, layers, args.iterations) for layers in depths]
        results[label] = costs
        axes.semilogy(depths, costs, "o-", label=label)
        print(f"{label}: " + ", ".join(f"{cost:.4f}" for cost in costs))
    axes.set(xlabel="layers", ylabel="test cost above the least", xticks=list(depths))
    axes.legend()
    save_figure(figure, args.out, "lista.png")
    return results


if __name__ == "__main__":
    main()
