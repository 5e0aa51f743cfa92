"""A map whose trajectories must cross (Sander et al. 2021, Fig. 1).

x to -x^3 turns the line round. The steps of a ResNet follow a first-order ODE, whose trajectories
on a line cannot cross, so that it does no better than to send all to 0; a momentum network has a
speed and crosses.

How far it reaches depends on γ and on the first speed. On a line f is a force with a potential, and
with v[0] = 0 friction only takes energy away: where 1 ends at -1 the potential of 1 is the higher
one, where -1 ends at 1 the lower one, so that the equation cannot have both. With γ nearer to 1
there is less friction, and with v[0] = f(x[0]) there is a speed to lose.
"""

import torch
from figures import SPECS, options, save
from matplotlib import pyplot

import odenet

STEPS = 15


NETWORKS = {  # name: file, what is added to its `discretise` line, constants
    "ResNet": ("crossing_resnet.ode", "", {}),
    "Momentum ResNet": ("crossing.ode", "", {}),
    "with v[0] = f(x[0])": ("crossing.ode", " start v[0] = f(x[0])", {}),
    "and γ = 0.99": ("crossing.ode", " start v[0] = f(x[0])", {"gamma": 0.99}),
}


def fit(spec, start, constants, iterations, seed=0):
    """A flow of 15 steps fitted to -x^3 on [-1, 1], and its mean squared error."""
    torch.manual_seed(seed)
    text = (SPECS / spec).read_text(encoding="utf-8")
    program = odenet.loads(text.replace("momentum(γ = 0.9)", "momentum(γ = 0.9)" + start))
    flow = program.flow(1, STEPS, space=0, **constants).double()
    flow.memory = "stored"  # a network as small as this one is faster so
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
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
    x = torch.linspace(-1, 1, 21, dtype=torch.float64)[:, None]
    with torch.no_grad():
        path = torch.stack([state.x for state in flow.trajectory(x)])[..., 0]
    for line, start in zip(path.T, x[:, 0], strict=True):
        axes.plot(line, color=pyplot.cm.coolwarm(float(start + 1) / 2))
    axes.set(title=title, xlabel="step")


def main(arguments=None):
    """Fits the networks and draws them; gives the error of each, and where -1 and 1 end."""
    given = options(__doc__, iterations=400).parse_args(arguments)
    figure, axes = pyplot.subplots(1, len(NETWORKS), figsize=(14, 3), sharey=True)
    found = {}
    for panel, (name, network) in zip(axes, NETWORKS.items(), strict=True):
        flow, error = fit(*network, given.iterations)
        draw(panel, flow, f"{name}: error {error:.2g}")
        ends = flow(torch.tensor([[-1.0], [1.0]], dtype=torch.float64))[:, 0].tolist()
        print(f"{name}: error {error:.5f}; -1 goes to {ends[0]:.3f}, 1 to {ends[1]:.3f}")
        found[name] = error, ends
    save(figure, given.out, "crossing.png")
    return found


if __name__ == "__main__":
    main()
