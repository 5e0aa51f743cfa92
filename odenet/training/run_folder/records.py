"""The folder of a run: everything that reproduces it, beside what it measured."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from odenet.diagnostics import typed
from odenet.files import make_folder, write_text
from odenet.model.tables.losses import LOSSES
from odenet.plugins import loaded_plugins
from odenet.training.checksums import read_sealed_json, sealed_json, sha256_of
from odenet.training.data.samples import LabelInfo
from odenet.training.errors import BadRunFolder
from odenet.training.schema import Mismatch

MOST_NODES = 10**6  # no one has more, and torch counts no further than 2^31 processes
LOGGERS = ("tensorboard", "wandb", "mlflow")  # as --logger takes them
Row = dict[str, float]  # of the metrics: values by column

REQUIRED_COLUMNS = {"epoch", "step", "seconds", "lr", "train_loss"}  # of every row


@dataclass(frozen=True)
class Options:
    """Where and on what a run happens; not part of what it computes.

    Args:
        data_root: where published data sets lie or are put.
        download: fetch a published data set that is not there.
        devices: processors per machine: a number, or "auto" for all.
        nodes: machines.
        strategy: Lightning's word for how they share the work.
        memory: how flows hold their activations; None leaves the spec's choice.
        exact: reverse in exact arithmetic; False leaves the spec's choice.
        compile: compile a step of each reversible flow, and the whole of the others.
        logger: where numbers go beside metrics.csv, one of `LOGGERS`; empty: nowhere.
        deterministic: take only kernels that give the same numbers each time.
        update_in_backward: the optimizer acts on each weight as soon as its gradient is complete.
        clip_by: how it then knows the norm that `clip` limits: "exact" or "last".
        weights: what a network of a library begins with: "default" for the library's, or a file.
    """

    data_root: str = "data"
    download: bool = False
    devices: int | str = 1
    nodes: int = 1
    strategy: str = "auto"
    memory: str | int | None = None
    exact: bool = False
    compile: bool = False
    logger: str = ""
    deterministic: bool = False
    update_in_backward: bool = False
    clip_by: str = "exact"
    weights: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MOST_NODES:
            raise Mismatch(f"`nodes` is {self.nodes}, not a number from 1 to {MOST_NODES}")
        if isinstance(self.memory, int) and self.memory < 0:
            raise Mismatch(f"`memory` is {self.memory} bytes")
        if self.clip_by not in ("exact", "last"):
            raise Mismatch(f"`clip_by` is {self.clip_by!r}, not exact or last")
        if self.logger not in ("", *LOGGERS):
            raise Mismatch(f"`logger` is {self.logger!r}, not one of {', '.join(LOGGERS)}")


@dataclass(frozen=True)
class TrainingSegment:
    """What a run was trained with before it was resumed.

    Args:
        epochs: the whole ones that were done when it was resumed.
        settings: as in `Record`.
        options: as in `Record`.
    """

    epochs: int
    settings: Mapping[str, Any]
    options: Options


@dataclass(frozen=True)
class Record:
    """What a run was started with, or goes on with.

    Args:
        name: of the spec.
        settings: values given from outside, as text, by name.
        options: where it runs.
        classes: the names of the classes, in the order of the network's outputs; none for numbers.
        mean: of the training pixels, per channel; what evaluation standardises with.
        deviation: likewise.
        versions: of odenet, torch and lightning.
        verdicts: on the spectrum and on the claims of the spec.
        files: the SHA-256 of the spec and of what it uses, by their path in the folder.
        loss: the name of what is made small.
        labels: what the labels of its data are.
        data_from_python: where a program gave the data, what it has to give again; else empty.
        samples: what samples are stored as: uint8, float32, or int64, the tokens of a text.
        spec_folder: where the spec was, which paths in it are relative to; empty: where it runs.
        before: of a resumed run, what it was trained with until then, the first stretch first.
    """

    name: str
    settings: Mapping[str, Any]
    options: Options
    classes: Sequence[str]
    mean: Sequence[float]
    deviation: Sequence[float]
    versions: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    loss: str = "cross_entropy"
    labels: LabelInfo = field(default_factory=LabelInfo)
    data_from_python: str = ""
    samples: str = ""
    spec_folder: str = ""
    before: Sequence[TrainingSegment] = ()

    def __post_init__(self) -> None:
        kind = LOSSES.get(self.loss)
        if kind is None:
            raise Mismatch(f"`loss` is {self.loss}, which this version does not know")
        if not self.classes and kind.labels in ("class", "several"):
            raise Mismatch("`classes` names none")
        if len(self.mean) != len(self.deviation) or not all(d > 0 for d in self.deviation):
            raise Mismatch("`deviation` is not a positive number for each channel")


class RunFolder:
    """The files of a run by their meaning.

    Args:
        path: the folder.

    Attributes:
        spec: the spec as it was.
        used: copies of the files that the spec uses, under names of their own.
        plugins: copies of the plugins that the spec needs.
        module: the generated module.
        certificate: what was proved of the spec.
        inputs: what is written before training, but for the record, which comes last.
        record: what the run was started with.
        metrics: a row per epoch.
        curves: the rows as a picture.
        result: the closing numbers; there when the run is complete.
        weights: those of the best epoch, for any program; there when the run is complete.
        checkpoints: a folder of `best.ckpt` and `last.ckpt`.
        last: the checkpoint that the run goes on from.
    """

    def __init__(self, path: Path):
        self.path = path
        self.spec = path / "spec.ode"
        self.used = path / "used"
        self.plugins = path / "plugins"
        self.module = path / "network.py"
        self.certificate = path / "certificate.txt"
        proof = self.certificate, self.certificate.with_suffix(".json")
        self.inputs = self.spec, self.used, self.plugins, self.module, *proof
        self.record = path / "run.json"
        self.metrics = path / "metrics.csv"
        self.curves = path / "curves.png"
        self.result = path / "result.json"
        self.weights = path / "weights.safetensors"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"

    def begun(self) -> Path | None:
        """The checkpoint to go on from; None before there is one, when the run begins anew.

        Raises:
            TrainingError: if there were epochs, and the checkpoint is gone.
        """
        if not self.last.exists() and not self.metrics.exists():
            return None
        return self.checkpoint("last")

    def checkpoint(self, which: str) -> Path:
        """One of the checkpoints.

        Raises:
            TrainingError: if it is not there.
        """
        path = self.checkpoints / f"{which}.ckpt"
        if not path.is_file():
            raise BadRunFolder(
                f"{self.path} has no checkpoint {path.name}", _existing_checkpoints(self)
            )
        return path

    def write(self, path: Path, text: str) -> None:
        """Write one of the files, completely or not at all."""
        make_folder(path.parent)
        write_text(path, text)

    def write_record(self, record: Record, done: int | None = None) -> None:
        """Keep what the run is started with, or goes on with, and what it was until then.

        Args:
            record: what to keep.
            done: the whole epochs behind a run that goes on; None for one that starts.
        """
        if done is not None:
            old = self.read_record()
            record = replace(
                record, before=(*old.before, TrainingSegment(done, old.settings, old.options))
            )
        self.write(self.record, sealed_json(asdict(record)))

    def read_record(self) -> Record:
        """What the run was started with.

        Raises:
            TrainingError: if this is not the folder of a run, or a damaged one.
        """
        try:
            record = read_sealed_json(self.record, Record)
        except OSError as error:
            runs = sorted(self.path.glob(f"*/{self.record.name}"))  # as of a sweep, or of seeds
            raise BadRunFolder(
                f"{self.path} is not the folder of a run: {self.record.name} cannot be read",
                f"name one of the runs in it, as in {typed(runs[0].parent)}"
                if runs
                else "name a folder that `odenet train` has written, as in runs/digits-1",
            ) from error
        for name, digest in record.files.items():
            path = self.path / name
            if not path.is_file() or sha256_of(path) != digest:
                what = "was changed since the run began" if path.is_file() else "is missing"
                raise BadRunFolder(f"{path} {what}", "put it back, or start a new run")
        # whether to fetch is asked of who calls, not of whoever wrote the file
        return replace(record, options=replace(record.options, download=False))

    def require_plugins(self) -> None:
        """Refuse a run whose plugins have not been run; a run never runs its own copies.

        Raises:
            TrainingError: says what to give.
        """
        known = {plugin.digest for plugin in loaded_plugins()}
        for copy in sorted(self.plugins.glob("*.py")):
            if sha256(copy.read_bytes()).hexdigest() not in known:
                raise BadRunFolder(
                    f"{self.path} was trained with the plugin {copy.name}",
                    f"give --plugin {copy}, which runs it as Python, if you trust it",
                )

    def rows(self) -> list[Row]:
        """The rows of the metrics, one per epoch, in order.

        Raises:
            TrainingError: one of them cannot be read.
        """
        if not self.metrics.is_file():
            return []
        found: list[Row] = []
        try:
            with self.metrics.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if None in row:
                        raise ValueError("it has more values than the file has columns")
                    found.append({k: _number(v) for k, v in row.items() if v})
                    missing = REQUIRED_COLUMNS - found[-1].keys()
                    if missing or found[-1]["epoch"] != len(found) - 1:
                        what = f"`{min(missing)}` is missing" if missing else "epochs are missing"
                        raise ValueError(what)
        except (ValueError, TypeError, csv.Error) as error:
            raise BadRunFolder(
                f"{self.metrics} cannot be used: in the row of epoch {max(len(found), 1)}: {error}",
                "take it from a copy of the run",
            ) from error
        return found


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _existing_checkpoints(folder: RunFolder) -> str:
    there = sorted(path.stem for path in folder.checkpoints.glob("*.ckpt"))
    return f"there is {' and '.join(there)}" if there else "the run ended before its first epoch"
