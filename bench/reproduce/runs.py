"""What the scripts share: their options, runs of `odenet train` side by side, and RESULTS.md."""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from odenet.files import write_text
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result

HERE = Path(__file__).parent
SPECS = HERE / "specs"
FRONT = (
    "# Results\n\nEach part is written by the script that it names; running it again replaces it.\n"
)


@dataclass(frozen=True)
class Run:
    """One call of `odenet train`.

    Args:
        name: of its folder.
        spec: the file.
        settings: what `--set` gives.
        flags: further arguments.
    """

    name: str
    spec: Path
    settings: dict[str, object]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its closing numbers, and a row per epoch."""

    result: Result
    rows: list[dict[str, float]] = field(repr=False)


def options(text: str, data: str, seeds: int, jobs: int = 0) -> argparse.ArgumentParser:
    """A parser for a script of that text, with the options that all of them have."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--data", default=data, help=f"as in odenet train [default: {data}]")
    parser.add_argument("--data-root", default="data", help="where published sets lie")
    parser.add_argument("--quick", action="store_true", help="a small version, about ten minutes")
    parser.add_argument("--seeds", type=int, help=f"runs of each kind [default: {seeds}]")
    jobs = jobs or (1 if torch.cuda.is_available() else cores or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help=f"runs at a time [default: {jobs}]")
    parser.add_argument("--runs", type=Path, help="folder of the runs [default: runs/SCRIPT]")
    parser.add_argument("--results", type=Path, default=HERE, help="folder of RESULTS.md")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for every run"
    )
    return parser


def train_all(given: argparse.Namespace, runs: Sequence[Run]) -> list[Outcome]:
    """Train what is not trained yet, several at a time; a stopped script goes on where it was."""
    default = f"{Path(sys.argv[0]).stem}-quick" if given.quick else Path(sys.argv[0]).stem
    folder = given.runs or Path("runs") / default
    with ThreadPoolExecutor(given.jobs) as pool:
        return list(pool.map(lambda run: _train(given, run, folder / run.name), runs))


def _train(given: argparse.Namespace, run: Run, folder: Path) -> Outcome:
    settings = {name: str(value) for name, value in run.settings.items()}
    settings |= dict(item.split("=", 1) for item in given.set)
    place = RunFolder(folder)
    if place.record.is_file():
        kept = dict(place.read_record().settings)
        if {**settings, "data": kept.get("data")} != kept:
            raise SystemExit(f"{folder} is another run: remove it, or name another place by --runs")
        command = ["--resume", str(folder)]
    else:
        command = [str(run.spec), "--data", given.data, "--data-root", given.data_root]
        command += ["--out", str(folder), *run.flags]
        command += [f"--set={name}={value}" for name, value in settings.items()]
    if not place.result.is_file():
        began = time.monotonic()
        _call(command, threads=max(1, (os.cpu_count() or 1) // given.jobs))
        print(f"{run.name}: {time.monotonic() - began:.0f} s", flush=True)
    return Outcome(Result.read(place.result), place.rows())


def _call(arguments: list[str], threads: int) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    command = [sys.executable, "-m", "odenet", "train", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"odenet train {' '.join(arguments)}\n{done.stderr or done.stdout}")


def spread(values: Sequence[float], scale: float = 100) -> str:
    """Mean and deviation, in percent: `91.20 ± 0.15`."""
    deviation = f" ± {scale * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{scale * mean(values):.2f}{deviation}"


def counted(number: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write_part(
    given: argparse.Namespace, title: str, text: str, figure: Figure, outcomes: Sequence[Outcome]
) -> None:
    """Put a part with its figure into RESULTS.md, in place of the one of that title."""
    if given.quick:
        title += " (quick version)"
    name = Path(sys.argv[0]).stem + ("-quick" if given.quick else "")
    (given.results / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(given.results / "figures" / f"{name}.png", dpi=120)
    picture = f"![{title}](figures/{name}.png)"
    put_part(given.results, title, f"{text}\n\n{picture}\n\n{_conditions(given, outcomes)}")


def put_part(results: Path, title: str, text: str) -> None:
    """Put a part into RESULTS.md, in place of the one of that title."""
    part = f"## {title}\n\n{text}\n"
    file = results / "RESULTS.md"
    before = file.read_text("utf-8") if file.is_file() else FRONT
    front, *parts = before.split("\n## ")
    kept = [f"## {old}" for old in parts if old.partition("\n")[0] != title]
    write_text(file, "\n".join([front.rstrip() + "\n", *sorted([*kept, part])]))
    print(f"wrote {file}")


def _options(given: argparse.Namespace) -> Iterator[str]:
    """The options that a run was given or took by default, but for places and machine."""
    for name, value in vars(given).items():
        option = f"--{name.replace('_', '-')}"
        if name in {"data", "data_root", "runs", "results", "jobs"} or value in (None, False):
            continue
        if name == "set":
            yield from (f"{option} {item}" for item in value)
        elif isinstance(value, list):
            yield f"{option} {' '.join(map(str, value))}"
        else:
            yield option if value is True else f"{option} {value}"


def _conditions(given: argparse.Namespace, outcomes: Sequence[Outcome]) -> str:
    """What was run, on what, for how long."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    hours = sum(outcome.result.seconds for outcome in outcomes) / 3600
    data = Path(given.data.removeprefix("folder:")).name
    command = " ".join([f"python bench/reproduce/{Path(sys.argv[0]).name}", *_options(given)])
    return (
        f"Run by `{command}` on {data}: {len(outcomes)} runs, {given.jobs} at a time, "
        f"{hours:.2f} hours of training in all, on {device}, torch {torch.__version__}, "
        f"{time.strftime('%Y-%m-%d')}."
    )


def processor() -> str:
    """The processor's name and how many cores of it there are."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"


def new_figure(panels: int = 1) -> Figure:
    """A figure with panels side by side."""
    figure = Figure(figsize=(5.5 * panels, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes in figure.subplots(1, panels, squeeze=False)[0]:
        axes.grid(alpha=0.3)
    return figure
