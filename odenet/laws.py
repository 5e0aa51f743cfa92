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

from odenet.compiler import Program
from odenet.runtime import Flow, adjoint_conv, adjoint_dense, conv, dense

CHANNELS, STEPS, SIZE, BATCH = 4, 6, 5, 2
FEW = 3  # cells along an axis in three dimensions
EPS = torch.finfo(torch.float64).eps
SLACK = 1e3  # by which a measured error may exceed the estimate of rounding


@dataclass(frozen=True)
class Law:
    """One law, measured.

    Args:
        name: what was measured.
        measured: the error, or the exponent of the energy's drift.
        bound: what it is compared with.
        holds: whether it is on the right side of the bound.
        text: both in words.
    """

    name: str
    measured: float
    bound: float
    holds: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return asdict(self)


def measure(program: Program, seed: int = 0) -> list[Law]:
    """Measure every law that applies to a program.

    Args:
        program: the compiled specification.
        seed: of the random weights and inputs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = program.flow(_channels(program), STEPS).double()
        for parameter in flow.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        u = torch.randn(BATCH, flow.channels, *(SIZE,) * flow.space, dtype=torch.float64)
        return [*_adjoints(program, flow), *_reversal(program, flow, u), *_energy(program, flow, u),
                *_spectrum(program, flow, u)]  # fmt: skip


def _channels(program: Program) -> int:
    """Channels of the input that all groups of the layers and operators divide."""
    model = program.model
    groups = [layer.groups for definition in model.maps.values() for layer in definition.layers]
    groups += [learned.groups for learned in model.parameters.values()]
    return math.lcm(CHANNELS, *groups) * program.model.dynamics.parts


def _below(name: str, measured: float, bound: float, what: str) -> Law:
    text = f"{what} {measured:.1e}, at most {bound:.1e} allowed"
    return Law(name, measured, bound, measured <= bound, text)


def _adjoints(program: Program, flow: Flow) -> Iterator[Law]:
    """⟨K x, y⟩ = ⟨x, Kᵀ y⟩ for every operator."""
    worst = 0.0
    for name in flow.operators:
        learned = next(p for p in program.model.parameters.values() if p.name in (name, name[:-1]))
        K: Tensor = getattr(flow, name)[0].detach()
        if learned.type == "diag":
            continue
        groups = K.shape[0] if learned.type == "depthwise" else learned.options.get("groups", 1)
        options = {"groups": groups, "dilation": learned.options.get("dilation", 1)}
        x = torch.randn(BATCH, K.shape[1] * groups, *(SIZE,) * flow.space, dtype=K.dtype)
        if learned.type == "dense":
            image = dense(x, K)
            y = torch.randn_like(image)
            back = adjoint_dense(y, K)
        else:
            image = conv(x, K, **options)
            y = torch.randn_like(image)
            back = adjoint_conv(y, K, **options)
        gap = (image * y).sum() - (x * back).sum()
        worst = max(worst, float(gap.abs() / (image.norm() * y.norm())))
    if flow.operators:
        yield _below("adjoints", worst, SLACK * EPS, "relative gap of ⟨Kx, y⟩ and ⟨x, Kᵀy⟩")


def _reversal(program: Program, flow: Flow, u: Tensor) -> Iterator[Law]:
    """Retreat undoes advance, and the memory-free gradient is the stored one."""
    if not flow.reversible:
        return
    flow.eval()
    with torch.no_grad():
        state = start = flow.initial(u)
        for step in range(flow.steps):
            state = flow.advance(state, step)
        rebuilt = flow.inverse(state)
    size = math.sqrt(sum(float(t.square().sum()) for t in start))
    error = math.sqrt(
        sum(float((a - b).square().sum()) for a, b in zip(rebuilt, start, strict=True))
    )
    bound = SLACK * _expected(program, flow)
    what = f"relative error after {STEPS} steps and back"
    yield _below("round trip", error / size, bound, what)
    flow.train()
    gradients = []
    for memory in ("reversible", "stored"):
        torch.manual_seed(0)  # of dropout
        flow.memory = memory
        inputs = [u.detach().clone().requires_grad_(), *flow.parameters()]
        loss = flow(inputs[0]).square().sum()
        found = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
        gradients.append(found)
    pairs = list(zip(*gradients, strict=True))
    size = math.sqrt(sum(float(b.square().sum()) for _, b in pairs))
    error = math.sqrt(sum(float((a - b).square().sum()) for a, b in pairs))
    what = "relative difference of memory-free and stored"
    yield _below("gradient", error / max(size, EPS), SLACK * bound, what)


def _expected(program: Program, flow: Flow) -> float:
    """The bound on the round trip's error for roundings of the size of one operation."""
    h = float(getattr(flow, "h", 1.0))
    try:
        frequency = float(max(flow.frequency_bound(step) for step in range(flow.steps)))
    except NotImplementedError:
        frequency = 1.0
    constants = program.model.discretisation.constants
    predicted = program.derivation.roundtrip_error(STEPS, h, EPS, frequency, constants)
    return max(predicted.bound if predicted else 0.0, STEPS * EPS)


def _energy(program: Program, flow: Flow, u: Tensor) -> Iterator[Law]:
    """With weights that do not change in time, a conserved energy drifts as a power of h."""
    energy = program.certificate.energy
    if energy is None or not energy.conserved or type(flow).energy is Flow.energy:
        return
    h = float(getattr(flow, "h", 0.0))
    if h <= 0:
        return
    order = max(pattern.order for pattern in program.model.scheme.patterns)
    drifts = [_drift(flow, u, h / part, part, order) for part in (4, 8)]
    if drifts[1] <= SLACK * EPS:
        yield Law("energy", 0.0, 0.0, True, "conserved to rounding")
        return
    power = math.log2(drifts[0] / drifts[1])
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
    off = values.real.abs() if verdict == "imaginary" else values.real.clamp_min(0)
    if verdict == "real":
        off = torch.maximum(off, values.imag.abs())
    # Zero may be an eigenvalue with pairs of equal eigenvectors, which carry a root of rounding.
    yield _below(
        "spectrum", float(off.max()) / size, math.sqrt(SLACK * EPS), f"off the {verdict} set by"
    )
