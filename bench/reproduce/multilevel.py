"""Multi-level training against training its last, deepest network throughout.

    python bench/reproduce/multilevel.py --data-root DIR

where DIR has FashionMNIST/raw. Chang et al. 2018 (ICLR), section 4: one refinement should save 25 %
of the time, two 42 %, at the same accuracy. The time is that of the training batches.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean

from runs import SPECS, Outcome, Run, new_figure, options, spread, table, train_all, write_part

EPOCHS = 6
STEPS = 4  # of each flow on the last level
FINAL_TIME = 0.4
LEVELS = {"deep throughout": (), "one refinement": (3,), "two refinements": (2, 4)}


def main(arguments: Sequence[str] | None = None) -> dict[str, list[Outcome]]:
    """Trains with no, one and two refinements; gives the outcomes of each."""
    given = options(__doc__, data="fashion_mnist", seeds=2).parse_args(arguments)
    seeds = range(given.seeds or (1 if given.quick else 2))
    runs = [
        Run(f"{len(levels)}-{seed}", SPECS / "hamiltonian.ode", _settings(given, levels, seed))
        for levels in LEVELS.values()
        for seed in seeds
    ]
    outcomes = iter(train_all(given, runs))
    found = {name: [next(outcomes) for _ in seeds] for name in LEVELS}
    _report(given, found)
    return found


def _settings(given: argparse.Namespace, levels: tuple[int, ...], seed: int) -> dict[str, object]:
    first = STEPS >> len(levels)
    return {
        "n": first,
        "h": FINAL_TIME / first,
        "epochs": EPOCHS,
        "levels": list(levels),
        "fraction": 0.2 if given.quick else 0.5,
        "seed": seed,
    }


def saved_in_theory(levels: tuple[int, ...]) -> float:
    """The share of the time saved if an epoch costs as much as its network has steps."""
    ends = (0, *levels, EPOCHS)
    costs = [(b - a) / 2 ** (len(levels) - i) for i, (a, b) in enumerate(pairwise(ends))]
    return 1 - sum(costs) / EPOCHS


def _report(given: argparse.Namespace, found: dict[str, list[Outcome]]) -> None:
    figure = new_figure()
    (axes,) = figure.axes
    times = {name: mean(o.result.seconds for o in outcomes) for name, outcomes in found.items()}
    rows = []
    for name, outcomes in found.items():
        saved = 1 - times[name] / times["deep throughout"]
        theory = saved_in_theory(LEVELS[name])
        accuracy = spread([outcome.result.accuracy for outcome in outcomes])
        rows.append([name, accuracy, f"{times[name]:.0f}", f"{saved:.0%}", f"{theory:.0%}"])
        for outcome in outcomes:
            seconds = [row["seconds"] for row in outcome.rows]
            accuracies = [100 * row["test_accuracy"] for row in outcome.rows]
            label = name if outcome is outcomes[0] else None
            axes.plot(seconds, accuracies, "o-", color=f"C{len(rows) - 1}", label=label)
    axes.set(xlabel="seconds of training", ylabel="test accuracy (%)")
    axes.legend(frameon=False)
    header = ["training", "test accuracy (%)", "seconds", "time saved", "in theory"]
    share = "a fifth" if given.quick else "half"
    text = (
        f"Hamiltonian network, two flows of {STEPS} steps at the end, {EPOCHS} epochs on {share} "
        f"of Fashion-MNIST. Theory counts the flows' steps only.\n\n{table(header, rows)}"
    )
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    write_part(given, "Multi-level training", text, figure, every)


if __name__ == "__main__":
    main()
