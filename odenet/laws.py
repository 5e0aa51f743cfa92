"""Measures the laws of a compiled module: adjoints, round trip, gradients, energy, spectrum.

`odenet check` does so with small random weights and inputs in double precision. The measurements
find faults of the compiler and the runtime, and show the size of rounding errors. They prove
nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from odenet import runtime
from odenet.compiler import Program
from odenet.counted import counted
from odenet.measures import LinearMap, adjoint_gap, norm, output_and_gradients, relative_error
from odenet.memory_limit import require_memory_for_flow
from odenet.model.reading.build import DEFAULT_SPACE
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.given_modules import GIVEN_MODULES
from odenet.runtime import Flow

CHANNELS, STEPS, AXIS_LENGTH, BATCH = 4, 6, 5, 2
CORNER_LENGTH_3D = 3  # grid points along an axis where a spectrum is measured in three dimensions
EPS = torch.finfo(torch.float64).eps
SLACK = 1e3  # factor by which a measured error may exceed the propagated rounding error
PERTURBATION = 1e-13  # relative size, to measure how errors are amplified
MAX_STATE_NORM = 1e100  # larger states are not measured: their squares overflow
MAX_BOUND = 1e-2  # of relative errors; larger ones would be meaningless
MIN_EXPONENT = 0.7  # of h in the drift of a conserved energy; it is 1 for methods of order 1


@dataclass(frozen=True)
class Law:
    """The measurement of one law.

    Args:
        name: the name of the law, such as "round trip".
        measured: the error, or for the energy the exponent of its drift in h; NaN if not measured.
        bound: an upper bound for errors, a lower bound for the exponent.
        holds: whether `measured` satisfies the bound; None if nothing could be measured, since
            values overflow.
        text: the measurement in words.
    """

    name: str
    measured: float
    bound: float
    holds: bool | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return asdict(self)


def measure(program: Program, seed: int = 0) -> list[Law]:
    """Measure every law that applies to a program.

    Args:
        program: the compiled specification.
        seed: the seed of the random weights and inputs.

    Raises:
        SpecError: not even a small flow fits into the memory of this machine.
    """
    missing = [m.name for m in program.model.given_maps if m.name not in GIVEN_MODULES]
    if missing:
        name = program.model.spellings[missing[0]]
        return [_unmeasured("laws", f"the module of `{name}` is given from Python")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        axis_count = program.model.axes if program.model.axes is not None else DEFAULT_SPACE
        shape = (BATCH, _input_channels(program), *(AXIS_LENGTH,) * axis_count)
        steps = _step_count(program)
        require_memory_for_flow(program, shape, steps)
        flow = program.flow(shape[1], steps).double()
        for ramp in flow.ramped_constants():
            ramp.move_to(fraction=1)  # its end
        for parameter in flow.parameters():
            # Parameters that start at 0 would hide mistakes.
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        _meet_conditions(program, flow)
        u = torch.randn(shape, dtype=torch.float64)
        return [*_adjoint_law(program, flow), *_inverse_laws(flow, u),
                *_energy_law(program, flow, u), *_spectrum_law(program, flow, u)]  # fmt: skip


@torch.no_grad()
def _meet_conditions(program: Program, flow: Flow) -> None:
    """Make nonnegative the learned numbers and gains that the verdict assumes to be nonnegative."""
    for assumption in program.certificate.assumptions:
        if assumption.kind not in ("sign", "gain") or assumption.by_construction:
            continue
        for name, parameter in flow.named_parameters():
            # A name that Python or the flow reserves has a "_" appended in the module.
            module, _, tensor = name.partition(".")
            if module.removesuffix("_") == assumption.subject and not tensor.endswith("bias"):
                parameter.abs_()


def _step_count(program: Program) -> int:
    """The number of steps: STEPS, or the length of a list of constants."""
    discretisation = program.model.discretisation_or_none
    varying = discretisation.varying.values() if discretisation else ()
    lengths = [c.length for c in varying if c.length]
    return lengths[0] if lengths else STEPS


def _input_channels(program: Program) -> int:
    """A number of input channels that is divisible by all groups of layers and operators."""
    model = program.model
    groups = [layer.groups for definition in model.maps.values() for layer in definition.layers]
    groups += [parameter.groups for parameter in model.parameters.values()]
    return math.lcm(CHANNELS, *groups) * program.model.dynamics.input_parts


def _bounded_law(name: str, measured: float, bound: float, description: str) -> Law:
    """A law that holds if an error is at most a bound; `description` says what the error is."""
    text = f"{description} {measured:.1e}, at most {bound:.1e} allowed"
    return Law(name, measured, bound, measured <= bound, text)


def _unmeasured(name: str, why: str) -> Law:
    return Law(name, math.nan, math.nan, None, f"not measured: {why}")


def _adjoint_law(program: Program, flow: Flow) -> Iterator[Law]:
    """Measure ⟨K x, y⟩ = ⟨x, Kᵀ y⟩ for all operators of a flow."""
    gaps = [0.0]
    for name in flow.operators:
        parameters = program.model.parameters.values()
        parameter = next(p for p in parameters if p.name in (name, name.removesuffix("_")))
        K: Tensor = getattr(flow, name)[0].detach()  # of the first step
        if parameter.is_diagonal:
            continue
        operator = _linear_map(parameter, parameter.operator.function, K)
        adjoint = _linear_map(parameter, parameter.operator.adjoint, K)
        channels = flow.channels // program.model.dynamics.input_parts
        width = parameter.width_in
        input_channels = channels if width is None else int(width.channels(channels))
        x = torch.randn(BATCH, input_channels, *(AXIS_LENGTH,) * flow.space, dtype=K.dtype)
        gaps.append(adjoint_gap(operator, adjoint, x, torch.randn_like(operator(x))))
    if not all(map(math.isfinite, gaps)):
        yield _unmeasured("adjoints", "the operators' values leave the range of numbers")
    elif flow.operators:
        description = "relative gap of ⟨Kx, y⟩ and ⟨x, Kᵀy⟩"
        yield _bounded_law("adjoints", max(gaps), SLACK * EPS, description)


def _linear_map(parameter: DeclaredParameter, function: str, K: Tensor) -> LinearMap:
    """The map x -> f(x, K), where `function` is the name of f in generated code."""
    namespace = dict(vars(runtime))
    for line in parameter.kind.imports:
        exec(line, namespace)
    keywords = parameter.operator.keywords(parameter.options, K.shape[0])
    return lambda x: namespace[function](x, K, **keywords)


def _inverse_laws(flow: Flow, u: Tensor) -> Iterator[Law]:
    """Measure the error of the inverse, and of gradients that are computed from rebuilt states."""
    if not flow.reversible:
        return
    flow.eval()
    with torch.no_grad():
        state = start = flow.initial(u)
        for step in range(flow.steps):
            state = flow.advance(state, step)
        rebuilt = flow.inverse(state)
    in_range = norm(state) < MAX_STATE_NORM
    error = relative_error(rebuilt, start)
    growth = _amplification(flow, state, rebuilt) if in_range and math.isfinite(error) else 1.0
    bound = SLACK * flow.steps * EPS * growth
    if not in_range or bound > MAX_BOUND:
        text = f"amplify rounding {growth:.0e} times" if in_range else "leave the range of numbers"
        reason = f"{flow.steps} steps this long {text}"
        yield from (_unmeasured(name, reason) for name in ("round trip", "gradient"))
        return
    description = f"relative error after {counted(flow.steps, 'step')} and back"
    yield _bounded_law("round trip", error, bound, description)
    yield _gradient_law(flow, u, min(SLACK * bound, MAX_BOUND))


def _gradient_law(flow: Flow, u: Tensor, bound: float) -> Law:
    """Compare the gradients from rebuilt states with those from stored states."""
    flow.train()
    rebuilt = output_and_gradients(flow, u, "reversible").values()
    stored = output_and_gradients(flow, u, "stored").values()
    if not all(bool(t.isfinite().all()) for t in stored):
        return _unmeasured("gradient", "gradients leave the range of numbers")
    error = relative_error(rebuilt, stored)
    return _bounded_law("gradient", error, bound, "relative difference of rebuilt and stored")


def _amplification(flow: Flow, end_state: tuple[Tensor, ...], rebuilt: tuple[Tensor, ...]) -> float:
    """The factor by which the inverse amplifies a small relative error of the last state."""
    perturbed = [t * (1 + PERTURBATION * torch.randn_like(t)) for t in end_state]
    with torch.no_grad():
        perturbed_start = flow.inverse(type(end_state)(*perturbed))
    end_error = relative_error(perturbed, end_state)
    start_error = relative_error(perturbed_start, rebuilt)
    return max(1.0, start_error / end_error) if end_error else 1.0


def _largest_frequency(flow: Flow) -> float | None:
    """A bound on the frequencies of all steps; None if the flow has no `frequency_bound`."""
    try:
        return float(max(flow.frequency_bound(step) for step in range(flow.steps)))
    except NotImplementedError:
        return None


def _energy_law(program: Program, flow: Flow, u: Tensor) -> Iterator[Law]:
    """Measure the exponent p of the drift h^p of a conserved energy, with equal steps."""
    energy = program.certificate.energy
    if energy is None or not energy.conserved or type(flow).energy is Flow.energy:
        return
    if flow.varying:  # the law is about equal steps
        return
    h = float(getattr(flow, "h", 0.0))
    if h <= 0:
        return
    # The drift is a power of h only if h is small against the frequencies.
    if frequency := _largest_frequency(flow):
        h = min(h, 1 / frequency)
    order = max(pattern.order for pattern in program.model.scheme.patterns)
    # over the same time with steps of h/4 and of h/8
    drifts = [_energy_drift(flow, u, h / subdivision, subdivision, order) for subdivision in (4, 8)]
    if not all(map(math.isfinite, drifts)):
        yield _unmeasured("energy", "it leaves the range of numbers")
        return
    if drifts[1] <= SLACK * EPS:
        yield Law("energy", 0.0, 0.0, True, "conserved to rounding")
        return
    exponent = math.log2(max(drifts[0], EPS) / drifts[1])
    text = f"drift shrinks as h^{exponent:.1f}, from {drifts[0]:.1e} to {drifts[1]:.1e}"
    yield Law("energy", exponent, MIN_EXPONENT, exponent > MIN_EXPONENT, text)


@torch.no_grad()
def _energy_drift(flow: Flow, u: Tensor, h: float, subdivision: int, order: int) -> float:
    """The largest relative change of the energy over 3 · subdivision steps of size h."""
    flow.eval()
    original_h, flow.h = flow.h, h
    state = flow.advance(_consistent_state(flow, flow.initial(u), h, order), 0)
    initial = flow.energy(state, 0)
    largest_change = 0.0
    for _ in range(3 * subdivision):
        state = flow.advance(state, 0)
        change = (flow.energy(state, 0) - initial).abs() / initial.abs().clamp_min(EPS)
        largest_change = max(largest_change, float(change.max()))
    flow.h = original_h
    return largest_change


def _consistent_state(flow: Flow, state: tuple[Tensor, ...], h: float, order: int):
    """A first state whose past values, such as Y[-1], are near the solution.

    Schemes such as leapfrog start with Y[-1] = 0, which is far from the solution.

    Args:
        flow: the flow.
        state: its first state.
        h: the step size.
        order: the order of the differential equations, 1 or 2.
    """
    values = dict(zip(flow.slots, state, strict=True))
    for name, rate in zip(flow.states, flow.field(state, 0), strict=True):
        if f"{name}_prev" in values:
            past = -h * rate if order == 1 else h**2 / 2 * rate
            values[f"{name}_prev"] = values[name] + past
    return type(state)(*values.values())


def _spectrum_law(program: Program, flow: Flow, u: Tensor) -> Iterator[Law]:
    """Measure the distance of the eigenvalues of a sampled Jacobian from the proved set."""
    verdict = program.certificate.verdict
    if not program.certificate.proved:
        return
    flow.eval()
    corner = (slice(0, CORNER_LENGTH_3D if flow.space == 3 else AXIS_LENGTH),) * flow.space
    values = flow.spectrum(u[:1, :, *corner])  # a few grid points: all eigenvalues are computed
    if max(p.order for p in program.model.scheme.patterns) == 2:
        # For y'' = f(y), these are the squares of the eigenvalues of the first-order system.
        values = torch.sqrt(values)
    largest = float(values.abs().max()) or 1.0
    if not values.isfinite().all():
        yield _unmeasured("spectrum", "the Jacobian leaves the range of numbers")
        return
    distance = values.real.abs() if verdict == "imaginary" else values.real.clamp_min(0)
    if verdict == "real":
        distance = torch.maximum(distance, values.imag.abs())
    # Zero may be a defective eigenvalue, which is computed to the square root of rounding only.
    error = float(distance.max()) / largest
    yield _bounded_law("spectrum", error, math.sqrt(SLACK * EPS), f"off the {verdict} set by")
