"""Four nested rings in two classes (Sander et al. 2021, Fig. 5).

With the same weights in each of its 15 steps, a ResNet follows an autonomous ODE in the plane and
cannot separate the rings; a momentum network can. The paper has γ = 0.9 in its experiments. The
authors' published script for this one has γ = 0.99, and a learning rate of 0.2.
"""

import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure
from torch import nn

import odenet
from odenet.model.tables.recipe import Call
from odenet.training.data.data_sets import load_data

STEPS = 15
NETWORKS = {  # by label: spec, settings, highest learning rate
    "ResNet": ("rings_resnet.ode", {}, 0.03),
    "Momentum ResNet": ("rings.ode", {}, 0.03),
    "and γ = 0.99": ("rings.ode", {"γ": 0.99}, 0.2),
}


def load_rings():
    """The training and the test split of the rings: points ``(n, 2)`` and classes ``(n,)``.

    The points are twice as far from 0 as in the data set, so that the outermost radius is 2: small
    weights separate them more easily.
    """
    data = load_data(Call("rings", (), {"n": 4000, "noise": 0.015, "rings": 4}), (2,))
    return [(2 * split.inputs, split.labels) for split in (data.train, data.test)]


def fit(spec, settings, highest_rate, iterations, seed=0):
    """Trains a flow with a linear classifier on the rings.

    Args:
        spec: a file in `specs`.
        settings: values of its constants.
        highest_rate: the highest learning rate of the one-cycle schedule.
        iterations: number of steps of Adam, on random batches of 256 points.
        seed: the seed of the weights and of the batches.

    Returns:
        The flow, and the accuracy on the test points.
    """
    torch.manual_seed(seed)
    flow = odenet.load(SPECS / spec, set=settings).flow(channels=2, steps=STEPS, space=0)
    flow.memory = "stored"
    net = nn.Sequential(flow, nn.Linear(2, 2))
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest_rate, total_steps=iterations)
    (points, classes), (test_points, test_classes) = load_rings()
    for _ in range(iterations):
        batch = torch.randint(len(points), (256,))
        loss = nn.functional.cross_entropy(net(points[batch]), classes[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        accuracy = (net(test_points).argmax(dim=1) == test_classes).float().mean().item()
    return flow, accuracy


def draw(panels, flow):
    """Draws the test points after every third step, one panel each."""
    _, (points, classes) = load_rings()
    with torch.no_grad():
        states = flow.trajectory(points)
    for axes, step in zip(panels, range(0, STEPS + 1, 3), strict=True):
        x = states[step].x
        axes.scatter(x[:, 0], x[:, 1], c=classes, cmap="coolwarm", s=2)
        axes.set(title=f"step {step}", xticks=[], yticks=[])


def main(arguments=None):
    """Trains and draws all networks; returns their accuracies by label."""
    args = argument_parser(__doc__, iterations=1500).parse_args(arguments)
    figure, rows = pyplot.subplots(len(NETWORKS), 6, figsize=(12, 6))
    accuracies = {}
    for panels, (label, network) in zip(rows, NETWORKS.items(), strict=True):
        flow, accuracies[label] = fit(*network, args.iterations)
        draw(panels, flow)
        panels[0].set_ylabel(f"{label}\n{accuracies[label]:.1%}")
        print(f"{label}: accuracy {accuracies[label]:.1%}")
    save_figure(figure, args.out, "rings.png")
    return accuracies


if __name__ == "__main__":
    main()
