"""γ changed in a trained network, and refitted (Sander et al. 2021, Section 5.2 and Fig. 6).

Momentum networks learn the 8x8 digits, one with each γ from 0, which is a ResNet, to 0.9. Then the
networks that were trained with the smallest and the largest γ are tested with each of the other
values: first with their weights as they are, then after a little more training.
"""

import copy

import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure
from torch import nn

import odenet
from odenet.model.tables.recipe import Call
from odenet.runtime import Flow
from odenet.training.data.data_sets import load_data

GAMMAS = (0.0, 0.3, 0.6, 0.9)
BATCH = 64


def load_digits():
    """The training and the test split: pictures ``(n, 3, 8, 8)`` in -1..1, and labels ``(n,)``.

    The pictures are grey; they get three equal channels, since the network takes three.
    """
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


def train(network, split, epochs, rate, seed=0):
    """Trains a network in place for some epochs, and returns it."""
    pictures, labels = split
    torch.manual_seed(seed)
    steps = len(pictures) // BATCH
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=2e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(pictures))[: steps * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(network(pictures[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def accuracy(network, split):
    """The share of pictures to which a network, in evaluation mode, gives the right label."""
    pictures, labels = split
    network.eval()
    with torch.no_grad():
        return (network(pictures).argmax(dim=1) == labels).float().mean().item()


def main(arguments=None):
    """Trains, changes γ, refits and draws; returns the accuracies, by curve, for each of GAMMAS."""
    # refit: epochs of training after γ was changed; blocks: in each stage of the network.
    args = argument_parser(__doc__, epochs=8, refit=2, blocks=2).parse_args(arguments)
    train_split, test_split = load_digits()
    program = odenet.load(SPECS / "momentum.ode", set={"n": args.blocks, "w": 8, "size": 8})
    torch.manual_seed(0)
    untrained = program.network()
    trained = {
        g: train(with_gamma(untrained, g), train_split, args.epochs, rate=0.1) for g in GAMMAS
    }
    curves = {
        "trained with the γ in use": [accuracy(network, test_split) for network in trained.values()]
    }
    for gamma in (GAMMAS[0], GAMMAS[-1]):
        changed = [with_gamma(trained[gamma], g) for g in GAMMAS]
        curves[f"trained with γ = {gamma}"] = [accuracy(n, test_split) for n in changed]
        curves[f"trained with γ = {gamma}, refitted"] = [
            accuracy(train(network, train_split, args.refit, rate=0.02), test_split)
            for network in changed
        ]
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for label, accuracies in curves.items():
        axes.plot(GAMMAS, accuracies, "o-", label=label)
        print(f"{label}: " + ", ".join(f"{value:.1%}" for value in accuracies))
    axes.set(xlabel="γ in use", ylabel="test accuracy", xticks=GAMMAS)
    axes.legend()
    save_figure(figure, args.out, "gamma.png")
    return curves


if __name__ == "__main__":
    main()
