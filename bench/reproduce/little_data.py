"""Little training data: a Hamiltonian network against a ResNet (Chang et al. 2018, AAAI, Fig. 3).

    python bench/reproduce/little_data.py --data-root DIR
    python bench/reproduce/little_data.py --data folder:DIR

where DIR has cifar-10-batches-py, or train/ and test/ with a folder of pictures per class. The
networks are the paper's, 4 units of 4 blocks with 16-64-128-256 channels. Each trains on
class-balanced shares of the training images, for the same number of steps on each share; the test
images stay the same. `--set w=4 --set size=16` makes both a quarter as wide, on smaller pictures.
"""

import argparse
from collections.abc import Sequence
from statistics import mean

from runs import SPECS, Outcome, Run, new_figure, options, spread, table, train_all, write_part

NETWORKS = {"hamiltonian": "Hamiltonian", "resnet": "ResNet"}
ALL = 50_000  # training images of CIFAR-10, which shares are shares of
SHARES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
BATCH, EPOCHS = 100, 4

Found = dict[tuple[str, float], list[Outcome]]


def main(arguments: Sequence[str] | None = None) -> Found:
    """Trains both networks on every share; gives the outcomes by network and share."""
    parser = options(__doc__, data="cifar10", seeds=3)
    parser.add_argument("--steps", type=int, default=800, help="of each run [default: 800]")
    parser.add_argument(
        "--images", type=int, default=ALL, help="in the training split [default: all of CIFAR-10]"
    )
    given = parser.parse_args(arguments)
    shares = SHARES[::2] if given.quick else SHARES
    seeds = range(given.seeds or (1 if given.quick else 3))
    cases = [(name, share) for share in shares for name in NETWORKS]
    runs = [
        Run(
            f"{name}-{share:g}-{seed}",
            SPECS / "little" / f"{name}.ode",
            {
                "epochs": EPOCHS,
                "fraction": share * ALL / given.images,
                "repeat": max(1, round(given.steps * BATCH / (EPOCHS * share * ALL))),
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
    images = [share * ALL for share in shares]
    for name, label in NETWORKS.items():
        per_share = [[o.result.accuracy for o in found[name, share]] for share in shares]
        axes.semilogx(images, [100 * mean(values) for values in per_share], "o-", label=label)
    axes.set(xlabel="training images", ylabel="test accuracy (%)")
    axes.legend(frameon=False)
    rows = [
        [f"{100 * share:g} %", f"{share * ALL:,.0f}"]
        + [spread([o.result.accuracy for o in found[name, share]]) for name in NETWORKS]
        for share in shares
    ]
    steps = [int(outcomes[0].rows[-1]["step"]) + 1 for outcomes in found.values()]
    sizes = [f"{label} {found[name, shares[0]][0].result.parameters:,} parameters"
             for name, label in NETWORKS.items()]  # fmt: skip
    each = f"{min(steps):,}" + f" to {max(steps):,}" * (min(steps) < max(steps))
    text = (
        f"{' and '.join(sizes)}; {each} steps of {BATCH} on each share. Test accuracy (%) after "
        f"the last step, mean ± deviation over seeds.\n\n"
        f"{table(['share', 'images', *NETWORKS.values()], rows)}"
    )
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    write_part(given, "Little training data", text, figure, every)


if __name__ == "__main__":
    main()
