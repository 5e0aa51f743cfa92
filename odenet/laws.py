"""The laws a compiled module obeys, measured: round trip, adjoints, gradients, energy, spectrum.

`odenet check` runs them on small random weights and inputs in double precision. They find faults of
the compiler and the runtime, and say how large rounding is; proofs are made elsewhere.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from odenet import runtime
from odenet.compiler import Program
from odenet.measures import LinearMap, adjoint_gap, gradients, length, relative_error
from odenet.memory_limit import require_memory_for_flow
from odenet.model.reading.build import DEFAULT_SPACE
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.given_modules import GIVEN_MODULES
from odenet.runtime import Flow

CHANNELS, STEPS, SIZE, BATCH = 4, 6, 5, 2
FEW = 3  # cells along an axis in three dimensions
EPS = torch.finfo(torch.float64).eps
SLACK = 1e3  # by which a measured error may exceed what rounding at the end would become
NUDGE = 1e-13  # relative size of an error that is made on purpose
HUGE = 1e100  # a state that is larger has left what can be measured
LOOSE = 1e-2  # a bound above which a comparison says nothing


@dataclass(frozen=True)
class Law:
    """One law, measured.

    Args:
        name: what was measured.
        measured: the error, or the exponent of the energy's drift; NaN where it is not a number.
        bound: what it is compared with.
        holds: whether it is on the right side of the bound; None where steps this long, or
            weights this large, leave the range of numbers, so that nothing can be measured.
        text: both in words.
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
        seed: of the random weights and inputs.

    Raises:
        SpecError: not even a small flow fits into the memory of this machine.
    """
    missing = [m.name for m in program.model.given_maps if m.name not in GIVEN_MODULES]
    if missing:
        name = program.model.spellings[missing[0]]
        return [_unmeasured("laws", f"the module of `{name}` is given from Python")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        space = program.model.axes if program.model.axes is not None else DEFAULT_SPACE
        shape = (BATCH, _channels(program), *(SIZE,) * space)
        steps = _steps(program)
        require_memory_for_flow(program, shape, steps)
        flow = program.flow(shape[1], steps).double()
        for moving in flow.ramped_constants():
            moving.move_to(1)
        for parameter in flow.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        _meet_conditions(program, flow)
        u = torch.randn(shape, dtype=torch.float64)
        return [*_adjoints(program, flow), *_reversal(flow, u), *_energy(program, flow, u),
                *_spectrum(program, flow, u)]  # fmt: skip


@torch.no_grad()
def _meet_conditions(program: Program, flow: Flow) -> None:
    """Make the numbers and gains that the verdict takes to be >= 0 so."""
    for assumption in program.certificate.assumptions:
        if assumption.kind not in ("sign", "gain") or assumption.by_construction:
            continue
        for name, parameter in flow.named_parameters():
            head, _, tail = name.partition(".")
            if head.removesuffix("_") == assumption.subject and not tail.endswith("bias"):
                parameter.abs_()


def _steps(program: Program) -> int:
    """A few, or as many as lists of constants have values."""
    chosen = program.model.discretisation_or_none
    lengths = [c.length for c in chosen.varying.values() if c.length] if chosen else []
    return lengths[0] if lengths else STEPS


def _channels(program: Program) -> int:
    """Channels of the input that all groups of the layers and operators divide."""
    model = program.model
    groups = [layer.groups for definition in model.maps.values() for layer in definition.layers]
    groups += [learned.groups for learned in model.parameters.values()]
    return math.lcm(CHANNELS, *groups) * program.model.dynamics.input_parts


def _below(name: str, measured: float, bound: float, what: str) -> Law:
    text = f"{what} {measured:.1e}, at most {bound:.1e} allowed"
    return Law(name, measured, bound, measured <= bound, text)


def _unmeasured(name: str, why: str) -> Law:
    return Law(name, math.nan, math.nan, None, f"not measured: {why}")


def _adjoints(program: Program, flow: Flow) -> Iterator[Law]:
    """⟨K x, y⟩ = ⟨x, Kᵀ y⟩ for every operator."""
    gaps = [0.0]
    for name in flow.operators:
        learned = next(p for p in program.model.parameters.values() if p.name in (name, name[:-1]))
        K: Tensor = getattr(flow, name)[0].detach()
        if learned.is_diagonal:
            continue
        operator = _applied(learned, learned.operator.function, K)
        adjoint = _applied(learned, learned.operator.adjoint, K)
        channels = flow.channels // program.model.dynamics.input_parts
        reads = channels if learned.width_in is None else int(learned.width_in.at(channels))
        x = torch.randn(BATCH, reads, *(SIZE,) * flow.space, dtype=K.dtype)
        gaps.append(adjoint_gap(operator, adjoint, x, torch.randn_like(operator(x))))
    if not all(map(math.isfinite, gaps)):
        yield _unmeasured("adjoints", "the operators' values leave the range of numbers")
    elif flow.operators:
        what = "relative gap of ⟨Kx, y⟩ and ⟨x, Kᵀy⟩"
        yield _below("adjoints", max(gaps), SLACK * EPS, what)


def _applied(learned: DeclaredParameter, function: str, K: Tensor) -> LinearMap:
    """X -> f(x, K), with a function that generated code calls: the runtime's, or a row's import."""
    names = dict(vars(runtime))
    for line in learned.kind.imports:
        exec(line, names)
    keywords = learned.operator.keywords(learned.options, K.shape[0])
    return lambda x: names[function](x, K, **keywords)


def _reversal(flow: Flow, u: Tensor) -> Iterator[Law]:
    """Retreat undoes advance, and the gradient by rebuilt states is that by stored ones."""
    if not flow.reversible:
        return
    flow.eval()
    with torch.no_grad():
        state = start = flow.initial(u)
        for step in range(flow.steps):
            state = flow.advance(state, step)
        rebuilt = flow.inverse(state)
    in_range = length(state) < HUGE
    error = relative_error(rebuilt, start)
    amplified = _amplification(flow, state, rebuilt) if in_range and math.isfinite(error) else 1.0
    bound = SLACK * flow.steps * EPS * amplified
    if not in_range or bound > LOOSE:
        effect = (
            f"amplify rounding {amplified:.0e} times" if in_range else "leave the range of numbers"
        )
        why = f"{flow.steps} steps this long {effect}"
        yield from (_unmeasured(name, why) for name in ("round trip", "gradient"))
        return
    what = f"relative error after {flow.steps} steps and back"
    yield _below("round trip", error, bound, what)
    yield _gradient(flow, u, min(SLACK * bound, LOOSE))


def _gradient(flow: Flow, u: Tensor, bound: float) -> Law:
    """By the parameters and the input, each way."""
    flow.train()
    rebuilt, stored = (gradients(flow, u, mode).values() for mode in ("reversible", "stored"))
    if not all(bool(t.isfinite().all()) for t in stored):
        return _unmeasured("gradient", "gradients leave the range of numbers")
    error = relative_error(rebuilt, stored)
    return _below("gradient", error, bound, "relative difference of rebuilt and stored")


def _amplification(flow: Flow, end: tuple[Tensor, ...], rebuilt: tuple[Tensor, ...]) -> float:
    """How many times larger a small relative error at the end is where it began."""
    moved = [t * (1 + NUDGE * torch.randn_like(t)) for t in end]
    with torch.no_grad():
        back = flow.inverse(type(end)(*moved))
    there, here = relative_error(moved, end), relative_error(back, rebuilt)
    return max(1.0, here / there) if there else 1.0


def _frequency(flow: Flow) -> float | None:
    """The largest frequency of any step that the operators allow, where a bound is known."""
    try:
        return float(max(flow.frequency_bound(step) for step in range(flow.steps)))
    except NotImplementedError:
        return None


def _energy(program: Program, flow: Flow, u: Tensor) -> Iterator[Law]:
    """With weights that do not change in time, a conserved energy drifts as a power of h."""
    energy = program.certificate.energy
    if energy is None or not energy.conserved or type(flow).energy is Flow.energy:
        return
    if flow.varying:  # nothing is said of steps that differ
        return
    h = float(getattr(flow, "h", 0.0))
    if h <= 0:
        return
    if frequency := _frequency(flow):  # a power of h shows in steps that are short for the weights
        h = min(h, 1 / frequency)
    order = max(pattern.order for pattern in program.model.scheme.patterns)
    drifts = [_drift(flow, u, h / part, part, order) for part in (4, 8)]
    if not all(map(math.isfinite, drifts)):
        yield _unmeasured("energy", "it leaves the range of numbers")
        return
    if drifts[1] <= SLACK * EPS:
        yield Law("energy", 0.0, 0.0, True, "conserved to rounding")
        return
    power = math.log2(max(drifts[0], EPS) / drifts[1])
    text = f"drift shrinks as h^{power:.1f}, from {drifts[0]:.1e} to {drifts[1]:.1e}"
    yield Law("energy", power, 0.7, power > 0.7, text)


@torch.no_grad()
def _drift(flow: Flow, u: Tensor, h: float, part: int, order: int) -> float:
    """The largest relative change of the energy over a fixed time with steps of size h."""
    flow.eval()
    before, flow.h = flow.h, h
    state = flow.advance(_consistent(flow, flow.initial(u), h, order), 0)
    first = flow.energy(state, 0)
    worst = 0.0
    for _ in range(3 * part):
        state = flow.advance(state, 0)
        change = (flow.energy(state, 0) - first).abs() / first.abs().clamp_min(EPS)
        worst = max(worst, float(change.max()))
    flow.h = before
    return worst


def _consistent(flow: Flow, state: tuple[Tensor, ...], h: float, order: int):
    """The state with past values on the solution, not at the zeros a network starts them from."""
    values = dict(zip(flow.slots, state, strict=True))
    for name, rate in zip(flow.states, flow.field(state, 0), strict=True):
        if f"{name}_prev" in values:
            past = -h * rate if order == 1 else h**2 / 2 * rate
            values[f"{name}_prev"] = values[name] + past
    return type(state)(*values.values())


def _spectrum(program: Program, flow: Flow, u: Tensor) -> Iterator[Law]:
    """Eigenvalues of a sampled Jacobian lie where they were proved to lie."""
    verdict = program.certificate.verdict
    if not program.certificate.proved:
        return
    flow.eval()
    cells = (slice(0, FEW if flow.space == 3 else SIZE),) * flow.space
    values = flow.spectrum(u[:1, :, *cells])  # few enough that all eigenvalues are found
    if max(p.order for p in program.model.scheme.patterns) == 2:
        # The field of y'' = f(y) has the squares of the eigenvalues.
        values = torch.sqrt(values)
    size = float(values.abs().max()) or 1.0
    if not values.isfinite().all():
        yield _unmeasured("spectrum", "the Jacobian leaves the range of numbers")
        return
    off = values.real.abs() if verdict == "imaginary" else values.real.clamp_min(0)
    if verdict == "real":
        off = torch.maximum(off, values.imag.abs())
    # Zero may be an eigenvalue with pairs of equal eigenvectors, which carry a root of rounding.
    yield _below(
        "spectrum", float(off.max()) / size, math.sqrt(SLACK * EPS), f"off the {verdict} set by"
    )
