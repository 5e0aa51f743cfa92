"""What the page measures of a network: norms along the depth of its flows, and hλ of their steps.

A flow is a layer that integrates the equations; λ are eigenvalues of their Jacobian, h is the step.
"""

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

MEASURED_SAMPLES = 8  # size of the batch on which a network is measured
MEASURED_SPECTRA = 2  # eigenvalues are computed at this many steps of a flow: first and last


@dataclass(frozen=True)
class FlowMeasurements:
    """What was measured of the flows of a network.

    Args:
        flows: measurements along the depth, by the names that figures give to flows.
        subject: which weights and samples were measured, in words.
        why_missing: why nothing was measured; else empty.
    """

    flows: Mapping[str, DepthProfile]
    subject: str
    why_missing: str = ""


def measure_untrained(program: Program) -> FlowMeasurements:
    """Measure a program's network with its initial weights, on standard normal inputs.

    These inputs have the mean and the deviation of standardised data.
    """
    if not program.discretised or not program.model.net:
        return FlowMeasurements({}, "", "the file has no `net`, so there are no weights to measure")
    try:
        require_memory(program, MEASURED_SAMPLES)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network, inputs = program.network(), _random_inputs(program)
    except SpecError as error:
        return FlowMeasurements({}, "", error.diagnostics[0].message)
    inputs_text = "tokens drawn at random" if program.vocabulary else "standard normal inputs"
    subject = f"the initial weights (seed 0) on {MEASURED_SAMPLES} {inputs_text}"
    return measure_flows(network.eval(), inputs, subject)


def measure_flows(network: nn.Module, inputs: Tensor, subject: str) -> FlowMeasurements:
    """Measure the flows of a network on a batch.

    Args:
        network: the network, in evaluation mode.
        inputs: the batch, preprocessed as the network takes it.
        subject: which weights and inputs these are, in words.
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
    """Measure the steps of a flow. A unit is a flow behind a step that changes the shape.

    That entry step is not measured.
    """
    if isinstance(module, Unit):
        assert isinstance(inputs, Tensor)
        return depth_profile(module.flow, module.entry(inputs), MEASURED_SPECTRA)
    return depth_profile(module, module.first_state(inputs), MEASURED_SPECTRA)


def _random_inputs(program: Program) -> Tensor:
    """A batch of normal numbers, or of tokens for a language model."""
    shape = (MEASURED_SAMPLES, *(program.input_shape or ()))
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
    # If no equation matches, the last one is taken, which is y' = λ y where that fits the scheme.
    matching = (
        matching_test_equation(stability, model.scheme, model.dynamics, groups)
        or stability.per_equation[-1]
    )
    return stability_figure(matching, _h_lambdas(model, measurements), measurements.subject)


def _h_lambdas(model: Model, measurements: FlowMeasurements) -> dict[str, np.ndarray]:
    """The hλ of measured steps by flow, where λ is that of the test equation.

    For Y'' = F(Y), λ are the square roots of the eigenvalues of the Jacobian of F. If a scheme
    treats a decay -γY separately, λ does not include γ; this is implemented for one unknown of
    first order with a constant γ, and the result is empty for other equations.
    """
    pattern, discretisation, decay = model.scheme.patterns[0], model.discretisation, 0.0
    if model.scheme.decays:
        is_unsupported = len(model.scheme.patterns) > 1 or pattern.order == 2
        if is_unsupported or not pattern.decay or pattern.decay in discretisation.varying:
            return {}
        decay = float(discretisation.constants[pattern.decay])
    h_lambdas: dict[str, np.ndarray] = {}
    for name, flow in measurements.flows.items():
        values = [
            flow.step_sizes[step] * _test_lambdas(np.array(eigenvalues) + decay, pattern.order)
            for step, eigenvalues in flow.eigenvalues.items()
        ]
        h_lambdas[name] = np.concatenate(values)
    return h_lambdas if all(np.isfinite(v).all() for v in h_lambdas.values()) else {}


def _test_lambdas(eigenvalues: np.ndarray, order: int) -> np.ndarray:
    """λ for equations of order 1 or 2, from the eigenvalues of the Jacobian of F."""
    if order == 1:
        return eigenvalues
    roots = np.sqrt(eigenvalues.astype(complex))
    return np.concatenate([roots, -roots])


def measured_depth_figure(measurements: FlowMeasurements) -> Figure | None:
    """The figure of norms and energy along the depth; None if nothing was measured."""
    if not measurements.flows:
        return None
    subject = f"{measurements.subject[0].upper()}{measurements.subject[1:]}"
    return depth_figure(measurements.flows, subject)
