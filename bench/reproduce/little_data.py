"""Little training data: a Hamiltonian network against a ResNet (Chang et al. 2018, AAAI, Fig. 3).

    python bench/reproduce/little_data.py --data-root DIR
    python bench/reproduce/little_data.py --data folder:DIR

where DIR has cifar-10-batches-py, or train/ and test/ with a folder of pictures per class. Both
networks are the paper's: 4 units of 4 blocks with 16, 64, 128 and 256 channels. Each is trained on
class-balanced shares of the training images, for the same number of steps on each share, and tested
on all test images. `--set w=4 --set size=16` makes them a quarter as wide, on smaller images.
"""

import argparse
from collections.abc import Sequence
from statistics import mean

import runs

NETWORKS = {"hamiltonian": "Hamiltonian", "resnet": "ResNet"}  # labels, by the names of specs
CIFAR10_IMAGES = 50_000  # for training
# Shares of the training images of CIFAR-10; of another data set as many images are taken.
SHARES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
BATCH, EPOCHS = 100, 4  # the batch is that of specs/little_data

Case = tuple[str, float]  # a network and a share
OutcomesByCase = dict[Case, list[runs.Outcome]]  # one per seed


def main(arguments: Sequence[str] | None = None) -> OutcomesByCase:
    """Trains both networks on every share; returns the outcomes."""
    parser = runs.argument_parser(__doc__, data="cifar10", seed_count=3)
    parser.add_argument("--steps", type=int, default=800, help="of each run [default: 800]")
    parser.add_argument(
        "--images",
        type=int,
        default=CIFAR10_IMAGES,
        help="in the training split [default: all of CIFAR-10]",
    )
    args = parser.parse_args(arguments)
    shares = SHARES[::2] if args.quick else SHARES
    seeds = range(args.seeds or (1 if args.quick else 3))
    cases = [(name, share) for share in shares for name in NETWORKS]

    def run_of(case: Case, seed: int) -> runs.Run:
        name, share = case
        images = share * CIFAR10_IMAGES
        # An epoch passes over the share as often as it takes for the same number of steps.
        settings = {
            "epochs": EPOCHS,
            "fraction": images / args.images,
            "repeat": max(1, round(args.steps * BATCH / (EPOCHS * images))),
            "seed": seed,
        }
        spec = runs.SPECS / "little_data" / f"{name}.ode"
        return runs.Run(f"{name}-{share:g}-{seed}", spec, settings)

    by_case = runs.train_all(args, cases, seeds, run_of)
    _write_report(args, by_case, shares)
    return by_case


def _write_report(
    args: argparse.Namespace, by_case: OutcomesByCase, shares: Sequence[float]
) -> None:
    """Write the part of RESULTS.md: a table, and the accuracy over the number of images."""
    figure = runs.new_figure()
    (axes,) = figure.axes
    images = [share * CIFAR10_IMAGES for share in shares]
    for name, label in NETWORKS.items():
        accuracies = [mean(o.result.accuracy for o in by_case[name, share]) for share in shares]
        axes.semilogx(images, [100 * accuracy for accuracy in accuracies], "o-", label=label)
    axes.set(xlabel="training images", ylabel="test accuracy (%)")
    axes.legend(frameon=False)
    rows = [
        [f"{100 * share:g} %", f"{share * CIFAR10_IMAGES:,.0f}"]
        + [
            runs.mean_and_deviation([o.result.accuracy for o in by_case[name, share]])
            for name in NETWORKS
        ]
        for share in shares
    ]
    steps = [int(outcomes[0].rows[-1]["step"]) + 1 for outcomes in by_case.values()]
    sizes = [f"{label} {by_case[name, shares[0]][0].result.parameters:,} parameters"
             for name, label in NETWORKS.items()]  # fmt: skip
    step_range = f"{min(steps):,}" + f" to {max(steps):,}" * (min(steps) < max(steps))
    text = (
        f"{' and '.join(sizes)}; {step_range} steps of {BATCH} on each share. "
        f"Test accuracy (%) after the last step, mean ± deviation over seeds.\n\n"
        f"{runs.table(['share', 'images', *NETWORKS.values()], rows)}"
    )
    runs.write_part(args, "Little training data", text, figure, by_case)


if __name__ == "__main__":
    main()
