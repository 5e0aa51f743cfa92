"""Six systems on Fashion-MNIST: same frame, same recipe, same budget, several seeds.

    python bench/reproduce/fashion.py --data-root DIR

where DIR has FashionMNIST/raw. The networks have about as many parameters as one another.
"""

import argparse
from collections.abc import Sequence
from statistics import mean

from runs import (
    SPECS,
    Outcome,
    Run,
    counted,
    new_figure,
    options,
    spread,
    table,
    train_all,
    write_part,
)

SYSTEMS = {
    "resnet": "ResNet",
    "revnet": "RevNet",
    "hamiltonian": "Hamiltonian",
    "midpoint": "MidPoint",
    "leapfrog": "Leapfrog",
    "momentum": "Momentum",
}


def main(arguments: Sequence[str] | None = None) -> dict[str, list[Outcome]]:
    """Trains every system with every seed; gives the outcomes by system."""
    given = options(__doc__, data="fashion_mnist", seeds=3).parse_args(arguments)
    epochs, seeds = (1 if given.quick else 5), range(given.seeds or 3)
    runs = [
        Run(f"{system}-{seed}", SPECS / f"{system}.ode", {"epochs": epochs, "seed": seed})
        for seed in seeds
        for system in SYSTEMS
    ]
    outcomes = train_all(given, runs)
    found = {
        system: [o for o, run in zip(outcomes, runs, strict=True) if run.spec.stem == system]
        for system in SYSTEMS
    }
    _report(given, found)
    return found


def _report(given: argparse.Namespace, found: dict[str, list[Outcome]]) -> None:
    figure = new_figure()
    (axes,) = figure.axes
    rows = []
    for system, outcomes in found.items():
        results = [outcome.result for outcome in outcomes]
        each = [result.seconds / result.epochs for result in results]
        rows.append(
            [
                SYSTEMS[system],
                f"{results[0].parameters:,}",
                spread([result.accuracy for result in results]),
                f"{mean(each):.0f}",
                "yes" if system != "resnet" else "no",
            ]
        )
        curves = [[row["test_accuracy"] for row in outcome.rows] for outcome in outcomes]
        epochs = range(1, len(curves[0]) + 1)
        middle = [100 * mean(values) for values in zip(*curves, strict=True)]
        (line,) = axes.plot(epochs, middle, "o-", label=SYSTEMS[system])
        for curve in curves:
            axes.plot(epochs, [100 * v for v in curve], ".", color=line.get_color(), alpha=0.5)
    axes.set(xlabel="epoch", ylabel="test accuracy (%)", title="mean over seeds, each a point")
    axes.legend(frameon=False)
    header = ["network", "parameters", "test accuracy (%)", "seconds per epoch", "reversible"]
    epochs, seeds = results[0].epochs, len(results)
    text = (
        f"{counted(epochs, 'epoch')} on all of the data, {counted(seeds, 'seed')}; accuracy after "
        f"the last epoch, mean ± deviation over the seeds.\n\n{table(header, rows)}"
    )
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    write_part(given, "Six systems on Fashion-MNIST", text, figure, every)


if __name__ == "__main__":
    main()
