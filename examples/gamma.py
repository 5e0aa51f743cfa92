"""γ changed in a trained network, and refitted (Sander et al. 2021, Section 5.2 and Fig. 6).

Momentum networks of basic blocks learn the 8x8 digits with γ = 0, which is a ResNet, up to 0.9.
Then those of the least and of the largest γ are measured with each of the others, as they are and
after a little more training.
"""

import copy

import torch
from figures import SPECS, options, save
from matplotlib import pyplot
from torch import nn

import odenet
from odenet.model.tables.recipe import Call
from odenet.runtime import Flow
from odenet.training.data.data_sets import load_data

GAMMAS = (0.0, 0.3, 0.6, 0.9)
BATCH = 64


def digits():
    """Pictures ``(n, 3, 8, 8)`` in -1..1, all channels the same, and labels: to learn, to test."""
    data = load_data(Call("digits"), (1, 8, 8))
    return [
        (split.inputs.float().expand(-1, 3, -1, -1) / 127.5 - 1, split.labels)
        for split in (data.train, data.test)
    ]


def with_gamma(network, gamma):
    """A copy of a network with another γ in every step."""
    network = copy.deepcopy(network)
    for flow in network.modules():
        if isinstance(flow, Flow):
            flow.gamma = gamma
            flow.memory = "stored"  # with γ = 0 there is no inverse
    return network


def learn(network, split, epochs, rate, seed=0):
    """Trains a network in place for some epochs."""
    pictures, labels = split
    torch.manual_seed(seed)
    steps = len(pictures) // BATCH
    solver = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=2e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(solver, rate, total_steps=epochs * steps)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(pictures))[: steps * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(network(pictures[batch]), labels[batch])
            solver.zero_grad()
            loss.backward()
            solver.step()
            schedule.step()
    return network


def accuracy(network, split):
    """The share of pictures that a network, in evaluation mode, gives the right label."""
    pictures, labels = split
    network.eval()
    with torch.no_grad():
        return (network(pictures).argmax(dim=1) == labels).float().mean().item()


def main(arguments=None):
    """Trains, changes γ, refits and draws; gives accuracies by kind of curve and γ in use."""
    given = options(__doc__, epochs=8, refit=2, blocks=2).parse_args(arguments)
    train, test = digits()
    program = odenet.load(SPECS / "momentum.ode", set={"n": given.blocks, "w": 8, "size": 8})
    torch.manual_seed(0)
    begun = program.network()
    trained = {g: learn(with_gamma(begun, g), train, given.epochs, 0.1) for g in GAMMAS}
    found = {"trained so": [accuracy(network, test) for network in trained.values()]}
    for first in (GAMMAS[0], GAMMAS[-1]):
        changed = [with_gamma(trained[first], g) for g in GAMMAS]
        found[f"trained with γ = {first}"] = [accuracy(network, test) for network in changed]
        found[f"trained with γ = {first}, refitted"] = [
            accuracy(learn(network, train, given.refit, 0.02), test) for network in changed
        ]
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for name, accuracies in found.items():
        axes.plot(GAMMAS, accuracies, "o-", label=name)
        print(f"{name}: " + ", ".join(f"{value:.1%}" for value in accuracies))
    axes.set(xlabel="γ in use", ylabel="test accuracy", xticks=GAMMAS)
    axes.legend()
    save(figure, given.out, "gamma.png")
    return found


if __name__ == "__main__":
    main()
