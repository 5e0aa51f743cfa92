"""What the scripts of this folder share: options, runs of `odenet train`, tables and RESULTS.md."""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeVar

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from odenet.files import write_text
from odenet.model.reading.settings import data_setting
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result

HERE = Path(__file__).parent
SPECS = HERE / "specs"
INTRODUCTION = (
    "# Results\n\nEach part is written by the script that it names; running it again replaces it.\n"
)
CaseT = TypeVar("CaseT")  # what a script compares, such as (network, share of the data)


@dataclass(frozen=True)
class Run:
    """A call of `odenet train` that a script needs the outcome of.

    Args:
        name: the name of the run's folder.
        spec: the path of the .ode file.
        settings: the values to pass by `--set`.
    """

    name: str
    spec: Path
    settings: dict[str, object]


@dataclass(frozen=True)
class Outcome:
    """What a finished run has achieved: its final numbers, and a row of metrics per epoch."""

    result: Result
    rows: list[dict[str, float]] = field(repr=False)


def argument_parser(docstring: str, data: str, seed_count: int) -> argparse.ArgumentParser:
    """A parser of a script's command line, with the options that all scripts have.

    Args:
        docstring: the docstring of the script; its first line is the description.
        data: the default of `--data`.
        seed_count: the default number of seeds, for the help; the script has to apply it.
    """
    parser = argparse.ArgumentParser(description=docstring.partition("\n")[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--data", default=data, help=f"as in odenet train [default: {data}]")
    parser.add_argument("--data-root", default="data", help="folder of the published data sets")
    parser.add_argument("--quick", action="store_true", help="a small version, about ten minutes")
    parser.add_argument("--seeds", type=int, help=f"runs of each case [default: {seed_count}]")
    jobs = 1 if torch.cuda.is_available() else cores or 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"runs at a time [default: {jobs}]")
    parser.add_argument("--runs", type=Path, help="folder of the runs [default: runs/SCRIPT]")
    parser.add_argument("--results", type=Path, default=HERE, help="folder of RESULTS.md")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for every run"
    )
    return parser


def train_all(
    args: argparse.Namespace,
    cases: Sequence[CaseT],
    seeds: range,
    run_of: Callable[[CaseT, int], Run],
) -> dict[CaseT, list[Outcome]]:
    """Train every case with every seed, `--jobs` at a time, except for runs that are finished.

    Args:
        args: the command line.
        cases: what is compared.
        seeds: the seeds with which each case is trained.
        run_of: gives the run of a case and a seed.

    Returns:
        The outcomes of each case, one per seed.
    """
    script_name = Path(sys.argv[0]).stem
    folder = args.runs or Path("runs") / (f"{script_name}-quick" if args.quick else script_name)
    runs = [run_of(case, seed) for seed in seeds for case in cases]
    with ThreadPoolExecutor(args.jobs) as pool:
        outcomes = list(pool.map(lambda run: _train(args, run, folder / run.name), runs))
    return {case: outcomes[index :: len(cases)] for index, case in enumerate(cases)}


