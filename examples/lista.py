"""Learning to optimise: sparse codes by learned ISTA (Sander et al. 2021, Section 5.3, Fig. 10).

A network of L layers maps measurements y to codes x that make the Lasso cost
|y - D x|^2 / 2 + λ |x|_1 small. As a RevNet it cannot converge (Proposition 1).
"""

import torch
from figures import SPECS, options, save
from matplotlib import pyplot
from torch.nn import functional

import odenet

CODES, MEASUREMENTS, LAMBDA = 32, 16, 0.1
NETWORKS = {  # name: file, constants
    "LISTA": ("lista.ode", {}),
    "Momentum LISTA, γ = 0.2": ("lista_momentum.ode", {}),
    "Momentum LISTA, γ = 0.9": ("lista_momentum.ode", {"gamma": 0.9}),
    "RevNet LISTA": ("lista_revnet.ode", {}),
}


class Lasso:
    """One problem: a dictionary, and samples to learn from and to test on."""

    def __init__(self, samples):
        torch.manual_seed(0)
        self.D = functional.normalize(torch.randn(MEASUREMENTS, CODES), dim=0)
        self.rate = 1 / torch.linalg.matrix_norm(self.D, 2).item() ** 2
        self.train, self.test = (
            functional.normalize(torch.randn(samples, MEASUREMENTS), dim=1) for _ in range(2)
        )
        self.best = self.cost(self.ista(self.test, 3000), self.test)

    def cost(self, x, y):
        """The mean cost of codes ``(samples, 32)`` of measurements ``(samples, 16)``."""
        return ((y - x @ self.D.T).square().sum(1) / 2 + LAMBDA * x.abs().sum(1)).mean()

    def ista(self, y, iterations):
        """Codes by proximal gradient steps."""
        x = y.new_zeros(len(y), CODES)
        for _ in range(iterations):
            step = x - self.rate * (x @ self.D.T - y) @ self.D
            x = functional.softshrink(step, self.rate * LAMBDA)
        return x

    def network(self, spec, constants, layers):
        """A flow that starts as ISTA: W1 = 1 - η D^T D, W2 = η D^T."""
        program = odenet.load(SPECS / spec, set={"η": self.rate, "λ": LAMBDA})
        flow = program.flow(CODES, layers, space=0, **constants)
        flow.memory = "stored"  # a few layers on small data: faster so
        beside = torch.zeros(CODES, CODES - MEASUREMENTS)
        of_codes = torch.eye(CODES) - self.rate * self.D.T @ self.D
        of_measurements = torch.cat((self.rate * self.D.T, beside), dim=1)
        with torch.no_grad():
            for name in flow.operators:
                getattr(flow, name).copy_(of_codes if name in ("W1", "W3") else of_measurements)
        return flow

    def learn(self, spec, constants, layers, iterations):
        """The cost on the test samples above the least one, after learning without codes."""
        flow = self.network(spec, constants, layers)
        inputs, others = (
            functional.pad(y, (0, CODES - MEASUREMENTS)) for y in (self.train, self.test)
        )
        solver = torch.optim.Adam(flow.parameters(), lr=2e-3)
        for _ in range(iterations):
            loss = self.cost(flow(inputs), self.train)
            solver.zero_grad()
            loss.backward()
            solver.step()
        with torch.no_grad():
            return (self.cost(flow(others), self.test) - self.best).item()


def main(arguments=None):
    """Learns each network at several depths; gives its excess cost by depth."""
    given = options(__doc__, iterations=800, samples=500, deepest=8).parse_args(arguments)
    problem = Lasso(given.samples)
    depths = range(2, given.deepest + 1, 2)
    found = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for name, network in NETWORKS.items():
        found[name] = [problem.learn(*network, layers, given.iterations) for layers in depths]
        axes.semilogy(depths, found[name], "o-", label=name)
        print(f"{name}: " + ", ".join(f"{cost:.4f}" for cost in found[name]))
    axes.set(xlabel="layers", ylabel="test cost above the least", xticks=list(depths))
    axes.legend()
    save(figure, given.out, "lista.png")
    return found


if __name__ == "__main__":
    main()
