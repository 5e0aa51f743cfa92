"""Why a Hamiltonian network is behind a ResNet: one change at a time from a small base.

    python bench/reproduce/behind.py --pictures DIR

where DIR has train/ and test/ with a folder of pictures per class. Runs are appended to
behind.jsonl; what is there already, with the same spec and settings, is not run again.
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
from behind_cases import CASES, CHANGES, NETWORKS, RECIPES, Case
from PIL import Image
from rich.console import Console
from runs import HERE, SPECS, new_figure, processor, put_part, spread, table
from scipy import stats

from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.run import train

SIDE = 16  # the pictures are averaged to this once
PER_CLASS = 1000  # pictures used, of each split
TITLE = "Why the Hamiltonian network is behind"


Found = dict[str, list[dict[str, Any]]]


def main(arguments: Sequence[str] | None = None) -> Found:
    """Runs what is not there yet; gives the records by case, of all cases that are complete."""
    given = _options().parse_args(arguments)
    torch.set_num_threads(1)
    pictures = given.pictures and averaged(given.pictures, given.work / f"pictures-{SIDE}")
    for name in given.only or CASES:
        for seed in range(given.seeds):
            _run(given, CASES[name], seed, pictures)
    found = complete(given)
    if {"base", "ResNet"} <= set(found):
        _report(given, found)
    return found


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=Path, help="folder of train/ and test/")
    parser.add_argument("--data-root", default="data", help="where FashionMNIST/raw lies")
    parser.add_argument("--work", type=Path, default=Path("runs/behind"), help="for what passes")
    parser.add_argument("--results", type=Path, default=HERE, help="folder of RESULTS.md")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="[default: all]")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each case [default: 3]")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for every run"
    )
    return parser


def complete(given: argparse.Namespace) -> Found:
    """The records of the cases that have a run for every seed, with today's specs and settings."""
    records = _read(given.results)
    found = {
        name: [record for seed in range(given.seeds) for record in records
               if _of(given, case, seed).items() <= record.items()]
        for name, case in CASES.items()
    }  # fmt: skip
    return {name: kept for name, kept in found.items() if len(kept) == given.seeds}


