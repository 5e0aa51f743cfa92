"""A map whose trajectories must cross (Sander et al. 2021, Fig. 1).

x to -x^3 turns the line round. The steps of a ResNet follow a first-order ODE, whose trajectories
on a line cannot cross, so that it does no better than to send all to 0; a momentum network has a
speed and crosses.
"""

import torch
from figures import SPECS, options, save
from matplotlib import pyplot

import odenet

STEPS = 15


def fit(spec, iterations, seed=0):
    """A flow of 15 steps fitted to -x^3 on [-1, 1], and its mean squared error."""
    torch.manual_seed(seed)
    flow = odenet.load(SPECS / spec).flow(1, STEPS, space=0)
    flow.memory = "stored"  # a network as small as this one is faster so
    x = torch.linspace(-1, 1, 64)[:, None]
    solver = torch.optim.LBFGS(
        flow.parameters(), max_iter=iterations, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss():
        solver.zero_grad()
        error = (flow(x) + x**3).square().mean()
        error.backward()
        return error

    solver.step(loss)
    return flow, loss().item()


def draw(axes, flow, title):
    """The position of some points at every step."""
    x = torch.linspace(-1, 1, 21)[:, None]
    with torch.no_grad():
        path = torch.stack([state.x for state in flow.trajectory(x)])[..., 0]
    for line, start in zip(path.T, x[:, 0], strict=True):
        axes.plot(line, color=pyplot.cm.coolwarm(float(start + 1) / 2))
    axes.set(title=title, xlabel="step")


def main(arguments=None):
    """Fits both networks and draws them; gives the error of each."""
    given = options(__doc__, iterations=150).parse_args(arguments)
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True)
    errors = {}
    for panel, (name, spec) in zip(axes, NETWORKS.items(), strict=True):
        flow, errors[name] = fit(spec, given.iterations)
        draw(panel, flow, f"{name}: error {errors[name]:.3f}")
        ends = flow(torch.tensor([[-1.0], [1.0]]))[:, 0].tolist()
        print(f"{name}: error {errors[name]:.4f}; -1 goes to {ends[0]:.2f}, 1 to {ends[1]:.2f}")
    save(figure, given.out, "crossing.png")
    return errors


NETWORKS = {"ResNet": "crossing_resnet.ode", "Momentum ResNet": "crossing.ode"}

if __name__ == "__main__":
    main()
