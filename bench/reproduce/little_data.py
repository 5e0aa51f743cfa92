"""Little training data: a Hamiltonian network against a ResNet (Chang et al. 2018, AAAI, Fig. 3).

    python bench/reproduce/little_data.py --data-root DIR
    python bench/reproduce/little_data.py --data folder:DIR

where DIR has cifar-10-batches-py, or train/ and test/ with a folder of pictures per class. Each
network trains on class-balanced shares of the training images, for the same number of steps on
each share; the test images stay the same.
"""

import argparse
from collections.abc import Sequence
from statistics import mean

from runs import SPECS, Outcome, Run, new_figure, options, spread, table, train_all, write_part

NETWORKS = {"hamiltonian": "Hamiltonian", "resnet": "ResNet"}
TRAINING_IMAGES = 50_000
PER_EPOCH = 20_000  # samples seen between two measurements

Found = dict[tuple[str, float], list[Outcome]]


def main(arguments: Sequence[str] | None = None) -> Found:
    """Trains both networks on every share; gives the outcomes by network and share."""
    given = options(__doc__, data="cifar10", seeds=2).parse_args(arguments)
    shares = (0.2, 0.05, 0.01) if given.quick else (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
    seeds = range(given.seeds or (1 if given.quick else 2))
    cases = [(name, share) for share in shares for name in NETWORKS]
    runs = [
        Run(
            f"{name}-{share:g}-{seed}",
            SPECS / f"{name}.ode",
            {
                "colours": 3,
                "size": 32,
                "epochs": 2 if given.quick else 4,
                "fraction": share,
                "repeat": round(PER_EPOCH / (share * TRAINING_IMAGES)),
                "augment": "[pad_crop(4), flip]",
                "seed": seed,
            },
        )
        for name, share in cases
        for seed in seeds
    ]
    outcomes = iter(train_all(given, runs))
    found = {case: [next(outcomes) for _ in seeds] for case in cases}
    _report(given, found, shares)
    return found


def _report(given: argparse.Namespace, found: Found, shares: Sequence[float]) -> None:
    figure = new_figure()
    (axes,) = figure.axes
    images = [share * TRAINING_IMAGES for share in shares]
    for name, label in NETWORKS.items():
        per_share = [[o.result.accuracy for o in found[name, share]] for share in shares]
        axes.semilogx(images, [100 * mean(values) for values in per_share], "o-", label=label)
    axes.set(xlabel="training images", ylabel="test accuracy (%)")
    axes.legend(frameon=False)
    rows = [
        [f"{100 * share:g} %", f"{share * TRAINING_IMAGES:,.0f}"]
        + [spread([o.result.accuracy for o in found[name, share]]) for name in NETWORKS]
        for share in shares
    ]
    steps = int(found["resnet", shares[0]][0].rows[-1]["step"]) + 1
    sizes = [f"{label} {found[name, shares[0]][0].result.parameters:,} parameters"
             for name, label in NETWORKS.items()]  # fmt: skip
    text = (
        f"{' and '.join(sizes)}; {steps:,} steps on each share. Test accuracy (%) after the last "
        f"step, mean ± deviation over seeds.\n\n"
        f"{table(['share', 'images', *NETWORKS.values()], rows)}"
    )
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    write_part(given, "Little training data", text, figure, every)


if __name__ == "__main__":
    main()