def _train(args: argparse.Namespace, run: Run, folder: Path) -> Outcome:
    """Train a run in a folder; one that was begun there is resumed, a finished one only read."""
    settings = {name: str(value) for name, value in run.settings.items()}
    settings |= dict(item.split("=", 1) for item in args.set)
    run_folder = RunFolder(folder)
    if run_folder.record.is_file():
        if {**settings, "data": data_setting(args.data)} != run_folder.read_record().settings:
            raise SystemExit(f"{folder} is another run: remove it, or name another place by --runs")
        command = ["--resume", str(folder)]
    else:
        command = [str(run.spec), "--data", args.data, "--data-root", args.data_root]
        command += ["--out", str(folder)]
        command += [f"--set={name}={value}" for name, value in settings.items()]
    if not run_folder.result.is_file():
        start = time.monotonic()
        _odenet_train(command, threads=max(1, (os.cpu_count() or 1) // args.jobs))
        print(f"{run.name}: {time.monotonic() - start:.0f} s", flush=True)
    return Outcome(Result.read(run_folder.result), run_folder.rows())


def _odenet_train(arguments: list[str], threads: int) -> None:
    """Call `odenet train` in a process of its own; ends the script if that fails."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    command = [sys.executable, "-m", "odenet", "train", *arguments]
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        raise SystemExit(f"odenet train {' '.join(arguments)}\n{child.stderr or child.stdout}")


def mean_and_deviation(fractions: Sequence[float]) -> str:
    """Mean and standard deviation of fractions between 0 and 1, in percent: `91.20 ± 0.15`."""
    deviation = f" ± {100 * stdev(fractions):.2f}" if len(fractions) > 1 else ""
    return f"{100 * mean(fractions):.2f}{deviation}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write_part(
    args: argparse.Namespace,
    title: str,
    text: str,
    figure: Figure,
    by_case: Mapping[Any, Sequence[Outcome]],
) -> None:
    """Write a part of RESULTS.md with its figure, in place of an older part of the same title.

    Args:
        args: the command line.
        title: the title of the part.
        text: the text below the title, in Markdown.
        figure: saved beside RESULTS.md under the name of the script.
        by_case: the outcomes of all runs, for the line that says how they were made.
    """
    if args.quick:
        title += " (quick version)"
    name = Path(sys.argv[0]).stem + ("-quick" if args.quick else "")
    (args.results / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(args.results / "figures" / f"{name}.png", dpi=120)
    picture = f"![{title}](figures/{name}.png)"
    conditions = _conditions(args, [o for outcomes in by_case.values() for o in outcomes])
    replace_part(args.results, title, f"{text}\n\n{picture}\n\n{conditions}")


def replace_part(results: Path, title: str, text: str) -> None:
    """Write a part of RESULTS.md, in place of an older part of the same title."""
    new_part = f"## {title}\n\n{text}\n"
    file = results / "RESULTS.md"
    old_text = file.read_text("utf-8") if file.is_file() else INTRODUCTION
    introduction, *parts = old_text.split("\n## ")
    other_parts = [f"## {part}" for part in parts if part.partition("\n")[0] != title]
    write_text(file, "\n".join([introduction.rstrip() + "\n", *sorted([*other_parts, new_part])]))
    print(f"wrote {file}")


def _options(args: argparse.Namespace) -> Iterator[str]:
    """The options in effect, as one writes them, except those about folders and the machine."""
    for name, value in vars(args).items():
        option = f"--{name.replace('_', '-')}"
        if name in {"data", "data_root", "runs", "results", "jobs"} or value in (None, False):
            continue
        if name == "set":
            yield from (f"{option} {item}" for item in value)
        elif isinstance(value, list):
            yield f"{option} {' '.join(map(str, value))}"
        else:
            yield option if value is True else f"{option} {value}"


def _conditions(args: argparse.Namespace, outcomes: Sequence[Outcome]) -> str:
    """The sentence on how the outcomes were made: command, data, time, machine, versions."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    hours = sum(outcome.result.seconds for outcome in outcomes) / 3600
    data = Path(args.data.removeprefix("folder:")).name
    command = " ".join([f"python bench/reproduce/{Path(sys.argv[0]).name}", *_options(args)])
    return (
        f"Run by `{command}` on {data}: {len(outcomes)} runs, {args.jobs} at a time, "
        f"{hours:.2f} hours of training in all, on {device}, torch {torch.__version__}, "
        f"{time.strftime('%Y-%m-%d')}."
    )


def processor() -> str:
    """The number of cores and the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"


def new_figure(panels: int = 1) -> Figure:
    """A figure with panels side by side."""
    figure = Figure(figsize=(5.5 * panels, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes in figure.subplots(1, panels, squeeze=False)[0]:
        axes.grid(alpha=0.3)
    return figure