def _read(results: Path) -> list[dict[str, Any]]:
    file = results / "behind.jsonl"
    return (
        [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        if file.is_file()
        else []
    )


def _of(given: argparse.Namespace, case: Case, seed: int) -> dict[str, Any]:
    """A run's identity, with what is set for every run."""
    identity = case.identity(seed)
    return {**identity, "settings": {**identity["settings"], **_set(given)}}


def _set(given: argparse.Namespace) -> dict[str, str]:
    return dict(item.split("=", 1) for item in given.set)


def _run(given: argparse.Namespace, case: Case, seed: int, pictures: Path | None) -> None:
    identity = _of(given, case, seed)
    if any(identity.items() <= record.items() for record in _read(given.results)):
        return
    data = {"data": {"folder": [str(pictures)]}} if pictures else {}
    given.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        result = train(
            SPECS / "behind" / f"{case.spec}.ode",
            set={"seed": seed, **data, **case.settings, **_set(given)},
            options=Options(given.data_root, memory="stored"),
            out=f"{folder}/run",
            console=Console(file=StringIO()),
        )
        row = RunFolder(Path(folder) / "run").rows()[-1]
    assert result is not None
    record = {
        **identity,
        "accuracy": round(result.accuracy, 5),
        "train_accuracy": round(row["train_accuracy"], 5),
        "parameters": result.parameters,
        "seconds": round(result.seconds, 1),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    with (given.results / "behind.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(f"{case.name} {seed}: {100 * result.accuracy:.2f}, {result.seconds:.0f} s", flush=True)


def averaged(pictures: Path, place: Path) -> Path:
    """A share of the pictures, averaged to few pixels once, so that short runs do not decode."""
    for split in ("train", "test"):
        for folder in sorted(path for path in (pictures / split).iterdir() if path.is_dir()):
            target = place / split / folder.name
            target.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.iterdir())[:PER_CLASS]:
                small = target / f"{file.stem}.ppm"
                if not small.exists():
                    with Image.open(file) as picture:
                        square = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
                        square.save(small)
    return place


def half_width(found: Found) -> float:
    """Half the 95 % interval of the difference of two cases, where their seeds scatter as usual.

    The usual variance is the median over the cases, which a case that fails does not move, divided
    by the median of what a variance of so few values comes to (chi-squared).
    """
    variances = [variance(r["accuracy"] for r in records) for records in found.values()]
    freedom = min(len(records) for records in found.values()) - 1
    usual = median(variances) / (float(stats.chi2.median(freedom)) / freedom)
    return float(stats.norm.ppf(0.975)) * (2 * usual / (freedom + 1)) ** 0.5


def _report(given: argparse.Namespace, found: Found) -> None:
    means = {name: mean(r["accuracy"] for r in records) for name, records in found.items()}
    width = half_width(found)
    changes = [case.name for case in CHANGES if case.name in found]
    rows = [
        [
            name,
            f"{found[name][0]['parameters']:,}",
            _spread(found[name], "accuracy"),
            _spread(found[name], "train_accuracy"),
            f"{100 * (means[name] - means['base']):+.2f}" if name != "base" else "",
        ]
        for name in changes
    ]
    header = ["network", "parameters", "test accuracy (%)", "in training (%)", "beside the base"]
    tried = [recipe for recipe in RECIPES if any(name.endswith(f", {recipe}") for name in found)]
    recipes = [_recipe(found, "as above", "")]
    recipes += [_recipe(found, recipe, f", {recipe}") for recipe in tried]
    pairs = table(["recipe", *NETWORKS, "base beside ResNet"], recipes)
    seconds = [record["seconds"] for records in found.values() for record in records]
    dates = sorted({record["date"] for records in found.values() for record in records})
    versions = sorted({record["torch"] for records in found.values() for record in records})
    text = (
        f"Short runs on 5,000 pictures of CIFAR-10 (JPEG q75), averaged to {SIDE} × {SIDE}: 400 "
        f"steps of 100, {given.seeds} seeds, which also draw the 5,000. Accuracy on all 10,000 "
        f"test pictures after the last step, and that of the training batches over the run, mean ± "
        f"deviation over seeds. A difference between two rows has a 95 % interval of "
        f"± {100 * width:.2f} points where seeds scatter as in the median case.\n\n"
        f"{table(header, rows)}\n\n"
        f"By other recipes:\n\n{pairs}\n\n"
        f"![{TITLE}](figures/behind.png)\n\n"
        f"Run by `python bench/reproduce/behind.py --pictures cifar10-jpeg --data-root "
        f"fashion-mnist`: {len(seconds)} runs, "
        f"{sum(seconds) / 3600:.2f} hours of training in all, on one of {processor()}, shared with "
        f"others, torch {', '.join(versions)}, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    )
    _draw(given.results, found, changes, means, width)
    put_part(given.results, TITLE, text)


def _recipe(found: Found, label: str, ending: str) -> list[str]:
    """What each network comes to by one recipe, and how far the first is behind the last."""
    runs = [found.get(network + ending, []) for network in NETWORKS]
    ends = [mean(record["accuracy"] for record in run) for run in (runs[0], runs[-1]) if run]
    behind = f"{100 * (ends[0] - ends[1]):+.2f}" if len(ends) == 2 else ""
    return [label, *(_spread(run, "accuracy") if run else "" for run in runs), behind]


def _spread(records: list[dict[str, Any]], key: str) -> str:
    return spread([record[key] for record in records])


def _draw(
    results: Path, found: Found, changes: list[str], means: dict[str, float], width: float
) -> None:
    figure = new_figure()
    figure.set_size_inches(7.5, 0.28 * len(changes) + 1)
    (axes,) = figure.axes
    for place, name in enumerate(reversed(changes)):
        axes.errorbar(100 * means[name], place, xerr=100 * width / 2**0.5, fmt="o", color="C0")
        axes.plot(
            [100 * r["accuracy"] for r in found[name]], [place] * len(found[name]), "k.", ms=3
        )
    for name in ("base", "ResNet"):
        axes.axvline(100 * means[name], color="0.6", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(changes)), list(reversed(changes)))
    axes.set_xlabel("test accuracy (%), mean with 95 % interval, and each seed")
    (results / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(results / "figures" / "behind.png", dpi=120)


if __name__ == "__main__":
    main()
