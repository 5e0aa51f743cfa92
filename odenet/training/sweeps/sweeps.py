"""A sweep: a spec is trained at every point of a grid of settings, each point as a run of its own.

The folder of a sweep contains `sweep.json`, written at the start, and a run's folder for each
point. Outcomes are read from these folders, so that an interrupted sweep can be resumed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import count, product
from math import prod
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import odenet
from odenet.compiler import Program
from odenet.diagnostics import Diagnostic, Source, SpecError, shell_quoted
from odenet.files import make_folder, write_text
from odenet.json_text import to_json
from odenet.training.checksums import read_sealed_json, sealed_json
from odenet.training.errors import BadOption, BadRunFolder, Diverged
from odenet.training.run_folder.metrics import as_csv
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.check_claims import check_claims
from odenet.training.runs.data_sources import SET_OPTION
from odenet.training.runs.results import Result
from odenet.training.runs.run import resume, train

MAX_POINTS = 1000  # of a grid
MAX_SETTINGS_LENGTH = 60  # characters for the settings in the name of a point's folder


@dataclass(frozen=True)
class Sweep:
    """The content of `sweep.json`: what a sweep was started with.

    Args:
        name: the name of the spec.
        spec: the path of its file.
        digest: the SHA-256 of its text.
        axes: the axes of the grid: by the name of each swept setting, its values as text.
        settings: the settings that all points share; none of them is swept.
        options: where and how each point runs.
        unchecked: train even if a claim of the spec is refuted or open.
    """

    name: str
    spec: str
    digest: str
    axes: Mapping[str, Sequence[str]]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Options = field(default_factory=Options)
    unchecked: bool = False

    @property
    def point_settings(self) -> list[dict[str, str]]:
        """The swept settings of each point; the last axis changes fastest."""
        grid = product(*self.axes.values())
        return [dict(zip(self.axes, values, strict=True)) for values in grid]


@dataclass(frozen=True)
class Failure:
    """The result of a point that diverged, in place of a `Result`.

    Args:
        epoch: the epoch in which it diverged, counted from 1.
        message: what happened.
    """

    epoch: int
    message: str


@dataclass(frozen=True)
class Point:
    """A point of a sweep, with the result of its run where there is one yet.

    Args:
        settings: the swept settings of the point, without those that all points share.
        folder: the folder of its run.
        result: None if the run is not finished.
    """

    settings: Mapping[str, str]
    folder: Path
    result: Result | Failure | None


def read_axes(text: str) -> dict[str, list[str]]:
    """The axes of a grid from the text of `--sweep`, such as `"h=0.05,0.1 lr=1e-3,1e-2"`.

    Raises:
        TrainingError: the text is malformed, or the grid has too many points.
    """
    axes: dict[str, list[str]] = {}
    for item in filter(None, _split_outside_brackets(text, " ")):
        name, equals, values = item.partition("=")
        texts = _split_outside_brackets(values, ",")
        if not (equals and name.strip() and any(texts)):
            help_ = 'write --sweep "h=0.05,0.1 lr=1e-3,1e-2", without spaces around = and commas'
            raise BadOption(f"--sweep: {item} is not a name with values", help_)
        if not all(texts):
            help_ = "remove the comma, or write the value that belongs there"
            raise BadOption(f"--sweep: a value is missing in {item}", help_)
        if repeated := [value for value in dict.fromkeys(texts) if texts.count(value) > 1]:
            help_ = "remove one; to train a point again with other random numbers, sweep seed"
            raise BadOption(f"--sweep: {name} is {repeated[0]} twice", help_)
        if name in axes:
            raise BadOption(f"--sweep names {name} twice", "write all its values in one list")
        axes[name] = texts
    point_count = prod(map(len, axes.values()))
    if not axes or point_count > MAX_POINTS:
        problem = f"has {point_count:,} points" if axes else "is empty"
        raise BadOption(f"--sweep {problem}", f"give 1 to {MAX_POINTS:,}, as in --sweep h=0.1,0.2")
    return axes


def _split_outside_brackets(text: str, separator: str) -> list[str]:
    """The parts of a text between separators, ignoring separators in brackets or quotes."""
    parts, depth, quoted = [""], 0, False
    for char in text:
        quoted ^= char == '"'
        depth += (char in "([{") - (char in ")]}")
        if char == separator and depth <= 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def new_sweep(
    spec: Path,
    axes: Mapping[str, Sequence[str]],
    settings: Mapping[str, Any],
    options: Options,
    out: str | None = None,
    unchecked: bool = False,
) -> Path:
    """Make the folder of a new sweep, after compiling every point; returns its path.

    Args:
        spec: the path of the spec's file.
        axes: see `read_axes`.
        settings: the settings that all points share.
        options: where and how each point runs.
        out: the path of the folder; None for the next free `runs/NAME-sweep-1`, …
        unchecked: train even if a claim of the spec is refuted or open.

    Raises:
        SpecError: a point cannot be compiled, or has a claim that is not proved.
        TrainingError: a setting is both swept and fixed, or the folder is not empty.
    """
    if conflicts := axes.keys() & settings.keys():
        raise BadOption(f"{min(conflicts)} is swept, and set too", "leave one of them out")
    program = odenet.load(spec, set=settings)
    path, digest = str(spec.resolve()), _spec_digest(program)
    sweep = Sweep(program.name, path, digest, axes, settings, options, unchecked)
    for point in sweep.point_settings:
        try:
            check_claims(odenet.load(spec, set={**settings, **point}), unchecked)
        except SpecError as error:
            raise SpecError(_with_sweep_option(d, point) for d in error.diagnostics) from None
    folder = _next_free_folder(program.name) if out is None else Path(out)
    make_folder(folder)
    sweep_file = folder / "sweep.json"
    if sweep_file.is_file():
        if sweep_file.read_text(encoding="utf-8") != sealed_json(asdict(sweep)):
            command = f"odenet train --resume {shell_quoted(folder)}"
            help_ = f"choose another --out, or go on with it: {command}"
            raise BadRunFolder(f"{folder} holds another sweep", help_)
    elif any(folder.iterdir()):
        raise BadRunFolder(f"{folder} is not empty", "choose another --out")
    write_text(sweep_file, sealed_json(asdict(sweep)))
    return folder


def _with_sweep_option(diagnostic: Diagnostic, point: Mapping[str, str]) -> Diagnostic:
    """A diagnostic of a point; about a swept setting, it names `--sweep` instead of `--set`."""
    # Diagnostics quote a setting by the last part of its name: `optimizer.lr=0.1` as `lr=0.1`.
    swept = {f"{name.rpartition('.')[2]}={value}" for name, value in point.items()}
    span = diagnostic.span
    if span is None or span.source.name != SET_OPTION or span.source.text not in swept:
        return diagnostic
    help_ = diagnostic.help.replace(f"{SET_OPTION} ", "--sweep ")
    span = replace(span, source=Source("--sweep", span.source.text))
    return replace(diagnostic, span=span, help=help_)


def read_sweep(folder: Path) -> Sweep:
    """The content of a sweep's `sweep.json`; raises TrainingError if the file is damaged."""
    return read_sealed_json(folder / "sweep.json", Sweep)


