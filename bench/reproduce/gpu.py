"""Networks of Chang et al. 2018 (AAAI), Table 1, on CIFAR-10 with the paper's recipe; for a GPU.

    python bench/reproduce/gpu.py --data-root DIR
    python bench/reproduce/gpu.py --data folder:DIR --epochs 40 --networks hamiltonian-218

Fewer epochs than 160 (at least 4) move the cuts of the learning rate in proportion.
"""

import argparse
from collections.abc import Sequence

from runs import HERE, Outcome, Run, new_figure, options, spread, table, train_all, write_part

from odenet.model.presets import preset

# The test accuracy that the paper gives for the preset, in percent.
PAPER = {
    "resnet-32": 92.86,
    "revnet-38": 92.76,
    "hamiltonian-74": 92.76,
    "midpoint-26": 91.16,
    "leapfrog-26": 91.92,
    "resnet-110": 94.26,
    "revnet-110": 94.24,
    "hamiltonian-218": 94.02,
    "midpoint-62": 92.76,
    "leapfrog-62": 93.40,
    "hamiltonian-1202": 93.84,
}


def main(arguments: Sequence[str] | None = None) -> dict[str, list[Outcome]]:
    """Trains the networks one after the other; gives the outcomes by network."""
    parser = options(__doc__, data="cifar10", seeds=1, jobs=1)
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--compile", action="store_true", help="as in odenet train")
    parser.add_argument("--networks", nargs="+", choices=PAPER, metavar="NAME",
                        default=["resnet-32", "hamiltonian-74"], help=", ".join(PAPER))  # fmt: skip
    given = parser.parse_args(arguments)
    epochs, seeds = (4 if given.quick else given.epochs), range(given.seeds or 1)
    cuts = [epochs // 2, 3 * epochs // 4]
    common = {"epochs": epochs, "schedule": f"steps(at = {cuts}, factor = 0.1)"}
    flags = ("--compile",) if given.compile else ()
    runs = [
        _run(name, {**common, "seed": seed}, flags) for name in given.networks for seed in seeds
    ]
    outcomes = iter(train_all(given, runs))
    found = {name: [next(outcomes) for _ in seeds] for name in given.networks}
    _report(given, found)
    return found


def _run(name: str, settings: dict[str, object], flags: tuple[str, ...]) -> Run:
    spec = HERE.parents[1] / "specs" / f"{name.partition('-')[0]}.ode"
    return Run(f"{name}-{settings['seed']}", spec, {**preset(spec, name), **settings}, flags)


def _report(given: argparse.Namespace, found: dict[str, list[Outcome]]) -> None:
    figure = new_figure()
    (axes,) = figure.axes
    rows = []
    for name, outcomes in found.items():
        result = outcomes[0].result
        accuracy = spread([outcome.result.accuracy for outcome in outcomes])
        memory = "" if result.memory is None else f"{result.memory / 2**20:,.0f}"
        minutes, speed = f"{result.seconds / 60:.0f}", f"{result.samples_per_second:,.0f}"
        paper = f"{PAPER[name]:.2f}"
        rows.append([name, f"{result.parameters:,}", accuracy, paper, minutes, speed, memory])
        curve = [100 * row["test_accuracy"] for row in outcomes[0].rows]
        axes.plot(range(1, len(curve) + 1), curve, label=name)
    axes.set(xlabel="epoch", ylabel="test accuracy (%)")
    axes.legend(frameon=False)
    header = ["network", "parameters", "test accuracy (%)", "paper (%)", "minutes", "images/s",
              "peak MiB"]  # fmt: skip
    epochs = next(iter(found.values()))[0].result.epochs
    text = (
        f"{epochs} of the paper's 160 epochs, its batch, optimizer and penalties; accuracy after "
        f"the last epoch.\n\n{table(header, rows)}"
    )
    every = [outcome for outcomes in found.values() for outcome in outcomes]
    write_part(given, "Table 1 on CIFAR-10", text, figure, every)


if __name__ == "__main__":
    main()
