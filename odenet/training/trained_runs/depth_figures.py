"""Norms, energies and Jacobian eigenvalues along the depth of flows, drawn on matplotlib axes.

`odenet study`, `odenet report` and `odenet plot` use these functions.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from odenet.training.figures import COLOURS, GREY, figure_text
from odenet.training.trained_runs.depth_profile import DepthProfile

Spectrum = Mapping[str, Sequence[complex]]  # eigenvalues, by their name in the legend
FLOAT32_EPS = float(np.finfo(np.float32).eps)
MIN_ENERGY_RANGE = 0.05  # share of E(0) that the axis always shows: small changes look small


def draw_norms(axes: Axes, flows: Mapping[str, DepthProfile]) -> None:
    """Draw the norm of the state and the norm of its change per step, on a logarithmic axis."""
    for name, flow, colour, first_step in _curves(flows):
        steps = np.arange(len(flow.change_norms)) + first_step
        axes.semilogy(steps, flow.state_norms, "s--", color=colour, label=_legend("‖u‖", name))
        axes.semilogy(steps, flow.change_norms, "o-", color=colour, label=_legend("‖hF‖", name))
    axes.set(xlabel="step", ylabel="mean norm")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_energy(axes: Axes, flows: Mapping[str, DepthProfile]) -> None:
    """Draw how far the energy is from its initial value E(0), which the legend states.

    Changes are relative to |E(0)| unless one of the flows has E(0) = 0.
    """
    relative = all(flow.energies[0] for flow in flows.values() if flow.energies)
    axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
    for name, flow, colour, first_step in _curves(flows):
        if not flow.energies:
            continue
        energy = np.array(flow.energies)
        change = (energy - energy[0]) / (abs(energy[0]) if relative else 1)
        legend = _legend(f"E(0) = {energy[0]:.4g}, then {energy_change(flow.energies)}", name)
        axes.plot(np.arange(len(energy)) + first_step, change, "o-", color=colour, label=legend)
    axes.set(xlabel="step", ylabel="change of the mean energy E")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if relative:
        low, high = axes.get_ylim()
        low, high = min(low, -MIN_ENERGY_RANGE), max(high, MIN_ENERGY_RANGE)
        axes.set(ylim=(low, high), ylabel="(E − E(0)) / |E(0)|")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def energy_change(energy: Sequence[float]) -> str:
    """The change from the first energy to the last, as text: in per cent unless the first is 0."""
    first, last = energy[0], energy[-1]
    return f"{(last - first) / abs(first):+.2%}" if first else f"{last - first:+.3g}"


def draw_spectrum(axes: Axes, spectrum: Spectrum, order: int, first_colour: int = 0) -> None:
    """Draw eigenvalues λ of the Jacobian of F, and the region where solutions do not grow.

    Args:
        axes: what to draw on.
        spectrum: the eigenvalues, by their name in the legend.
        order: the order of the equations. Solutions of Y' = λ Y do not grow in the left half-plane,
            those of Y'' = λ Y on the negative real axis; with 0, for mixed orders, no region.
        first_colour: the index in `COLOURS` of the first colour.
    """
    all_values = np.concatenate([np.asarray(values) for values in spectrum.values()])
    limit = 1.15 * (float(np.abs(all_values).max()) or 1.0)
    tolerance = rounding_error(all_values)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axvline(0, color=GREY, linewidth=0.6)
    if order == 1:
        axes.axvspan(-limit, 0, color=COLOURS[2], alpha=0.13, linewidth=0,
                     label="Y' = λ Y does not grow: Re λ ≤ 0")  # fmt: skip
        legend = f"rounding: |Re λ| ≤ {tolerance:.1g}"
        axes.axvspan(-tolerance, tolerance, color=GREY, alpha=0.5, label=legend)
    elif order == 2:
        axes.plot([-limit, 0], [0, 0], color=COLOURS[2], alpha=0.35, linewidth=7,
                  solid_capstyle="butt", label="Y'' = λ Y does not grow: real λ ≤ 0")  # fmt: skip
    colours = COLOURS[first_colour:] + COLOURS[:first_colour]
    for (name, values), colour, marker in zip(spectrum.items(), colours, ".x+1", strict=False):
        x, y = np.real(np.asarray(values)), np.imag(np.asarray(values))
        axes.plot(x, y, marker, markersize=5, color=colour, label=figure_text(name))
    axes.set(xlabel="Re λ", ylabel="Im λ", aspect="equal", xlim=(-limit, limit),
             ylim=(-limit, limit))  # fmt: skip


def rounding_error(values: Sequence[complex] | np.ndarray) -> float:
    """The largest real part of eigenvalues that float32 rounding of the Jacobian can explain.

    Double eigenvalues, such as 0 in a Hamiltonian system, move by the square root of a perturbation
    of the matrix (Golub & Van Loan, Matrix Computations, section 7.2.3).
    """
    return float(np.sqrt(FLOAT32_EPS) * np.abs(values).max(initial=0.0))


def largest_real_part(values: Sequence[complex] | np.ndarray) -> str:
    """The largest real part as text; "0 within rounding" where rounding explains it."""
    largest = float(np.real(values).max())
    return "0 within rounding" if abs(largest) <= rounding_error(values) else f"{largest:.3g}"


def _curves(flows: Mapping[str, DepthProfile]) -> Iterator[tuple[str, DepthProfile, str, int]]:
    """Each flow with its legend name, its colour, and the number of its first step.

    The steps of all flows are numbered consecutively. A single flow needs no name.
    """
    first_step = 0
    for number, (name, flow) in enumerate(flows.items()):
        legend_name = name if len(flows) > 1 else ""
        yield legend_name, flow, COLOURS[number % len(COLOURS)], first_step
        first_step += len(flow.change_norms)


def _legend(quantity: str, flow: str) -> str:
    return figure_text(f"{flow}: {quantity}" if flow else quantity)
