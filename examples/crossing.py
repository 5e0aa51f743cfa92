"""A map whose trajectories must cross (Sander et al. 2021, Fig. 1).

The map from x to -x^3 reverses the order of the points of a line. The steps of a ResNet follow a
first-order ODE. On a line its trajectories cannot cross, so the best that a ResNet can do is to
send every point to 0. A momentum network has a velocity v besides its position x, so its positions
cross.

How far they get depends on γ and on the initial velocity. On a line f is a force with a potential,
and if v[0] = 0, friction only takes energy away. For 1 to end at -1, the potential at 1 has to be
the higher one; for -1 to end at 1, it has to be the lower one. The equation cannot do both. With γ
closer to 1 there is less friction, and v[0] = f(x[0]) starts the points with kinetic energy.
"""

import torch
from matplotlib import pyplot
from shared import SPECS, argument_parser, save_figure

import odenet

STEPS = 15
NETWORKS = {  # by label: spec, text appended to its `discretise` line, values of constants
    "ResNet": ("crossing_resnet.ode", "", {}),
    "Momentum ResNet": ("crossing.ode", "", {}),
    "with v[0] = f(x[0])": ("crossing.ode", " start v[0] = f(x[0])", {}),
    "and γ = 0.99": ("crossing.ode", " start v[0] = f(x[0])", {"gamma": 0.99}),
}


def fit(spec, start, constants, iterations, seed=0):
    """Fits a flow of 15 steps to -x^3 on [-1, 1].

    Args:
        spec: a file in `specs`.
        start: the initial velocity, as the end of the `discretise` line of that file.
        constants: values of the flow's constants, such as gamma.
        iterations: number of iterations of L-BFGS.
        seed: the seed of the initial weights.

    Returns:
        The flow and its mean squared error.
    """
    torch.manual_seed(seed)
    text = (SPECS / spec).read_text(encoding="utf-8")
    program = odenet.loads(text.replace("momentum(γ = 0.9)", "momentum(γ = 0.9)" + start))
    flow = program.flow(channels=1, steps=STEPS, space=0, **constants).double()
    flow.memory = "stored"  # the network is tiny, so storing its activations is faster
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    optimizer = torch.optim.LBFGS(
        flow.parameters(), max_iter=iterations, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        error = (flow(x) + x**3).square().mean()
        error.backward()
        return error

    optimizer.step(loss)
    return flow, loss().item()


def draw(axes, flow, title):
    """Draws the position of 21 points after every step."""
    x = torch.linspace(-1, 1, 21, dtype=torch.float64)[:, None]
    with torch.no_grad():
        positions = torch.stack([state.x for state in flow.trajectory(x)])[..., 0]
    for trajectory, x0 in zip(positions.T, x[:, 0], strict=True):
        axes.plot(trajectory, color=pyplot.cm.coolwarm(float(x0 + 1) / 2))
    axes.set(title=title, xlabel="step")


def main(arguments=None):
    """Fits and draws all networks; returns, by label, the error and where -1 and 1 end."""
    args = argument_parser(__doc__, iterations=400).parse_args(arguments)
    figure, panels = pyplot.subplots(1, len(NETWORKS), figsize=(14, 3), sharey=True)
    results = {}
    for axes, (label, network) in zip(panels, NETWORKS.items(), strict=True):
        flow, error = fit(*network, args.iterations)
        draw(axes, flow, f"{label}: error {error:.2g}")
        ends = flow(torch.tensor([[-1.0], [1.0]], dtype=torch.float64))[:, 0].tolist()
        print(f"{label}: error {error:.5f}; -1 goes to {ends[0]:.3f}, 1 to {ends[1]:.3f}")
        results[label] = error, ends
    save_figure(figure, args.out, "crossing.png")
    return results


if __name__ == "__main__":
    main()
