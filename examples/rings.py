"""Four nested rings in two classes (Sander et al. 2021, Fig. 5).

With the same weights in each of 15 steps the ResNet follows one autonomous ODE in the plane and
cannot take the rings apart; the momentum network can. The paper has γ = 0.9 in its experiments; the
authors' published script for this one has 0.99, and a rate of 0.2.
"""

import torch
from figures import SPECS, options, save
from matplotlib import pyplot
from torch import nn

import odenet
from odenet.model.tables.recipe import Call
from odenet.training.data.data_sets import load_data

STEPS = 15
NETWORKS = {  # spec, settings, and the highest learning rate
    "ResNet": ("rings_resnet.ode", {}, 0.03),
    "Momentum ResNet": ("rings.ode", {}, 0.03),
    "and γ = 0.99": ("rings.ode", {"γ": 0.99}, 0.2),
}


def rings():
    """Points of the data set `rings(4000, 0.015, 4)`, ``(n, 2)``, and classes: to learn, to test.

    All is twice as large as there: the outermost radius is 2, which small weights can pull apart.
    """
    data = load_data(Call("rings", (), {"n": 4000, "noise": 0.015, "rings": 4}), (2,))
    return [(2 * split.inputs, split.labels) for split in (data.train, data.test)]


def fit(spec, settings, highest, iterations, seed=0):
    """A flow with a linear classifier trained on the rings, and its accuracy on other points."""
    torch.manual_seed(seed)
    flow = odenet.load(SPECS / spec, set=settings).flow(2, STEPS, space=0)
    flow.memory = "stored"
    net = nn.Sequential(flow, nn.Linear(2, 2))
    solver = torch.optim.Adam(net.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(solver, highest, total_steps=iterations)
    (points, classes), (others, their_classes) = rings()
    for _ in range(iterations):
        batch = torch.randint(len(points), (256,))
        loss = nn.functional.cross_entropy(net(points[batch]), classes[batch])
        solver.zero_grad()
        loss.backward()
        solver.step()
        rate.step()
    with torch.no_grad():
        accuracy = (net(others).argmax(dim=1) == their_classes).float().mean().item()
    return flow, accuracy


def draw(axes, flow):
    """The points at every third step."""
    _, (points, classes) = rings()
    with torch.no_grad():
        states = flow.trajectory(points)
    for panel, step in zip(axes, range(0, STEPS + 1, 3), strict=True):
        x = states[step].x
        panel.scatter(x[:, 0], x[:, 1], c=classes, cmap="coolwarm", s=2)
        panel.set(title=f"step {step}", xticks=[], yticks=[])


def main(arguments=None):
    """Trains the networks and draws them; gives the accuracy of each."""
    given = options(__doc__, iterations=1500).parse_args(arguments)
    figure, axes = pyplot.subplots(len(NETWORKS), 6, figsize=(12, 6))
    accuracies = {}
    for row, (name, how) in zip(axes, NETWORKS.items(), strict=True):
        flow, accuracies[name] = fit(*how, given.iterations)
        draw(row, flow)
        row[0].set_ylabel(f"{name}\n{accuracies[name]:.1%}")
        print(f"{name}: accuracy {accuracies[name]:.1%}")
    save(figure, given.out, "rings.png")
    return accuracies


if __name__ == "__main__":
    main()
