"""Four nested rings in two classes (Sander et al. 2021, Fig. 5).

With the same weights in each of 15 steps the ResNet follows one autonomous ODE in the plane and
cannot take the rings apart; the momentum network can.
"""

import math

import torch
from figures import SPECS, options, save
from matplotlib import pyplot
from torch import nn

import odenet

STEPS = 15
NETWORKS = {"ResNet": "rings_resnet.ode", "Momentum ResNet": "rings.ode"}


def rings(count):
    """Points on four rings, ``(4 count, 2)``, and their classes, which alternate."""
    radius = torch.tensor([0.5, 1.0, 1.5, 2.0]).repeat_interleave(count)
    radius = radius + 0.03 * torch.randn(4 * count)
    angle = 2 * math.pi * torch.rand(4 * count)
    points = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    return points, torch.arange(4).repeat_interleave(count) % 2


def fit(spec, iterations, seed=0):
    """A flow with a linear classifier trained on fresh points, and its accuracy on others."""
    torch.manual_seed(seed)
    flow = odenet.load(SPECS / spec).flow(2, STEPS, space=0)
    flow.memory = "stored"
    net = nn.Sequential(flow, nn.Linear(2, 2))
    solver = torch.optim.Adam(net.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(solver, 0.03, total_steps=iterations)
    for _ in range(iterations):
        points, classes = rings(64)
        loss = nn.functional.cross_entropy(net(points), classes)
        solver.zero_grad()
        loss.backward()
        solver.step()
        rate.step()
    points, classes = rings(500)
    with torch.no_grad():
        accuracy = (net(points).argmax(dim=1) == classes).float().mean().item()
    return flow, accuracy


def draw(axes, flow):
    """The points at every third step."""
    torch.manual_seed(1)
    points, classes = rings(200)
    with torch.no_grad():
        states = flow.trajectory(points)
    for panel, step in zip(axes, range(0, STEPS + 1, 3), strict=True):
        x = states[step].x
        panel.scatter(x[:, 0], x[:, 1], c=classes, cmap="coolwarm", s=2)
        panel.set(title=f"step {step}", xticks=[], yticks=[])


def main(arguments=None):
    """Trains both networks and draws them; gives the accuracy of each."""
    given = options(__doc__, iterations=1500).parse_args(arguments)
    figure, axes = pyplot.subplots(2, 6, figsize=(12, 4))
    accuracies = {}
    for row, (name, spec) in zip(axes, NETWORKS.items(), strict=True):
        flow, accuracies[name] = fit(spec, given.iterations)
        draw(row, flow)
        row[0].set_ylabel(f"{name}\n{accuracies[name]:.1%}")
        print(f"{name}: accuracy {accuracies[name]:.1%}")
    save(figure, given.out, "rings.png")
    return accuracies


if __name__ == "__main__":
    main()
