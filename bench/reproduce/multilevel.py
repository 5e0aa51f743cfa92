"""Multi-level training, compared with training only its first or only its last network.

    python bench/reproduce/multilevel.py --data-root DIR

where DIR has FashionMNIST/raw. Multi-level training starts with a shallow network, whose number of
steps is doubled, with interpolated weights, at the end of each cycle but the last. In Chang et al.
2018 (ICLR), Tables 2 to 4, one, two and three such interpolations save 25, 42 and 53 % of the time
at the same accuracy. Cycles are equally long, and the learning rate restarts in each. The first and
the last network are those of two interpolations, and are trained with its cycles.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean

import runs
import torch

import odenet

STEPS = 16  # in each unit of the last network
FIRST, LAST = "first network", "last network"
INTERPOLATIONS = {  # the trainings that are compared, each with its number of interpolations
    FIRST: 0,
    LAST: 0,
    "1 interpolation": 1,
    "2 interpolations": 2,
    "3 interpolations": 3,
}
REFERENCE = 2  # interpolations of the training that FIRST and LAST are compared with
# The time N h of a flow, for any number of steps N; None for a ResNet, which starts with h = 1.
FINAL_TIMES = {"resnet": None, "hamiltonian": 0.4}
LABELS = {"resnet": "ResNet", "hamiltonian": "Hamiltonian"}
BATCH, REPEATS = 20, 3  # samples in a step that is timed, and how often it is timed

Case = tuple[str, str]  # a network, and a key of INTERPOLATIONS
OutcomesByCase = dict[Case, list[runs.Outcome]]  # one per seed


def main(arguments: Sequence[str] | None = None) -> OutcomesByCase:
    """Trains every network in every way; returns the outcomes."""
    parser = runs.argument_parser(__doc__, data="fashion_mnist", seed_count=2)
    parser.add_argument(
        "--networks", nargs="+", default=list(FINAL_TIMES), choices=list(FINAL_TIMES)
    )
    parser.add_argument("--epochs", type=int, default=12, help="of each training [default: 12]")
    args = parser.parse_args(arguments)
    seeds = range(args.seeds or (1 if args.quick else 2))
    cases = [(network, training) for network in args.networks for training in INTERPOLATIONS]

    def run_of(case: Case, seed: int) -> runs.Run:
        network, training = case
        name, spec = f"{network}-{training.replace(' ', '-')}-{seed}", f"{network}.ode"
        return runs.Run(name, runs.SPECS / spec, _settings(args, network, training, seed))

    by_case = runs.train_all(args, cases, seeds, run_of)
    _write_report(args, by_case)
    return by_case


def cycle_ends(interpolations: int, epochs: int) -> list[int]:
    """The epochs after which cycles of equal length end, without the last cycle."""
    return [round(epochs * i / (interpolations + 1)) for i in range(1, interpolations + 1)]


def initial_steps(training: str) -> int:
    """The steps of each unit when a training, a key of INTERPOLATIONS, begins."""
    if training == LAST:
        return STEPS
    return STEPS >> (INTERPOLATIONS[training] or REFERENCE)


def _settings(
    args: argparse.Namespace, network: str, training: str, seed: int
) -> dict[str, object]:
    """The settings of a run."""
    steps, final_time = initial_steps(training), FINAL_TIMES[network]
    levels = cycle_ends(INTERPOLATIONS[training], args.epochs)
    restarts = levels or cycle_ends(REFERENCE, args.epochs)
    return {
        "n": steps,
        "h": 1 if final_time is None else final_time / steps,
        "epochs": args.epochs,
        "levels": levels,
        "schedule": f"cosine(to = 1e-3, restarts = {restarts})",
        "fraction": _fraction(args),
        "seed": seed,
    }


def _fraction(args: argparse.Namespace) -> float:
    """The share of the training data, unless `--set` has another."""
    return 0.1 if args.quick else 0.5


def _command_line_settings(args: argparse.Namespace) -> dict[str, str]:
    """What `--set` sets for every run."""
    return dict(item.split("=", 1) for item in args.set)


def share_of_time(training: str, epochs: int, step_times: dict[int, float]) -> float:
    """The time of a training, as a share of that of the last network.

    Args:
        training: a key of INTERPOLATIONS.
        epochs: number of epochs of the training.
        step_times: the time of a training step, by the number of steps of each unit.
    """
    ends = (0, *cycle_ends(INTERPOLATIONS[training], epochs), epochs)
    cycle_times = [
        (end - start) * step_times[initial_steps(training) << doublings]
        for doublings, (start, end) in enumerate(pairwise(ends))
    ]
    return sum(cycle_times) / (epochs * step_times[STEPS])


def measure_step_times(args: argparse.Namespace, network: str) -> dict[int, float]:
    """The processor seconds of a training step, by the number of steps of each unit.

    Each is the least of a few measurements.
    """
    settings = _command_line_settings(args)
    sizes = {name: settings[name] for name in ("w", "size", "colours") if name in settings}
    results: dict[int, float] = {}
    depths = {
        initial_steps(training) << doublings
        for training, interpolations in INTERPOLATIONS.items()
        for doublings in range(interpolations + 1)
    }
    for steps in sorted(depths):
        program = odenet.load(runs.SPECS / f"{network}.ode", set={**sizes, "n": steps})
        net = program.network()
        x = torch.randn(BATCH, *(program.input_shape or ()))
        results[steps] = min(_processor_seconds(net, x) for _ in range(REPEATS))
    return results


def _processor_seconds(net: torch.nn.Module, x: torch.Tensor) -> float:
    start = time.process_time()
    net(x).square().mean().backward()
    return time.process_time() - start


def _write_report(args: argparse.Namespace, by_case: OutcomesByCase) -> None:
    """Write the part of RESULTS.md: a table, and the test errors over epochs."""
    figure = runs.new_figure(len(args.networks))
    rows = []
    for axes, network in zip(figure.axes, args.networks, strict=True):
        measured_times = measure_step_times(args, network)
        theoretical_times = {steps: float(steps) for steps in measured_times}
        last_seconds = mean(outcome.result.seconds for outcome in by_case[network, LAST])
        for training in INTERPOLATIONS:
            outcomes = by_case[network, training]
            first = initial_steps(training)
            last = first << INTERPOLATIONS[training]
            saved_processor_time, saved_in_theory = (
                1 - share_of_time(training, args.epochs, step_times)
                for step_times in (measured_times, theoretical_times)
            )
            seconds = mean(outcome.result.seconds for outcome in outcomes)
            blocks = f"{first}-{first}" + f" to {last}-{last}" * (first < last)  # of both units
            rows.append([
                LABELS[network], training, blocks, f"{outcomes[0].result.parameters:,}",
                runs.mean_and_deviation([1 - outcome.result.accuracy for outcome in outcomes]),
                f"{seconds:.0f}", f"{1 - seconds / last_seconds:.0%}",
                f"{saved_processor_time:.0%}", f"{saved_in_theory:.0%}",
            ])  # fmt: skip
            errors = [100 * (1 - row["test_accuracy"]) for row in outcomes[0].rows]
            axes.semilogy(range(1, len(errors) + 1), errors, "o-", label=training, markersize=3)
        axes.set(xlabel="epoch", ylabel="test error (%)", title=LABELS[network])
        axes.legend(frameon=False, fontsize="small")
    header = ["network", "training", "blocks", "parameters", "test error (%)", "seconds",
              "time saved", "by processor time", "in theory"]  # fmt: skip
    share = float(_command_line_settings(args).get("fraction", _fraction(args)))
    text = (
        f"Two units of {STEPS} blocks at the end, {args.epochs} epochs on a share of {share:g} of "
        f"the data, in cycles of equal length. Time saved is relative to the last network: by the "
        f"clock, which other work on the machine disturbs; by the processor time of a step at each "
        f"depth (the least of {REPEATS}); and in theory, which counts blocks only. The paper has "
        f"25, 42 and 53 % (Table 2), and measures 40 to 42 % with two interpolations (Tables 3 and "
        f"4).\n\n{runs.table(header, rows)}"
    )
    runs.write_part(args, "Multi-level training", text, figure, by_case)


if __name__ == "__main__":
    main()
