"""An ablation: why a Hamiltonian network is less accurate than a ResNet of the same size.

    python bench/reproduce/ablation.py --pictures DIR

where DIR has train/ and test/ with a folder of pictures per class. A small Hamiltonian network, the
base, is changed in one or two points at a time. Each run is appended to ablation.jsonl; a run that
is there already, with the same spec and settings, is not repeated.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from statistics import mean, median, variance
from typing import Any

import torch
from ablation_cases import CASES, CHANGES, NETWORKS, RECIPES, Case
from PIL import Image
from rich.console import Console
from runs import HERE, SPECS, mean_and_deviation, new_figure, processor, replace_part, table
from scipy import stats

from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.run import train

SIDE = 16  # pixels; the pictures are averaged to this size
PICTURES_PER_CLASS = 1000  # in each split
TITLE = "Why the Hamiltonian network is behind"


RecordsByCase = dict[str, list[dict[str, Any]]]  # one record per seed, as in ablation.jsonl


def main(arguments: Sequence[str] | None = None) -> RecordsByCase:
    """Runs what is missing and writes the report; returns `complete_cases`."""
    args = _argument_parser().parse_args(arguments)
    torch.set_num_threads(1)
    pictures = args.pictures and averaged_pictures(args.pictures, args.work / f"pictures-{SIDE}")
    for name in args.only or CASES:
        for seed in range(args.seeds):
            _run(args, CASES[name], seed, pictures)
    cases = complete_cases(args)
    if {"base", "ResNet"} <= set(cases):
        _write_report(args, cases)
    return cases


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=Path, help="folder of train/ and test/")
    parser.add_argument("--data-root", default="data", help="where FashionMNIST/raw lies")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/ablation"), help="folder of pictures and runs"
    )
    parser.add_argument("--results", type=Path, default=HERE, help="folder of RESULTS.md")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="[default: all]")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each case [default: 3]")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for every run"
    )
    return parser


def complete_cases(args: argparse.Namespace) -> RecordsByCase:
    """The records of the cases with a run for every seed, by the current specs and settings."""
    records = _read_records(args.results)
    by_case = {
        name: [record for seed in range(args.seeds) for record in records
               if _identity(args, case, seed).items() <= record.items()]
        for name, case in CASES.items()
    }  # fmt: skip
    return {name: records for name, records in by_case.items() if len(records) == args.seeds}


def _read_records(results: Path) -> list[dict[str, Any]]:
    """The records in the ablation.jsonl of a folder; none if there is no such file."""
    file = results / "ablation.jsonl"
    return (
        [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        if file.is_file()
        else []
    )


def _identity(args: argparse.Namespace, case: Case, seed: int) -> dict[str, Any]:
    """`Case.identity`, with the settings of the command line."""
    identity = case.identity(seed)
    return {**identity, "settings": {**identity["settings"], **_settings(args)}}


def _settings(args: argparse.Namespace) -> dict[str, str]:
    """What `--set` sets for every run."""
    return dict(item.split("=", 1) for item in args.set)


def _run(args: argparse.Namespace, case: Case, seed: int, pictures: Path | None) -> None:
    """Train a case with a seed and record the result, unless it is recorded already."""
    identity = _identity(args, case, seed)
    if any(identity.items() <= record.items() for record in _read_records(args.results)):
        return
    data = {"data": {"folder": [str(pictures)]}} if pictures else {}
    args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        result = train(
            SPECS / "ablation" / f"{case.spec}.ode",
            set={"seed": seed, **data, **case.settings, **_settings(args)},
            options=Options(args.data_root, memory="stored"),
            out=f"{folder}/run",
            console=Console(file=StringIO()),
        )
        last_epoch = RunFolder(Path(folder) / "run").rows()[-1]
    assert result is not None
    record = {
        **identity,
        "accuracy": round(result.accuracy, 5),
        "train_accuracy": round(last_epoch["train_accuracy"], 5),
        "parameters": result.parameters,
        "seconds": round(result.seconds, 1),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    with (args.results / "ablation.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(f"{case.name} {seed}: {100 * result.accuracy:.2f}, {result.seconds:.0f} s", flush=True)


def averaged_pictures(pictures: Path, small_pictures: Path) -> Path:
    """Write some of the pictures with their pixels averaged, so that runs need not decode them.

    Args:
        pictures: folder of train/ and test/.
        small_pictures: folder for the result; what is there already is kept.

    Returns:
        The latter folder.
    """
    for split in ("train", "test"):
        for folder in sorted(path for path in (pictures / split).iterdir() if path.is_dir()):
            target = small_pictures / split / folder.name
            target.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.iterdir())[:PICTURES_PER_CLASS]:
                small = target / f"{file.stem}.ppm"
                if not small.exists():
                    with Image.open(file) as picture:
                        square = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
                        square.save(small)
    return small_pictures


def half_width(cases: RecordsByCase) -> float:
    """Half the width of the 95 % interval of a difference between the mean accuracies of two cases.

    All cases are assumed to have the same variance over seeds. It is estimated by the median over
    the cases, which outliers hardly change, divided by the median of the chi-squared distribution
    over its degrees of freedom.
    """
    variances = [variance(r["accuracy"] for r in records) for records in cases.values()]
    degrees_of_freedom = min(len(records) for records in cases.values()) - 1
    chi2_median = float(stats.chi2.median(degrees_of_freedom))
    common_variance = median(variances) / (chi2_median / degrees_of_freedom)
    return float(stats.norm.ppf(0.975)) * (2 * common_variance / (degrees_of_freedom + 1)) ** 0.5


def _write_report(args: argparse.Namespace, cases: RecordsByCase) -> None:
    """Write the part of RESULTS.md on this ablation, and its figure."""
    means = {name: mean(r["accuracy"] for r in records) for name, records in cases.items()}
    half_interval = half_width(cases)
    changes = [case.name for case in CHANGES if case.name in cases]
    rows = [
        [
            name,
            f"{cases[name][0]['parameters']:,}",
            _mean_and_deviation(cases[name], "accuracy"),
            _mean_and_deviation(cases[name], "train_accuracy"),
            f"{100 * (means[name] - means['base']):+.2f}" if name != "base" else "",
        ]
        for name in changes
    ]
    header = ["network", "parameters", "test accuracy (%)", "in training (%)", "beside the base"]
    recipes = [recipe for recipe in RECIPES if any(name.endswith(f", {recipe}") for name in cases)]
    recipe_rows = [_recipe_row(cases, "as above", "")]
    recipe_rows += [_recipe_row(cases, recipe, f", {recipe}") for recipe in recipes]
    recipe_table = table(["recipe", *NETWORKS, "base beside ResNet"], recipe_rows)
    seconds = [record["seconds"] for records in cases.values() for record in records]
    dates = sorted({record["date"] for records in cases.values() for record in records})
    versions = sorted({record["torch"] for records in cases.values() for record in records})
    text = (
        f"Short runs on 5,000 pictures of CIFAR-10 (JPEG q75), averaged to {SIDE} × {SIDE}: 400 "
        f"steps of 100, {args.seeds} seeds, which also draw the 5,000. Accuracy on all 10,000 "
        f"test pictures after the last step, and that of the training batches over the run, mean ± "
        f"deviation over seeds. A difference between two rows has a 95 % interval of "
        f"± {100 * half_interval:.2f} points where seeds scatter as in the median case.\n\n"
        f"{table(header, rows)}\n\n"
        f"By other recipes:\n\n{recipe_table}\n\n"
        f"![{TITLE}](figures/ablation.png)\n\n"
        f"Run by `python bench/reproduce/ablation.py --pictures cifar10-jpeg --data-root "
        f"fashion-mnist`: {len(seconds)} runs, "
        f"{sum(seconds) / 3600:.2f} hours of training in all, on one of {processor()}, shared with "
        f"others, torch {', '.join(versions)}, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    )
    _draw(args.results, cases, changes, means, half_interval)
    replace_part(args.results, TITLE, text)


def _recipe_row(cases: RecordsByCase, label: str, ending: str) -> list[str]:
    """The row of a recipe: the accuracy of each network, and the difference of base and ResNet.

    Args:
        cases: those with records.
        label: the first cell.
        ending: what the names of the recipe's cases end with.
    """
    by_network = {network: cases.get(network + ending, []) for network in NETWORKS}
    base, resnet = by_network["base"], by_network["ResNet"]
    difference = ""
    if base and resnet:
        points = 100 * (mean(r["accuracy"] for r in base) - mean(r["accuracy"] for r in resnet))
        difference = f"{points:+.2f}"
    cells = (_mean_and_deviation(rs, "accuracy") if rs else "" for rs in by_network.values())
    return [label, *cells, difference]


def _mean_and_deviation(records: list[dict[str, Any]], key: str) -> str:
    return mean_and_deviation([record[key] for record in records])


def _draw(
    results: Path,
    cases: RecordsByCase,
    changes: list[str],
    means: dict[str, float],
    half_interval: float,
) -> None:
    """Draw the accuracy of each change: its mean with an interval, and every seed.

    Args:
        results: the folder of RESULTS.md.
        cases: the records.
        changes: the cases to draw.
        means: the mean accuracy of each case.
        half_interval: `half_width`, for differences; for one mean it is smaller by the root of 2.
    """
    figure = new_figure()
    figure.set_size_inches(7.5, 0.28 * len(changes) + 1)
    (axes,) = figure.axes
    for y, name in enumerate(reversed(changes)):
        accuracies = [100 * r["accuracy"] for r in cases[name]]
        axes.errorbar(100 * means[name], y, xerr=100 * half_interval / 2**0.5, fmt="o", color="C0")
        axes.plot(accuracies, [y] * len(accuracies), "k.", ms=3)
    for name in ("base", "ResNet"):
        axes.axvline(100 * means[name], color="0.6", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(changes)), list(reversed(changes)))
    axes.set_xlabel("test accuracy (%), mean with 95 % interval, and each seed")
    (results / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(results / "figures" / "ablation.png", dpi=120)


if __name__ == "__main__":
    main()
