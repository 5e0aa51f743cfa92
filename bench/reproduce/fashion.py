"""Six systems on Fashion-MNIST, with several seeds.

    python bench/reproduce/fashion.py --data-root DIR

where DIR has FashionMNIST/raw. The networks have the same first and last layers and about the same
number of parameters, and are trained by the same recipe.
"""

import argparse
from collections.abc import Sequence
from statistics import mean

import runs

from odenet.counted import counted

SYSTEMS = {  # their labels in the table and the figure, by the names of their specs
    "resnet": "ResNet",
    "revnet": "RevNet",
    "hamiltonian": "Hamiltonian",
    "midpoint": "MidPoint",
    "leapfrog": "Leapfrog",
    "momentum": "Momentum",
}


def main(arguments: Sequence[str] | None = None) -> dict[str, list[runs.Outcome]]:
    """Trains every system with every seed; returns the outcomes by system."""
    args = runs.argument_parser(__doc__, data="fashion_mnist", seed_count=3).parse_args(arguments)
    epochs = 1 if args.quick else 5

    def run_of(system: str, seed: int) -> runs.Run:
        spec = runs.SPECS / f"{system}.ode"
        return runs.Run(f"{system}-{seed}", spec, {"epochs": epochs, "seed": seed})

    by_system = runs.train_all(args, list(SYSTEMS), range(args.seeds or 3), run_of)
    _write_report(args, by_system)
    return by_system


def _write_report(args: argparse.Namespace, by_system: dict[str, list[runs.Outcome]]) -> None:
    """Write the part of RESULTS.md: a table, and the curves of accuracy over epochs."""
    figure = runs.new_figure()
    (axes,) = figure.axes
    rows = []
    for system, outcomes in by_system.items():
        results = [outcome.result for outcome in outcomes]
        epoch_seconds = [result.seconds / result.epochs for result in results]
        rows.append(
            [
                SYSTEMS[system],
                f"{results[0].parameters:,}",
                runs.mean_and_deviation([result.accuracy for result in results]),
                f"{mean(epoch_seconds):.0f}",
                "yes" if system != "resnet" else "no",
            ]
        )
        curves = [[row["test_accuracy"] for row in outcome.rows] for outcome in outcomes]
        epochs = range(1, len(curves[0]) + 1)
        means = [100 * mean(accuracies) for accuracies in zip(*curves, strict=True)]
        (line,) = axes.plot(epochs, means, "o-", label=SYSTEMS[system])
        for curve in curves:
            axes.plot(
                epochs,
                [100 * accuracy for accuracy in curve],
                ".",
                color=line.get_color(),
                alpha=0.5,
            )
    axes.set(xlabel="epoch", ylabel="test accuracy (%)", title="mean over seeds, each a point")
    axes.legend(frameon=False)
    header = ["network", "parameters", "test accuracy (%)", "seconds per epoch", "reversible"]
    epochs, seeds = results[0].epochs, len(results)
    text = (
        f"{counted(epochs, 'epoch')} on all of the data, "
        f"{counted(seeds, 'seed')}; accuracy after the last epoch, mean ± deviation over "
        f"the seeds.\n\n{runs.table(header, rows)}"
    )
    runs.write_part(args, "Six systems on Fashion-MNIST", text, figure, by_system)


if __name__ == "__main__":
    main()
