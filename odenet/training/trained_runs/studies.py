"""`odenet study`: experiments with the steps of a trained flow, measured on test samples.

Lesion studies as in Veit et al. 2016 and Chang et al. 2018 (ICLR), section 3.3: some steps are left
out or shuffled. Norms as in the latter: if depth acts like time, the change of a step is inversely
proportional to the number of steps (section 3.2), and |F| is the same function of time in networks
of different depths (Fig. 7).
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
from odenet.counted import counted
from odenet.model.tables.losses import MetricKind
from odenet.runtime.flow import Flow
from odenet.runtime.passes.equations import State
from odenet.runtime.passes.shear import state_like
from odenet.runtime.singular_value import largest_singular_value
from odenet.runtime.unit import Coarsened
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.data_module import SplitLoaders
from odenet.training.errors import NotPossible
from odenet.training.flows import flow_inputs, units_and_flows
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.evaluation import restore
from odenet.training.trained_runs import depth_profile as profiles
from odenet.training.trained_runs.depth_profile import DepthProfile, mean_norm, unknowns

RANDOM_DRAWS = 5  # random choices for each number of steps left out, and of swaps
LEFT_OUT_SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # shares of the steps that are left out at once


@dataclass(frozen=True)
class FlowStudy(DepthProfile):
    """The study of a flow or unit, with its depth profile; lists have one entry per step.

    A unit is a flow behind an entry step that changes the shape of the state. Leaving out the entry
    step leaves its shortcuts, which make the shape fit; its change is what it adds to them. Only
    steps that keep the shape are shuffled.

    Args:
        name: the name of the flow or unit in the network.
        metric_without_step: the metric of the network without this step.
        metric_by_left_out: pairs of how many steps are left out at random, and the metric, a mean
            over some draws.
        metric_by_disorder: pairs of a Kendall distance (the share of pairs of steps in the wrong
            order: 0 as trained, about 1/2 at random), and the metric with such an order.
        lyapunov_exponent: the largest finite-time Lyapunov exponent for one sample (Chang et al.
            2018, AAAI, Eq. 4): the logarithm of the largest singular value of the Jacobian of the
            map from the first to the last state, divided by the time.
    """

    name: str
    metric_without_step: list[float]
    metric_by_left_out: list[tuple[int, float]]
    metric_by_disorder: list[tuple[float, float]]
    lyapunov_exponent: float


@dataclass(frozen=True)
class Study:
    """The study of a run.

    Args:
        name: the name of the run.
        measure: the kind of metric that was measured, the first one of the run's loss.
        value: the value of this metric for the unchanged network on the samples.
        flows: the studies of its flows and units, in their order in the network.
        order: the order of the equations, 1 or 2; 0 if they have different orders.
    """

    name: str
    measure: MetricKind
    value: float
    flows: list[FlowStudy]
    order: int = 1

    def __repr__(self) -> str:
        metric = f"{self.measure.title} {self.measure.show(self.value)}"
        return f"<study of {self.name}: {metric}, {counted(self.depth, 'step')}>"

    @property
    def depth(self) -> int:
        """The number of steps of all flows together."""
        return sum(len(flow.metric_without_step) for flow in self.flows)

    @property
    def change(self) -> float:
        """The mean over all steps of |h F| / |u|, the relative change of the state u by a step."""
        changes = [np.divide(flow.change_norms, flow.state_norms) for flow in self.flows]
        return float(np.concatenate(changes).mean())


def study_run(
    run: str | Path,
    samples: int = 1000,
    seed: int = 0,
    options: Options | None = None,
    data: Any = None,
) -> Study:
    """Study the network of a run with its best weights.

    Args:
        run: the folder of the run.
        samples: the number of test samples to measure on.
        seed: the seed of the random choices of samples and steps.
        options: where published data sets are stored; those of the run if None.
        data: as for `odenet.evaluate`, if the data of the run came from Python code.

    Raises:
        TrainingError: the run or its data cannot be read, or it is a language model.
    """
    task, test_data, _ = restore(run, options=options, data=data)
    if task.objective.kind.labels == "tokens":
        raise NotPossible(f"{run} is a language model, and studies are not made of those")
    task.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    batch = _test_batch(task, test_data, samples)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        value = _metric_value(task, *batch)
        inputs = flow_inputs(task.network, batch[0])
        names = units_and_flows(task.network)
        flows = [_study_flow_or_unit(task, name, inputs[name], batch, rng) for name in names]
    folder = RunFolder(Path(run))
    program = odenet.load(folder.spec, set=dict(folder.read_record().settings))
    order = profiles.equation_order(program)
    return Study(Path(run).resolve().name, task.objective.metric_kinds[0], value, flows, order)


def depth_law(studies: Sequence[Study]) -> float:
    """The exponent p of |h F| / |u| ~ depth^p, fitted to runs of several depths.

    It is -1 if depth acts like time.
    """
    depths, changes = zip(*((s.depth, s.change) for s in studies), strict=True)
    return float(np.polyfit(np.log(depths), np.log(changes), 1)[0])


@contextmanager
def replaced_method(module: nn.Module, method: str, function: Callable[..., Any]) -> Iterator[None]:
    """A context in which a method of a module, given by its name, is replaced by a function.

    The function is set on the instance, so that other modules of the class are not affected.
    """
    module.__dict__[method] = function
    try:
        yield
    finally:
        del module.__dict__[method]


def reordered_steps(flow: Flow, order: Sequence[int]) -> AbstractContextManager[None]:
    """A context in which a flow takes only the given steps, in the given order."""

    def evolve(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for step in order:
            state = flow.advance(state, step)
        return state

    return replaced_method(flow, "evolve", evolve)


def _test_batch(task: Task, data: SplitLoaders, sample_count: int) -> tuple[Tensor, Tensor]:
    """Some samples of the test split, chosen at random, with their labels."""
    plan = BatchPlan(len(data.test), min(sample_count, len(data.test)), shuffle=True)
    return next(iter(Batches(data.test, data.transforms, plan, task.device)))


def _metric_value(task: Task, inputs: Tensor, labels: Tensor) -> float:
    """The first metric of a task on a batch."""
    objective, device = task.objective, inputs.device
    output = objective.network_output(task.network, inputs)
    name = objective.metric_kinds[0].name
    loss = objective.loss(output, labels)
    metric = objective.metrics().get(name)
    if metric is None:  # it is computed from the loss, such as perplexity
        return objective.metrics_from_loss(loss)[name].item()
    metric.to(device).update(*objective.metric_inputs(output, labels))
    return metric.compute().item()


def _study_flow_or_unit(
    task: Task, name: str, u: Tensor | State, batch: tuple[Tensor, Tensor], rng: np.random.Generator
) -> FlowStudy:
    """The study of the flow or unit with a name; u is its input.

    The entry of a unit counts as its first step.
    """
    module = units_and_flows(task.network)[name]
    if isinstance(module, Flow):
        return _study_flow(task, name, module, module.first_state(u), batch, rng)
    assert isinstance(u, Tensor)
    entry, h = module.entry, getattr(module.flow, "h", 1.0)  # one h for all steps of a unit
    before, after, shortcut = entry.initial(u), entry(u), entry.skipped(u)  # states, see `Entry`
    flow_study = _study_flow(task, name, module.flow, after, batch, rng)
    with replaced_method(entry, "forward", entry.skipped):  # only the shortcuts
        without_entry = _metric_value(task, *batch)
    change = [a - b for a, b in zip(after, shortcut, strict=True)]
    # The energy before the entry is known only if its step is taken before the change of shape,
    # by a flow of its own.
    flow = entry.flow if isinstance(entry, Coarsened) else None
    energies = profiles.mean_energies(flow, [before]) if flow and flow_study.energies else []
    return replace(
        flow_study,
        metric_without_step=[without_entry, *flow_study.metric_without_step],
        state_norms=[mean_norm(unknowns(module.flow, before)), *flow_study.state_norms],
        rate_norms=[mean_norm(unknowns(module.flow, change)) / h, *flow_study.rate_norms],
        step_sizes=[h, *flow_study.step_sizes],
        energies=[*energies, *flow_study.energies],
        eigenvalues={step + 1: values for step, values in flow_study.eigenvalues.items()},
    )


def _study_flow(
    task: Task,
    name: str,
    flow: Flow,
    initial_state: tuple[Tensor, ...],
    batch: tuple[Tensor, Tensor],
    rng: np.random.Generator,
) -> FlowStudy:
    """The study of a flow.

    Args:
        task: the trained network and its metric.
        name: the name of the flow in the network.
        flow: the flow to study.
        initial_state: the state before its first step, for the samples of the batch.
        batch: inputs and labels.
        rng: the source of random choices of steps.
    """
    n = flow.steps

    def metric(steps: Sequence[int]) -> float:
        with reordered_steps(flow, steps):
            return _metric_value(task, *batch)

    def mean_metric_without(count: int) -> float:
        kept = [np.sort(rng.permutation(n)[count:]).tolist() for _ in range(RANDOM_DRAWS)]
        return float(np.mean([metric(steps) for steps in kept]))

    sample = state_like(initial_state, [tensor[:1] for tensor in initial_state])
    shuffles = [_shuffled_steps(n, swaps, rng) for swaps in _swap_counts(n)]
    profile = profiles.depth_profile(flow, initial_state)
    time = sum(profile.step_sizes)
    return FlowStudy(
        **vars(profile),
        name=name,
        metric_without_step=[metric([s for s in range(n) if s != step]) for step in range(n)],
        metric_by_left_out=[(count, mean_metric_without(count)) for count in _left_out_counts(n)],
        metric_by_disorder=sorted((kendall_distance(steps), metric(steps)) for steps in shuffles),
        lyapunov_exponent=float(np.log(largest_singular_value(flow, sample)) / time),
    )


def kendall_distance(order: Sequence[int]) -> float:
    """The normalised Kendall tau distance of an order from the sorted one, from 0 to 1.

    It is the share of pairs in the wrong order; 0 for a single step.
    """
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    return sum(a > b for a, b in pairs) / max(1, len(pairs))


def _left_out_counts(steps: int) -> list[int]:
    """The numbers of steps to leave out at once: 1, and `LEFT_OUT_SHARES` of all."""
    return sorted({1, *(round(share * steps) for share in LEFT_OUT_SHARES)} - {0})


def _swap_counts(steps: int) -> list[int]:
    """The numbers of random swaps of two steps: 1, 2, 4, …, the last enough for any order.

    Each number is repeated `RANDOM_DRAWS` times.
    """
    return [2**i for i in range(steps.bit_length() + 1) for _ in range(RANDOM_DRAWS)]


def _shuffled_steps(steps: int, swaps: int, rng: np.random.Generator) -> list[int]:
    """The numbers of all steps after a number of random swaps."""
    order = list(range(steps))
    for _ in range(swaps if steps > 1 else 0):
        a, b = rng.choice(steps, 2, replace=False)
        order[a], order[b] = order[b], order[a]
    return order
