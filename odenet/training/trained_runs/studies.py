"""What a trained flow does along its depth, measured on test samples.

Lesions as in Veit et al. 2016 and Chang et al. 2018 (ICLR), section 3.3: steps left out, one or
several, or shuffled, a little or thoroughly. Norms as there: the change of a step is inversely
proportional to the number of steps if depth is time (section 3.2), and the rates of networks of
several depths are one function of time (Fig. 7).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import odenet
from odenet.model.tables.losses import MetricKind
from odenet.runtime.flow import Flow
from odenet.runtime.passes.equations import State
from odenet.runtime.passes.shear import like
from odenet.runtime.singular_value import largest_singular_value
from odenet.runtime.unit import Coarsened
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.data_module import SplitLoaders
from odenet.training.errors import NotPossible
from odenet.training.flows import flow_inputs, units_and_flows
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.evaluation import restore
from odenet.training.trained_runs.depth_profile import (
    DepthProfile,
    depth_profile,
    equation_order,
    mean_energies,
    mean_norm,
    unknowns,
)

RANDOM_DRAWS = 5  # of the steps that are left out or change places
LEFT_OUT_SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the steps that are left out together


@dataclass(frozen=True)
class FlowStudy(DepthProfile):
    """One flow or unit along its depth; lists have an entry per step.

    Without the first step of a unit its shortcuts alone are taken, and what that step changes is
    what it adds to them. Steps are put in another order among those that keep the shape.

    Args:
        name: of the flow in the network.
        dropped: the run's metric of the network without that step.
        thinned: how many steps are left out at random, and the metric, a mean of some draws.
        shuffled: the share of pairs of steps in the wrong order (0 as trained, about 1/2 at random;
            Kendall's distance), and the metric.
        lyapunov: the largest finite-time Lyapunov exponent on one sample, per unit of time (Chang
            et al. 2018, AAAI, Eq. 4): log of the largest singular value of the map from the first
            to the last state, divided by the time.
    """

    name: str
    dropped: list[float]
    thinned: list[tuple[int, float]]
    shuffled: list[tuple[float, float]]
    lyapunov: float


@dataclass(frozen=True)
class Study:
    """A run along its depth.

    Args:
        name: of the run.
        measure: the metric that the run is measured by, such as accuracy.
        value: of that metric on the samples, with nothing changed.
        flows: and units, one after the other.
        order: of the equations, 1 or 2; 0 where they are of several.
    """

    name: str
    measure: MetricKind
    value: float
    flows: list[FlowStudy]
    order: int = 1

    def __repr__(self) -> str:
        found = f"{self.measure.words} {self.measure.show(self.value)}"
        return f"<study of {self.name}: {found}, {self.depth} steps>"

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
    run: str | Path,
    samples: int = 1000,
    seed: int = 0,
    options: Options | None = None,
    data: Any = None,
) -> Study:
    """Study the best weights of a run.

    Args:
        run: the folder of the run.
        samples: how many of the test samples to measure on.
        seed: of the shuffles.
        options: where the data lies; as the training if None.
        data: as for `odenet.evaluate`, of a run whose data came from a program.

    Raises:
        TrainingError: if the run or its data cannot be read.
    """
    task, loaded, _ = restore(run, options=options, data=data)
    if task.objective.kind.labels == "tokens":
        raise NotPossible(f"{run} is a language model, and studies are not made of those")
    task.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    inputs, labels = _test_batch(task, loaded, samples)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        value = _metric_value(task, inputs, labels)
        entries = flow_inputs(task.network, inputs)
        studied = [
            _study_flow_or_unit(task, name, entries[name], (inputs, labels), rng)
            for name in units_and_flows(task.network)
        ]
    folder = RunFolder(Path(run))
    order = equation_order(odenet.load(folder.spec, set=dict(folder.read_record().settings)))
    return Study(Path(run).resolve().name, task.objective.metric_kinds[0], value, studied, order)


def depth_law(studies: Sequence[Study]) -> float:
    """The exponent p of |h F| / |u| = depth^p over runs of several depths; -1 if depth is time."""
    depths, changes = ([getattr(s, name) for s in studies] for name in ("depth", "change"))
    return float(np.polyfit(np.log(depths), np.log(changes), 1)[0])


@contextmanager
def replaced_method(module: nn.Module, method: str, by: Callable[..., Any]) -> Iterator[None]:
    """Within, a module has another method in the place of one of its class."""
    module.__dict__[method] = by
    try:
        yield
    finally:
        del module.__dict__[method]


def reordered_steps(flow: Flow, order: Sequence[int]) -> AbstractContextManager[None]:
    """Within, the flow takes the given steps in the given order."""

    def evolve(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for step in order:
            state = flow.advance(state, step)
        return state

    return replaced_method(flow, "evolve", evolve)


def _test_batch(task: Task, data: SplitLoaders, samples: int) -> tuple[Tensor, Tensor]:
    """The first samples of the shuffled test split, as the network takes them."""
    plan = BatchPlan(len(data.test), min(samples, len(data.test)), shuffle=True)
    return next(iter(Batches(data.test, data.transforms, plan, task.device)))


def _metric_value(task: Task, inputs: Tensor, labels: Tensor) -> float:
    """The metric of the run on a batch."""
    objective, device = task.objective, inputs.device
    answer = objective.network_output(task.network, inputs)
    name = objective.metric_kinds[0].name
    loss = objective.loss(answer, labels)
    metric = objective.metrics().get(name)
    if metric is None:  # it follows from the loss
        return objective.metrics_from_loss(loss)[name].item()
    metric.to(device).update(*objective.metric_inputs(answer, labels))
    return metric.compute().item()


def _study_flow_or_unit(
    task: Task, name: str, u: Tensor | State, batch: tuple[Tensor, Tensor], rng: np.random.Generator
) -> FlowStudy:
    part = units_and_flows(task.network)[name]
    if isinstance(part, Flow):
        return _study_flow(task, name, part, part.begin(u), batch, rng)
    assert isinstance(u, Tensor)
    entry = part.entry
    begun, entered, skipped = entry.initial(u), entry(u), entry.skipped(u)
    rest = _study_flow(task, name, part.flow, entered, batch, rng)
    with replaced_method(entry, "forward", entry.skipped):  # the shortcuts alone
        dropped = _metric_value(task, *batch)
    added = [a - b for a, b in zip(entered, skipped, strict=True)]
    size = getattr(part.flow, "h", 1.0)
    first = entry.flow if isinstance(entry, Coarsened) else None
    return replace(
        rest,
        dropped=[dropped, *rest.dropped],
        states=[mean_norm(unknowns(part.flow, begun)), *rest.states],
        rates=[mean_norm(unknowns(part.flow, added)) / size, *rest.rates],
        sizes=[size, *rest.sizes],
        energy=[*(mean_energies(first, [begun]) if first and rest.energy else []), *rest.energy],
        spectrum={step + 1: values for step, values in rest.spectrum.items()},
    )


def _study_flow(
    task: Task,
    name: str,
    flow: Flow,
    begun: tuple[Tensor, ...],
    batch: tuple[Tensor, Tensor],
    rng: np.random.Generator,
) -> FlowStudy:
    every = range(flow.steps)

    def measured(order: Sequence[int]) -> float:
        with reordered_steps(flow, order):
            return _metric_value(task, *batch)

    def thinned(count: int) -> float:
        """The accuracy without a number of steps, drawn at random."""
        kept = [np.sort(rng.permutation(flow.steps)[count:]).tolist() for _ in range(RANDOM_DRAWS)]
        return float(np.mean([measured(order) for order in kept]))

    one = like(begun, [tensor[:1] for tensor in begun])
    orders = [_shuffled_steps(flow.steps, swaps, rng) for swaps in _swap_counts(flow.steps)]
    found = depth_profile(flow, begun)
    return FlowStudy(
        **vars(found),
        name=name,
        dropped=[measured([s for s in every if s != left_out]) for left_out in every],
        thinned=[(count, thinned(count)) for count in _left_out_counts(flow.steps)],
        shuffled=sorted((inverted_pair_share(order), measured(order)) for order in orders),
        lyapunov=float(np.log(largest_singular_value(flow, one)) / sum(found.sizes)),
    )


def inverted_pair_share(order: Sequence[int]) -> float:
    """The share of pairs whose order is reversed, from 0 to 1; 0 for a single step."""
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    return sum(a > b for a, b in pairs) / max(1, len(pairs))


def _left_out_counts(steps: int) -> list[int]:
    """How many steps are left out together: 1, and shares of all."""
    return sorted({1, *(round(share * steps) for share in LEFT_OUT_SHARES)} - {0})


def _swap_counts(steps: int) -> list[int]:
    """How often two random steps change places: 1, 2, 4, … and at last enough for any order."""
    return [2**i for i in range(steps.bit_length() + 1) for _ in range(RANDOM_DRAWS)]


def _shuffled_steps(steps: int, swaps: int, rng: np.random.Generator) -> list[int]:
    order = list(range(steps))
    for _ in range(swaps if steps > 1 else 0):
        a, b = rng.choice(steps, 2, replace=False)
        order[a], order[b] = order[b], order[a]
    return order
