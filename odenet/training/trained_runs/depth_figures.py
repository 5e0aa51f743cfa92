"""Norms, energy and spectra along the depth of flows, each drawn into a panel.

Studies, the page of a report and `odenet plot` all draw them by these.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from odenet.training.figures import COLOURS, GREY, label
from odenet.training.trained_runs.depth_profile import DepthProfile

FLOAT32_EPS = float(np.finfo(np.float32).eps)
MIN_ENERGY_RANGE = (
    0.05  # of E(0), that an axis of energies shows at least: a small change is seen to be small
)


def draw_norms(axes: Axes, flows: Mapping[str, DepthProfile]) -> None:
    """The norm of the state, and of what a step changes of it, on a logarithmic axis."""
    for name, flow, colour, begin in _with_step_offsets(flows):
        places = np.arange(len(flow.changes)) + begin
        axes.semilogy(places, flow.states, "s--", color=colour, label=_legend_label("‖u‖", name))
        axes.semilogy(places, flow.changes, "o-", color=colour, label=_legend_label("‖hF‖", name))
    axes.set(xlabel="step", ylabel="mean norm")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_energy(axes: Axes, flows: Mapping[str, DepthProfile]) -> None:
    """The change of the energy from that before the first step, which the legend names.

    It is relative where all energies begin at another value than 0.
    """
    relative = all(flow.energy[0] for flow in flows.values() if flow.energy)
    axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
    for name, flow, colour, begin in _with_step_offsets(flows):
        if not flow.energy:
            continue
        energy = np.array(flow.energy)
        change = (energy - energy[0]) / (abs(energy[0]) if relative else 1)
        shown = _legend_label(f"E(0) = {energy[0]:.4g}, then {energy_change(flow.energy)}", name)
        axes.plot(np.arange(len(energy)) + begin, change, "o-", color=colour, label=shown)
    axes.set(xlabel="step", ylabel="change of the mean energy E")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if relative:
        low, high = axes.get_ylim()
        axes.set(
            ylim=(min(low, -MIN_ENERGY_RANGE), max(high, MIN_ENERGY_RANGE)),
            ylabel="(E − E(0)) / |E(0)|",
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def energy_change(energy: Sequence[float]) -> str:
    """By how much an energy changes from its first value to its last."""
    first, last = energy[0], energy[-1]
    return f"{(last - first) / abs(first):+.2%}" if first else f"{last - first:+.3g}"


def draw_spectrum(
    axes: Axes, spectrum: Mapping[str, Sequence[complex]], order: int, colour: int = 0
) -> None:
    """Eigenvalues λ of the Jacobian of F on equal axes, and where solutions do not grow.

    Args:
        axes: of the panel.
        spectrum: λ, by the name in the legend.
        order: of the equations: where Y' = λ Y does not grow is a half-plane, where Y'' = λ Y does
            not a half-line; 0 where they are of several, and neither is drawn.
        colour: the first to use.
    """
    values = np.concatenate([np.asarray(found) for found in spectrum.values()])
    reach = 1.15 * (float(np.abs(values).max()) or 1.0)
    noise = rounding_error(values)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axvline(0, color=GREY, linewidth=0.6)
    if order == 1:
        axes.axvspan(-reach, 0, color=COLOURS[2], alpha=0.13, linewidth=0,
                     label="Y' = λ Y does not grow: Re λ ≤ 0")  # fmt: skip
        axes.axvspan(-noise, noise, color=GREY, alpha=0.5, label=f"rounding: |Re λ| ≤ {noise:.1g}")
    elif order == 2:
        axes.plot([-reach, 0], [0, 0], color=COLOURS[2], alpha=0.35, linewidth=7,
                  solid_capstyle="butt", label="Y'' = λ Y does not grow: real λ ≤ 0")  # fmt: skip
    marks = zip(spectrum.items(), COLOURS[colour:] + COLOURS[:colour], ".x+1", strict=False)
    for (name, found), own, mark in marks:
        at = np.asarray(found)
        axes.plot(np.real(at), np.imag(at), mark, markersize=5, color=own, label=label(name))
    axes.set(xlabel="Re λ", ylabel="Im λ", aspect="equal", xlim=(-reach, reach),
             ylim=(-reach, reach))  # fmt: skip


def rounding_error(values: Sequence[complex] | np.ndarray) -> float:
    """The size of a real part that rounding of a float32 Jacobian explains.

    Eigenvalues that meet, as those of a Hamiltonian system do at 0, move by the root of what the
    matrix does (Golub & Van Loan, Matrix Computations, section 7.2.3).
    """
    return float(np.sqrt(FLOAT32_EPS) * np.abs(values).max(initial=0.0))


def largest_real_part(values: Sequence[complex] | np.ndarray) -> str:
    """The largest real part, as 0 where rounding explains it."""
    largest = float(np.real(values).max())
    return "0 within rounding" if abs(largest) <= rounding_error(values) else f"{largest:.3g}"


def _with_step_offsets(
    flows: Mapping[str, DepthProfile],
) -> Iterator[tuple[str, DepthProfile, str, int]]:
    """Each flow with its name where there are several, its colour, and where its steps begin."""
    begin = 0
    for number, (name, flow) in enumerate(flows.items()):
        own = name if len(flows) > 1 else ""
        yield own, flow, COLOURS[number % len(COLOURS)], begin
        begin += len(flow.changes)


def _legend_label(what: str, name: str) -> str:
    return label(f"{name}: {what}" if name else what)
