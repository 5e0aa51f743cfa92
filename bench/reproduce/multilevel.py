"""Multi-level training against training its first and its last network throughout.

    python bench/reproduce/multilevel.py --data-root DIR

where DIR has FashionMNIST/raw. Chang et al. 2018 (ICLR), Tables 2 to 4: one, two and three
interpolations should save 25, 42 and 53 % of the time, at the same accuracy. Cycles are equally
long and the rate starts anew in each; the networks beside them have the cycles of two.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean

import torch
from runs import SPECS, Outcome, Run, new_figure, options, spread, table, train_all, write_part

import odenet

STEPS = 16  # of each unit on the last level
FIRST, LAST = "first network", "last network"
TRAININGS = {FIRST: 0, LAST: 0, "1 interpolation": 1, "2 interpolations": 2, "3 interpolations": 3}
COMPARED = 2  # interpolations whose first network and cycles the networks beside them have
# The time that all steps together take, where it is the same for any number of them. A ResNet has
# h = 1 until it is refined, and beside that throughout.
TIMES = {"resnet": None, "hamiltonian": 0.4}
LABELS = {"resnet": "ResNet", "hamiltonian": "Hamiltonian"}
BATCH, REPEATS = 20, 3  # of the steps that are timed

Found = dict[tuple[str, str], list[Outcome]]


def main(arguments: Sequence[str] | None = None) -> Found:
    """Trains every network in every way; gives the outcomes of each."""
    parser = options(__doc__, data="fashion_mnist", seeds=2)
    parser.add_argument("--networks", nargs="+", default=list(TIMES), choices=list(TIMES))
    parser.add_argument("--epochs", type=int, default=12, help="of each training [default: 12]")
    given = parser.parse_args(arguments)
    seeds = range(given.seeds or (1 if given.quick else 2))
    cases = [(network, training) for network in given.networks for training in TRAININGS]
    runs = [
        Run(
            f"{network}-{training.replace(' ', '-')}-{seed}",
            SPECS / f"{network}.ode",
            _settings(given, network, training, seed),
        )
        for network, training in cases
        for seed in seeds
    ]
    outcomes = iter(train_all(given, runs))
    found = {case: [next(outcomes) for _ in seeds] for case in cases}
    _report(given, found)
    return found


def levels_of(interpolations: int, epochs: int) -> list[int]:
    """The epochs after which cycles of equal length end, the last one left out."""
    return [round(epochs * i / (interpolations + 1)) for i in range(1, interpolations + 1)]


def steps_at_first(training: str) -> int:
    """The steps of each unit when a training begins."""
    if training == LAST:
        return STEPS
    return STEPS >> (TRAININGS[training] or COMPARED)


def _settings(
    given: argparse.Namespace, network: str, training: str, seed: int
) -> dict[str, object]:
    steps, final_time = steps_at_first(training), TIMES[network]
    levels = levels_of(TRAININGS[training], given.epochs)
    restarts = levels or levels_of(COMPARED, given.epochs)
    return {
        "n": steps,
        "h": 1 if final_time is None else final_time / steps,
        "epochs": given.epochs,
        "levels": levels,
        "schedule": f"cosine(to = 1e-3, restarts = {restarts})",
        "fraction": _fraction(given),
        "seed": seed,
    }


def _fraction(given: argparse.Namespace) -> float:
    return 0.1 if given.quick else 0.5


def _set(given: argparse.Namespace) -> dict[str, str]:
    return dict(item.split("=", 1) for item in given.set)


def share_of_time(training: str, epochs: int, step: dict[int, float]) -> float:
    """The time of a training as a share of the last network's, from that of a step by depth."""
    ends = (0, *levels_of(TRAININGS[training], epochs), epochs)
    spent = [
        (b - a) * step[steps_at_first(training) << i] for i, (a, b) in enumerate(pairwise(ends))
    ]
    return sum(spent) / (epochs * step[STEPS])


def step_times(given: argparse.Namespace, network: str) -> dict[int, float]:
    """Processor seconds of both passes by the steps of each unit, the least of a few."""
    sizes = {name: v for name, v in _set(given).items() if name in ("w", "size", "colours")}
    found: dict[int, float] = {}
    levels = {steps_at_first(one) << i for one in TRAININGS for i in range(TRAININGS[one] + 1)}
    for steps in sorted(levels):
        program = odenet.load(SPECS / f"{network}.ode", set={**sizes, "n": steps})
        net = program.network()
        x = torch.randn(BATCH, *(program.input_shape or ()))
        found[steps] = min(_processor_seconds(net, x) for _ in range(REPEATS))
    return found


def _processor_seconds(net: torch.nn.Module, x: torch.Tensor) -> float:
    began = time.process_time()
    net(x).square().mean().backward()
    return time.process_time() - began


def _report(given: argparse.Namespace, found: Found) -> None:
    figure = new_figure(len(given.networks))
    rows = []
    for axes, network in zip(figure.axes, given.networks, strict=True):
        measured = step_times(given, network)
        counted = {steps: float(steps) for steps in measured}
        deep = mean(outcome.result.seconds for outcome in found[network, LAST])
        for training in TRAININGS:
            outcomes = found[network, training]
            first = steps_at_first(training)
            last = first << TRAININGS[training]
            by_steps, theory = (1 - share_of_time(training, given.epochs, by)
                                for by in (measured, counted))  # fmt: skip
            seconds = mean(outcome.result.seconds for outcome in outcomes)
            blocks = f"{first}-{first}" + f" to {last}-{last}" * (first < last)
            rows.append([
                LABELS[network], training, blocks, f"{outcomes[0].result.parameters:,}",
                spread([1 - outcome.result.accuracy for outcome in outcomes]),
                f"{seconds:.0f}", f"{1 - seconds / deep:.0%}", f"{by_steps:.0%}",
                f"{theory:.0%}",
            ])  # fmt: skip
            errors = [100 * (1 - row["test_accuracy"]) for row in outcomes[0].rows]
            axes.semilogy(range(1, len(errors) + 1), errors, "o-", label=training, markersize=3)
        axes.set(xlabel="epoch", ylabel="test error (%)", title=LABELS[network])
        axes.legend(frameon=False, fontsize="small")
    header = ["network", "training", "blocks", "parameters", "test error (%)", "seconds",
              "time saved", "by processor time", "in theory"]  # fmt: skip
    share = float(_set(given).get("fraction", _fraction(given)))
    text = (
        f"Two units of {STEPS} blocks at the end, {given.epochs} epochs on a share of {share:g} of "
        f"the data, in cycles of equal length. Time saved is relative to the last network: by the "
        f"clock, which other work on the machine disturbs; by the processor time of a step at each "
        f"depth (the least of {REPEATS}); and in theory, which counts blocks only. The paper has "
        f"25, 42 and 53 % (Table 2), and measures 40 to 42 % with two interpolations (Tables 3 and "
        f"4).\n\n{table(header, rows)}"
    )
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    write_part(given, "Multi-level training", text, figure, every)


if __name__ == "__main__":
    main()
