"""What a trained flow does along its depth, measured on test samples.

Lesions as in Veit et al. 2016 and Chang et al. 2018 (ICLR), section 3.3: steps left out or
shuffled. Norms as there, section 3.2: if depth is time, the change of a step is inversely
proportional to the number of steps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from odenet.runtime.flow import Flow
from odenet.runtime.shear import like
from odenet.runtime.unit import Coarsened, Unit
from odenet.train.loader import Batches, Data, Plan
from odenet.train.records import Options
from odenet.train.run import restore
from odenet.train.task import Task, units_and_flows

SHUFFLES = 5
SPECTRA = 3  # steps of a flow, evenly spaced, since each takes hundreds of Jacobian products
EIGENVALUES = 4  # of largest modulus, and as many of largest real part


@dataclass(frozen=True)
class FlowStudy:
    """One flow or unit along its depth; lists have an entry per step.

    Without the first step of a unit its shortcuts alone are taken, and what that step changes is
    what it adds to them. Steps are put in another order among those that keep the shape.

    Args:
        name: of the flow in the network.
        dropped: accuracy of the network without that step.
        shuffled: accuracy with the steps in random order, for some orders.
        states: mean norm of the unknowns before the step.
        changes: mean norm of h F.
        energy: mean energy before the step, and after the last; empty where none is certified.
        spectrum: eigenvalues of the Jacobian of F on one sample, by step, for some steps.
    """

    name: str
    dropped: list[float]
    shuffled: list[float]
    states: list[float]
    changes: list[float]
    energy: list[float]
    spectrum: dict[int, list[complex]]


@dataclass(frozen=True)
class Study:
    """A run along its depth.

    Args:
        name: of the run.
        accuracy: on the samples, with nothing changed.
        flows: and units, one after the other.
    """

    name: str
    accuracy: float
    flows: list[FlowStudy]

    @property
    def depth(self) -> int:
        """Steps of all flows."""
        return sum(len(flow.dropped) for flow in self.flows)

    @property
    def change(self) -> float:
        """The mean over all steps of |h F| / |u|."""
        shares = [np.divide(flow.changes, flow.states) for flow in self.flows]
        return float(np.concatenate(shares).mean())


def study_run(
    run: str | Path, samples: int = 1000, seed: int = 0, options: Options | None = None
) -> Study:
    """Study the best weights of a run.

    Args:
        run: the folder of the run.
        samples: how many of the test samples to measure on.
        seed: of the shuffles.
        options: where the data lies; as the training if None.

    Raises:
        TrainingError: if the run or its data cannot be read.
    """
    task, data, _ = restore(run, options=options)
    task.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    inputs, labels = _batch(task, data, samples)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        accuracy = _accuracy(task, inputs, labels)
        entries = _entries(task, inputs)
        studied = [
            _study_part(task, name, entries[name], (inputs, labels), rng)
            for name in units_and_flows(task.network)
        ]
    return Study(Path(run).resolve().name, accuracy, studied)


def depth_law(studies: Sequence[Study]) -> float:
    """The exponent p of |h F| / |u| = depth^p over runs of several depths; -1 if depth is time."""
    depths, changes = ([getattr(s, name) for s in studies] for name in ("depth", "change"))
    return float(np.polyfit(np.log(depths), np.log(changes), 1)[0])


@contextmanager
def reordered(flow: Flow, order: Sequence[int]) -> Iterator[None]:
    """Within, the flow takes the given steps in the given order."""

    def evolve(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for step in order:
            state = flow.advance(state, step)
        return state

    flow.__dict__["evolve"] = evolve  # hides the method
    try:
        yield
    finally:
        del flow.__dict__["evolve"]


def _batch(task: Task, data: Data, samples: int) -> tuple[Tensor, Tensor]:
    """The first so many samples of the shuffled test split, as the network takes them."""
    plan = Plan(len(data.test), min(samples, len(data.test)), shuffle=True)
    return next(iter(Batches(data.test, data.transforms, plan, task.device)))


def _accuracy(task: Task, inputs: Tensor, labels: Tensor) -> float:
    return (task(inputs).argmax(1) == labels).float().mean().item()


def _entries(task: Task, inputs: Tensor) -> dict[str, Tensor]:
    """What goes into each flow."""
    found: dict[str, Tensor] = {}

    def keep(name: str):
        return lambda _module, arguments: found.update({name: arguments[0]})

    parts = units_and_flows(task.network)
    hooks = [part.register_forward_pre_hook(keep(name)) for name, part in parts.items()]
    task(inputs)
    for hook in hooks:
        hook.remove()
    return found


def _study_part(
    task: Task, name: str, u: Tensor, batch: tuple[Tensor, Tensor], rng: np.random.Generator
) -> FlowStudy:
    part = units_and_flows(task.network)[name]
    if isinstance(part, Flow):
        return _study_flow(task, name, part, part.begin(u), batch, rng)
    entry = part.entry
    begun, entered, skipped = entry.initial(u), entry(u), entry.skipped(u)
    rest = _study_flow(task, name, part.flow, entered, batch, rng)
    with without_entry(part):
        dropped = _accuracy(task, *batch)
    added = [a - b for a, b in zip(entered, skipped, strict=True)]
    first = entry.flow if isinstance(entry, Coarsened) else None
    return FlowStudy(
        name=name,
        dropped=[dropped, *rest.dropped],
        shuffled=rest.shuffled,
        states=[_norm(_unknowns(part.flow, begun)), *rest.states],
        changes=[_norm(_unknowns(part.flow, added)), *rest.changes],
        energy=[*(_energy(first, [begun]) if first and rest.energy else []), *rest.energy],
        spectrum={step + 1: values for step, values in rest.spectrum.items()},
    )


@contextmanager
def without_entry(unit: Unit) -> Iterator[None]:
    """Within, the first step of a unit is its shortcuts alone."""
    unit.entry.__dict__["forward"] = unit.entry.skipped  # hides the method
    try:
        yield
    finally:
        del unit.entry.__dict__["forward"]


def _study_flow(
    task: Task,
    name: str,
    flow: Flow,
    begun: tuple[Tensor, ...],
    batch: tuple[Tensor, Tensor],
    rng: np.random.Generator,
) -> FlowStudy:
    every = range(flow.steps)

    def accuracy(order: Sequence[int]) -> float:
        with reordered(flow, order):
            return _accuracy(task, *batch)

    states = flow.trajectory(begun)
    h = getattr(flow, "h", 1.0)
    rates = [flow.field(state, step) for step, state in zip(every, states, strict=False)]
    one = like(begun, [tensor[:1] for tensor in begun])
    some = np.unique(np.linspace(0, flow.steps - 1, SPECTRA).astype(int)).tolist()
    return FlowStudy(
        name=name,
        dropped=[accuracy([s for s in every if s != left_out]) for left_out in every],
        shuffled=[accuracy(rng.permutation(flow.steps).tolist()) for _ in range(SHUFFLES)],
        states=[_norm(_unknowns(flow, state)) for state in states[:-1]],
        changes=[h * _norm(rate) for rate in rates],
        energy=_energy(flow, states),
        spectrum={step: flow.spectrum(one, step, EIGENVALUES).tolist() for step in some},
    )


def _unknowns(flow: Flow, state: Sequence[Tensor]) -> list[Tensor]:
    """The unknowns of the dynamics among the values of a state."""
    return [state[flow.slots.index(name)] for name in flow.states]


def _norm(values: Sequence[Tensor]) -> float:
    """The mean over samples of the norm of several fields together."""
    together = torch.cat([value.flatten(1) for value in values], dim=1)
    return together.norm(dim=1).mean().item()


def _energy(flow: Flow, states: Sequence[tuple[Tensor, ...]]) -> list[float]:
    """The mean energy along the trajectory, each state with the weights of the step it enters."""
    try:
        last = flow.steps - 1
        return [flow.energy(s, min(i, last)).mean().item() for i, s in enumerate(states)]
    except NotImplementedError:
        return []
