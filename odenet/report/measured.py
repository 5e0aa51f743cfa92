"""What a page measures on a network: its flows along their depth, and the hλ of their steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from odenet.analyse.scheme_on_dynamics import decisive, stability_of
from odenet.compiler import Program
from odenet.diagnostics import SpecError
from odenet.memory_limit import require_memory
from odenet.model.typed.program import Model
from odenet.report.figures import Figure, depth_figure, stability_figure
from odenet.runtime.flow import Flow
from odenet.runtime.unit import Unit
from odenet.training.flows import flow_inputs, units_and_flows
from odenet.training.trained_runs.depth_profile import DepthProfile, depth_profile

SAMPLES = 8
SPECTRA = 2  # steps of a flow whose eigenvalues are drawn: the first and the last


@dataclass(frozen=True)
class Measured:
    """A network measured.

    Args:
        flows: along their depth, by the name they have in figures.
        whose: the weights and the samples, in words.
        missing: why there is nothing; else empty.
    """

    flows: Mapping[str, DepthProfile]
    whose: str
    missing: str = ""


def measured_new(program: Program) -> Measured:
    """The network of a program with weights as they are drawn at seed 0, on standard normal inputs.

    Data that are standardised have the mean and the deviation of these.
    """
    if not program.discretised or not program.model.net:
        return Measured({}, "", "the file has no `net`, so there are no weights to measure")
    try:
        require_memory(program, SAMPLES)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network, inputs = program.network(), _inputs(program)
    except SpecError as error:
        return Measured({}, "", error.diagnostics[0].message)
    drawn = "tokens drawn at random" if program.vocabulary else "standard normal inputs"
    return measured(network.eval(), inputs, f"the initial weights (seed 0) on {SAMPLES} {drawn}")


def measured(network: nn.Module, inputs: Tensor, whose: str) -> Measured:
    """A network measured on inputs as it takes them.

    Args:
        network: in evaluation mode.
        inputs: a batch.
        whose: the weights and the inputs, in words.
    """
    parts = units_and_flows(network)
    with torch.no_grad():
        entries = flow_inputs(network, inputs)
        found = {
            name: _along(part, entries[name]) for name, part in parts.items() if name in entries
        }
    known = {f"layer {name}": flow for name, flow in found.items() if flow is not None}
    if len(known) == 1:
        (only,) = known.values()
        known = {"the flow": only}
    finite = all(
        np.isfinite([*flow.state_norms, *flow.change_norms]).all() for flow in known.values()
    )
    if not known or not finite:
        why = "the states are not finite" if known else "its steps are adaptive"
        return Measured({}, whose, f"nothing was measured on {whose}: {why}")
    return Measured(known, whose)


def _along(part: Unit | Flow, entry: Tensor | tuple[Tensor, ...]) -> DepthProfile | None:
    """The steps of a flow, or those of a unit after its first."""
    if isinstance(part, Unit):
        assert isinstance(entry, Tensor)
        return depth_profile(part.flow, part.entry(entry), SPECTRA)
    return depth_profile(part, part.first_state(entry), SPECTRA)


def _inputs(program: Program) -> Tensor:
    shape = (SAMPLES, *(program.input_shape or ()))
    if program.vocabulary is not None:
        return torch.randint(program.vocabulary, shape)
    return torch.randn(shape)


def stability_of_weights(program: Program, found: Measured) -> Figure | str:
    """The region of stability with the hλ of measured flows; why there is none, in words."""
    model = program.model
    if not program.discretised:
        return "the file has no `discretise` line"
    if model.discretisation.tolerance is not None:
        return "steps are adaptive, and solved to a tolerance"
    stability = stability_of(model, program.derivation)
    if isinstance(stability, str):
        return stability
    chosen = model.discretisation
    tested = decisive(stability, model.scheme, model.dynamics, chosen.groups)
    drawn = tested or stability.tested[-1]
    points = _points(model, found)
    return stability_figure(drawn, points, found.whose)


def _points(model: Model, found: Measured) -> dict[str, np.ndarray]:
    """hλ of the steps that were looked at; λ is what the test equation calls so.

    Of Y'' = F(Y) these are the roots of F's eigenvalues. Where a scheme takes a decay apart, λ is
    without it, which is known where there is one unknown alone.
    """
    first, chosen, decay = model.scheme.patterns[0], model.discretisation, 0.0
    if model.scheme.decays:
        several = len(model.scheme.patterns) > 1
        if several or first.order == 2 or not first.decay or first.decay in chosen.varying:
            return {}
        decay = float(chosen.constants[first.decay])
    points: dict[str, np.ndarray] = {}
    for name, flow in found.flows.items():
        values = [
            flow.step_sizes[step] * _frequencies(np.array(eigenvalues) + decay, first.order)
            for step, eigenvalues in flow.eigenvalues.items()
        ]
        points[name] = np.concatenate(values)
    return points if all(np.isfinite(values).all() for values in points.values()) else {}


def _frequencies(eigenvalues: np.ndarray, order: int) -> np.ndarray:
    if order == 1:
        return eigenvalues
    roots = np.sqrt(eigenvalues.astype(complex))
    return np.concatenate([roots, -roots])


def depth_of(found: Measured) -> Figure | None:
    """Norms and energy along the depth; None where nothing was measured."""
    if not found.flows:
        return None
    return depth_figure(found.flows, f"{found.whose[0].upper()}{found.whose[1:]}")
