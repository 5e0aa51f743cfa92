"""One spec trained at every point of a grid of settings; each point is a run of its own.

The folder of a sweep has `sweep.json`, written before the first point, and a run's folder for each.
What became of a point is read from its folder, so that a sweep goes on where it was interrupted.
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
from odenet.diagnostics import Diagnostic, Source, SpecError, typed
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

MOST_POINTS = 1000
MAX_SETTINGS_LENGTH = 60  # characters of a folder's name that come from its settings


@dataclass(frozen=True)
class Sweep:
    """What a sweep was started with.

    Args:
        name: of the spec.
        spec: its file.
        digest: the SHA-256 of its text.
        axes: the values of each setting that is swept, as text.
        settings: those that all points share.
        options: where each point runs.
        unchecked: as for `odenet.training.train`.
    """

    name: str
    spec: str
    digest: str
    axes: Mapping[str, Sequence[str]]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Options = field(default_factory=Options)
    unchecked: bool = False

    @property
    def points(self) -> list[dict[str, str]]:
        """The settings of each point; the last axis changes fastest."""
        return [
            dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())
        ]


@dataclass(frozen=True)
class Failure:
    """Why a point has no result: its numbers went wrong.

    Args:
        epoch: in which they did, counted from 1.
        message: what went wrong.
    """

    epoch: int
    message: str


@dataclass(frozen=True)
class Outcome:
    """A point of a sweep and what became of it.

    Args:
        settings: those that are swept.
        folder: of its run.
        found: its result; what went wrong; None where it is not finished.
    """

    settings: Mapping[str, str]
    folder: Path
    result: Result | Failure | None


def read_axes(text: str) -> dict[str, list[str]]:
    """`"h=0.05,0.1 lr=1e-3,1e-2"` as values by name; commas and spaces in brackets are kept.

    Raises:
        TrainingError: it cannot be read so, or has too many points.
    """
    axes: dict[str, list[str]] = {}
    for item in filter(None, _split_outside_brackets(text, " ")):
        name, equals, values = item.partition("=")
        found = _split_outside_brackets(values, ",")
        if not (equals and name.strip() and any(found)):
            help_ = 'write --sweep "h=0.05,0.1 lr=1e-3,1e-2", without spaces around = and commas'
            raise BadOption(f"--sweep: {item} is not a name with values", help_)
        if not all(found):
            help_ = "remove the comma, or write the value that belongs there"
            raise BadOption(f"--sweep: a value is missing in {item}", help_)
        if twice := [value for value in dict.fromkeys(found) if found.count(value) > 1]:
            help_ = "remove one; to train a point again with other random numbers, sweep seed"
            raise BadOption(f"--sweep: {name} is {twice[0]} twice", help_)
        if name in axes:
            raise BadOption(f"--sweep names {name} twice", "write all its values in one list")
        axes[name] = found
    points = prod(map(len, axes.values()))
    if not axes or points > MOST_POINTS:
        what = f"has {points:,} points" if axes else "is empty"
        raise BadOption(f"--sweep {what}", f"give 1 to {MOST_POINTS:,}, as in --sweep h=0.1,0.2")
    return axes


def _split_outside_brackets(text: str, at: str) -> list[str]:
    """The parts of a text between commas or spaces, those within brackets and quotes apart."""
    parts, depth, quoted = [""], 0, False
    for char in text:
        quoted ^= char == '"'
        depth += (char in "([{") - (char in ")]}")
        if char == at and depth <= 0 and not quoted:
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
    """The folder of a new sweep, every point of which has been compiled.

    Args:
        spec: the file.
        axes: see `read_axes`.
        settings: those that all points share.
        options: where each point runs.
        out: the folder; None makes the next free `runs/NAME-sweep-1`, …
        unchecked: as for `odenet.training.train`.

    Raises:
        SpecError: a point cannot be compiled, or claims what does not hold.
        TrainingError: a name is swept and set, or the folder holds something else.
    """
    if both := axes.keys() & settings.keys():
        raise BadOption(f"{min(both)} is swept, and set too", "leave one of them out")
    program = odenet.load(spec, set=settings)
    where = str(spec.resolve())
    sweep = Sweep(program.name, where, _spec_digest(program), axes, settings, options, unchecked)
    for point in sweep.points:
        try:
            check_claims(odenet.load(spec, set={**settings, **point}), unchecked)
        except SpecError as error:
            raise SpecError(_at_sweep_option(d, point) for d in error.diagnostics) from None
    folder = _next_free_folder(program.name) if out is None else Path(out)
    make_folder(folder)
    record = folder / "sweep.json"
    if record.is_file():
        if record.read_text(encoding="utf-8") != sealed_json(asdict(sweep)):
            help_ = f"choose another --out, or go on with it: odenet train --resume {typed(folder)}"
            raise BadRunFolder(f"{folder} holds another sweep", help_)
    elif any(folder.iterdir()):
        raise BadRunFolder(f"{folder} is not empty", "choose another --out")
    write_text(record, sealed_json(asdict(sweep)))
    return folder


def _at_sweep_option(found: Diagnostic, point: Mapping[str, str]) -> Diagnostic:
    """A finding about a setting, at `--sweep` if that is where the setting was given."""
    swept = {f"{name.rpartition('.')[2]}={value}" for name, value in point.items()}
    if found.span is None or found.span.source.name != SET_OPTION:
        return found
    text = found.span.source.text
    if text not in swept:
        return found
    help_ = found.help.replace(f"{SET_OPTION} ", "--sweep ")
    return replace(found, span=replace(found.span, source=Source("--sweep", text)), help=help_)


def read_sweep(folder: Path) -> Sweep:
    """What a sweep was started with; raises TrainingError if it is damaged."""
    return read_sealed_json(folder / "sweep.json", Sweep)


def require_same_spec(sweep: Sweep) -> None:
    """Refuse to go on with another spec; raises TrainingError."""
    if _spec_digest(odenet.load(sweep.spec, set=sweep.settings)) != sweep.digest:
        message = f"{sweep.spec} was changed since the sweep began"
        raise BadRunFolder(message, "put it back, or start a new sweep")


def read_outcomes(folder: Path) -> list[Outcome]:
    """What became of each point so far, in the order of the grid."""
    found: list[Outcome] = []
    for number, point in enumerate(read_sweep(folder).points, 1):
        run = RunFolder(folder / _point_folder_name(number, point))
        became: Result | Failure | None = None
        if run.result.is_file():
            result = Result.read(run.result)
            became = Failure(result.epochs, result.diverged) if result.diverged else result
        elif (failed := run.path / "diverged.json").is_file():
            became = read_sealed_json(failed, Failure)
        found.append(Outcome(point, run.path, became))
    return found


def train_point(folder: Path, number: int, console: Console) -> None:
    """Train the point of that number, or go on with it; that it diverged is noted in its folder.

    Args:
        folder: of the sweep.
        number: counted from 0.
        console: where progress is shown.

    Raises:
        TrainingError: as `odenet.training.train`, divergence apart.
        Stopped: after SIGTERM or Ctrl-C.
    """
    sweep, outcome = read_sweep(folder), read_outcomes(folder)[number]
    run = RunFolder(outcome.folder)
    try:
        if run.record.is_file():
            resume(run.path, None, sweep.options, console=console)
        else:
            settings = {**sweep.settings, **outcome.settings}
            train(sweep.spec, settings, sweep.options, run.path, console, sweep.unchecked)
    except Diverged as error:
        failure = Failure(error.epoch, error.message)
        write_text(run.path / "diverged.json", sealed_json(asdict(failure)))
        console.print(Text(f"diverged: {error.message}", "red"), soft_wrap=True)


def write_outcomes(folder: Path) -> None:
    """Write `results.json` and `results.csv`, a row for each point."""
    rows = [_row(outcome) for outcome in read_outcomes(folder)]
    write_text(folder / "results.json", to_json(rows, indent=2) + "\n")
    write_text(folder / "results.csv", as_csv(rows))


def _row(outcome: Outcome) -> dict[str, Any]:
    """A point as plain values."""
    row: dict[str, Any] = {**outcome.settings, "run": outcome.folder.name}
    match outcome.result:
        case Result() as result:
            names = ("last", "best", "best_epoch", "test_loss", "epochs", "parameters", "seconds")
            return {
                **row,
                "outcome": "finished",
                "measure": f"{result.watched}_{result.measure}",
                **{name: getattr(result, name) for name in names},
            }
        case Failure() as failure:
            return {**row, "outcome": f"diverged in epoch {failure.epoch}"}
        case None:
            return {**row, "outcome": "not finished"}


def _point_folder_name(number: int, point: Mapping[str, str]) -> str:
    """The name of a point's folder: its number, and its settings as far as a name may hold them."""
    shown = "_".join(f"{name}={value}" for name, value in point.items())
    fit = re.sub(r"[^\w.=+-]", "_", shown)[:MAX_SETTINGS_LENGTH]
    return f"{number}-{fit}"


def _spec_digest(program: Program) -> str:
    return sha256(program.text.encode()).hexdigest()


def _next_free_folder(name: str) -> Path:
    """The next free folder under `runs/`."""
    numbered = (Path("runs") / f"{name}-sweep-{number}" for number in count(1))
    return next(path for path in numbered if not path.exists())


def unfinished_points(folder: Path) -> Iterator[tuple[int, Outcome]]:
    """The points that are left to train, by their numbers from 0."""
    return ((n, o) for n, o in enumerate(read_outcomes(folder)) if o.result is None)