def require_same_spec(sweep: Sweep) -> None:
    """Raise TrainingError if the spec of a sweep was changed since it began."""
    if _spec_digest(odenet.load(sweep.spec, set=sweep.settings)) != sweep.digest:
        message = f"{sweep.spec} was changed since the sweep began"
        raise BadRunFolder(message, "put it back, or start a new sweep")


def read_points(folder: Path) -> list[Point]:
    """The points with their results so far, in the order of the grid."""
    points: list[Point] = []
    for number, settings in enumerate(read_sweep(folder).point_settings, 1):
        run = RunFolder(folder / _point_folder_name(number, settings))
        result: Result | Failure | None = None
        if run.result.is_file():
            result = Result.read(run.result)
            if result.diverged:
                result = Failure(result.epochs, result.diverged)
        elif (diverged_file := run.path / "diverged.json").is_file():
            result = read_sealed_json(diverged_file, Failure)
        points.append(Point(settings, run.path, result))
    return points


def train_point(folder: Path, index: int, console: Console) -> None:
    """Train a point of a sweep, or resume it; if it diverges, `diverged.json` is written.

    Args:
        folder: the folder of the sweep.
        index: the index of the point in the order of the grid, counted from 0.
        console: where progress is shown.

    Raises:
        TrainingError: as `odenet.training.train`, but not if the point diverges.
        Stopped: after SIGTERM or Ctrl-C.
    """
    sweep, point = read_sweep(folder), read_points(folder)[index]
    run = RunFolder(point.folder)
    try:
        if run.record.is_file():
            resume(run.path, None, sweep.options, console=console)
        else:
            settings = {**sweep.settings, **point.settings}
            train(sweep.spec, settings, sweep.options, run.path, console, sweep.unchecked)
    except Diverged as error:
        failure = Failure(error.epoch, error.message)
        write_text(run.path / "diverged.json", sealed_json(asdict(failure)))
        console.print(Text(f"diverged: {error.message}", "red"), soft_wrap=True)


def write_results(folder: Path) -> None:
    """Write `results.json` and `results.csv`, with a row for each point."""
    rows = [_row(point) for point in read_points(folder)]
    write_text(folder / "results.json", to_json(rows, indent=2) + "\n")
    write_text(folder / "results.csv", as_csv(rows))


def _row(point: Point) -> dict[str, Any]:
    """A point and its result as a row of `results.json` and `results.csv`."""
    row: dict[str, Any] = {**point.settings, "run": point.folder.name}
    match point.result:
        case Result() as result:
            names = ("last", "best", "best_epoch", "test_loss", "epochs", "parameters", "seconds")
            row |= {"outcome": "finished", "measure": f"{result.watched}_{result.measure}"}
            return row | {name: getattr(result, name) for name in names}
        case Failure() as failure:
            return {**row, "outcome": f"diverged in epoch {failure.epoch}"}
        case None:
            return {**row, "outcome": "not finished"}


def _point_folder_name(number: int, settings: Mapping[str, str]) -> str:
    """The name of a point's folder: its number, from 1, and its settings, in safe characters.

    Long settings are cut off.
    """
    text = "_".join(f"{name}={value}" for name, value in settings.items())
    safe_settings = re.sub(r"[^\w.=+-]", "_", text)[:MAX_SETTINGS_LENGTH]
    return f"{number}-{safe_settings}"


def _spec_digest(program: Program) -> str:
    return sha256(program.text.encode()).hexdigest()


def _next_free_folder(name: str) -> Path:
    """The path of the next free folder for a sweep under `runs/`."""
    numbered = (Path("runs") / f"{name}-sweep-{number}" for number in count(1))
    return next(path for path in numbered if not path.exists())


def unfinished_points(folder: Path) -> Iterator[tuple[int, Point]]:
    """The points without a result, each with its index in the order of the grid, from 0."""
    return ((i, p) for i, p in enumerate(read_points(folder)) if p.result is None)
