"""What the page measures of a network: its flows along their depth, and the hλ of their steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from odenet.analyse.scheme_on_dynamics import matching_test_equation, scheme_stability
from odenet.compiler import Program
from odenet.diagnostics import SpecError
from odenet.memory_limit import require_memory
from odenet.model.typed.program import Model
from odenet.report.figures import Figure, depth_figure, stability_figure
from odenet.runtime.flow import Flow
from odenet.runtime.unit import Unit
from odenet.training.flows import flow_inputs, units_and_flows
from odenet.training.trained_runs.depth_profile import DepthProfile, depth_profile

SAMPLES = 8  # on which a network is measured
SPECTRA = 2  # steps of each flow whose eigenvalues are computed: the first and the last


@dataclass(frozen=True)
class FlowMeasurements:
    """What was measured of the flows of a network.

    Args:
        flows: measurements along the depth, by the names of flows in figures.
        subject: the weights and the samples, in words.
        why_missing: why nothing was measured; else empty.
    """

    flows: Mapping[str, DepthProfile]
    subject: str
    why_missing: str = ""


def measure_untrained(program: Program) -> FlowMeasurements:
    """Measure a program's network with its initial weights, on standard normal inputs.

    Standardised data have the same mean and deviation.
    """
    if not program.discretised or not program.model.net:
        return FlowMeasurements({}, "", "the file has no `net`, so there are no weights to measure")
    try:
        require_memory(program, SAMPLES)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network, inputs = program.network(), _random_inputs(program)
    except SpecError as error:
        return FlowMeasurements({}, "", error.diagnostics[0].message)
    kind = "tokens drawn at random" if program.vocabulary else "standard normal inputs"
    subject = f"the initial weights (seed 0) on {SAMPLES} {kind}"
    return measure_flows(network.eval(), inputs, subject)


def measure_flows(network: nn.Module, inputs: Tensor, subject: str) -> FlowMeasurements:
    """Measure the flows of a network on a batch.

    Args:
        network: in evaluation mode.
        inputs: the batch, preprocessed as the network takes it.
        subject: the weights and the inputs, in words.
    """
    modules = units_and_flows(network)
    with torch.no_grad():
        module_inputs = flow_inputs(network, inputs)
        measurements = {
            name: _measure_module(module, module_inputs[name])
            for name, module in modules.items()
            if name in module_inputs
        }
    flows = {f"layer {name}": flow for name, flow in measurements.items() if flow is not None}
    if len(flows) == 1:
        flows = {"the flow": next(iter(flows.values()))}
    is_finite = all(np.isfinite([*f.state_norms, *f.change_norms]).all() for f in flows.values())
    if not flows or not is_finite:
        reason = "the states are not finite" if flows else "its steps are adaptive"
        return FlowMeasurements({}, subject, f"nothing was measured on {subject}: {reason}")
    return FlowMeasurements(flows, subject)


def _measure_module(
    module: Unit | Flow, inputs: Tensor | tuple[Tensor, ...]
) -> DepthProfile | None:
    """Measure the steps of a flow; of a unit, those after the first, which changes the shape."""
    if isinstance(module, Unit):
        assert isinstance(inputs, Tensor)
        return depth_profile(module.flow, module.entry(inputs), SPECTRA)
    return depth_profile(module, module.first_state(inputs), SPECTRA)


def _random_inputs(program: Program) -> Tensor:
    """A batch of normal numbers, or of tokens for a language model."""
    shape = (SAMPLES, *(program.input_shape or ()))
    if program.vocabulary is not None:
        return torch.randint(program.vocabulary, shape)
    return torch.randn(shape)


def stability_of_weights(program: Program, measurements: FlowMeasurements) -> Figure | str:
    """The region of stability with the hλ of measured flows; or the reason why there is none."""
    model = program.model
    if not program.discretised:
        return "the file has no `discretise` line"
    if model.discretisation.tolerance is not None:
        return "steps are adaptive, and solved to a tolerance"
    stability = scheme_stability(model, program.derivation)
    if isinstance(stability, str):
        return stability
    groups = model.discretisation.groups
    tested = (
        matching_test_equation(stability, model.scheme, model.dynamics, groups)
        or stability.per_equation[-1]
    )
    return stability_figure(tested, _points(model, measurements), measurements.subject)


def _points(model: Model, measurements: FlowMeasurements) -> dict[str, np.ndarray]:
    """The hλ of measured steps by flow, where λ is that of the test equation.

    For Y'' = F(Y) these are square roots of the eigenvalues of F. If a scheme treats a decay
    separately, λ does not include it; then λ is known only for equations with one unknown, and the
    result is empty for others.
    """
    first, discretisation, decay = model.scheme.patterns[0], model.discretisation, 0.0
    if model.scheme.decays:
        is_unknown = len(model.scheme.patterns) > 1 or first.order == 2
        if is_unknown or not first.decay or first.decay in discretisation.varying:
            return {}
        decay = float(discretisation.constants[first.decay])
    points: dict[str, np.ndarray] = {}
    for name, flow in measurements.flows.items():
        values = [
            flow.step_sizes[step] * _frequencies(np.array(eigenvalues) + decay, first.order)
            for step, eigenvalues in flow.eigenvalues.items()
        ]
        points[name] = np.concatenate(values)
    return points if all(np.isfinite(values).all() for values in points.values()) else {}


def _frequencies(eigenvalues: np.ndarray, order: int) -> np.ndarray:
    """λ for equations of an order, from the eigenvalues of the Jacobian of F."""
    if order == 1:
        return eigenvalues
    roots = np.sqrt(eigenvalues.astype(complex))
    return np.concatenate([roots, -roots])


def depth_of(measurements: FlowMeasurements) -> Figure | None:
    """Norms and energy along the depth; None if nothing was measured."""
    if not measurements.flows:
        return None
    subject = f"{measurements.subject[0].upper()}{measurements.subject[1:]}"
    return depth_figure(measurements.flows, subject)
