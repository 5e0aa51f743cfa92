"""The folder of a run, and `run.json` in it, the record of what the run is trained with.

A run is one training of a spec.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from odenet.diagnostics import shell_quoted
from odenet.files import make_folder, write_text
from odenet.model.tables.losses import LOSSES
from odenet.plugins import loaded_plugins
from odenet.training.checksums import read_sealed_json, sealed_json, sha256_of
from odenet.training.data.samples import LabelInfo
from odenet.training.errors import BadRunFolder
from odenet.training.schema import Mismatch

MAX_NODES = 10**6  # torch counts up to 2^31 processes
LOGGERS = ("tensorboard", "wandb", "mlflow")  # the values of --logger
Row = dict[str, float]  # a row of metrics.csv: values by column

REQUIRED_COLUMNS = {"epoch", "step", "seconds", "lr", "train_loss"}  # of metrics.csv


@dataclass(frozen=True)
class Options:
    """Where and how a run is computed: machines, memory, storage. The recipe says what is computed.

    Args:
        data_root: the folder where published data sets are stored.
        download: download a published data set that is missing there.
        devices: the number of GPUs or processes per machine, or "auto" for all.
        nodes: the number of machines.
        strategy: the name of Lightning's strategy for several devices, such as "ddp".
        memory: how flows keep activations for the backward pass: a mode, or a budget in bytes; None
            leaves it to the spec.
        exact: undo steps in exact arithmetic; False leaves it to the spec.
        compile: use `torch.compile` for one step of each reversible flow, and for other flows as a
            whole.
        logger: a service that metrics are sent to, one of `LOGGERS`; empty for none.
        deterministic: use only kernels that give the same numbers each time.
        update_in_backward: update each weight in the backward pass, once its gradient is complete.
        clip_by: how the gradient norm for `clip` is then found: "exact" takes a second backward
            pass, "last" takes the norm of the step before.
        weights: initial weights of a network from another library: "default" for that library's, or
            a file.
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
        if not 1 <= self.nodes <= MAX_NODES:
            raise Mismatch(f"`nodes` is {self.nodes}, not a number from 1 to {MAX_NODES}")
        if isinstance(self.memory, int) and self.memory < 0:
            raise Mismatch(f"`memory` is {self.memory} bytes")
        if self.clip_by not in ("exact", "last"):
            raise Mismatch(f"`clip_by` is {self.clip_by!r}, not exact or last")
        if self.logger not in ("", *LOGGERS):
            raise Mismatch(f"`logger` is {self.logger!r}, not one of {', '.join(LOGGERS)}")


@dataclass(frozen=True)
class TrainingSegment:
    """What a run was trained with until it was resumed, perhaps with other settings.

    Args:
        epochs: how many epochs were complete when it was resumed.
        settings: as in `Record`.
        options: as in `Record`.
    """

    epochs: int
    settings: Mapping[str, Any]
    options: Options


@dataclass(frozen=True)
class Record:
    """What a run was started with or, after it was resumed, continues with.

    Args:
        name: the name of the spec.
        settings: the values of `--set`, as text, by the name of a constant or recipe key.
        options: where and how it runs.
        classes: the names of the classes, in the order of the network's outputs; none for numbers.
        mean: the mean of the training samples, per channel; samples are standardised with it.
        deviation: their standard deviation, per channel; samples are standardised with it, too.
        versions: the versions of odenet, torch and lightning, by name.
        verdicts: whether the spectrum and the claims of the spec are proved, see `check_claims`.
        files: the SHA-256 of the spec and of the files that it uses, by their path in the folder.
        loss: the name of the loss.
        labels: kind and statistics of the labels.
        data_from_python: if the data came from Python code, what has to be passed again; else
            empty.
        samples: the type of the samples: uint8, float32, or int64 for the tokens of a text.
        spec_folder: the folder of the original spec, which paths in it are relative to; empty for
            the current folder.
        before: what a resumed run was trained with earlier, the oldest first; empty for one that
            was never resumed.
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
    """The paths of the files of a run, and reading and writing of some of them.

    Args:
        path: the folder.

    Attributes:
        spec: a copy of the spec.
        used: the folder with copies of the files in the spec's `use` lines.
        plugins: the folder with copies of the plugins that were loaded.
        module: the generated torch module.
        certificate: what was proved of the spec.
        inputs: the paths above, whose files are written before training starts.
        record: `run.json`, which holds the `Record`; written after `inputs`.
        metrics: a table with a row for each epoch.
        curves: a figure of the metrics.
        result: the final metrics and timings; exists when the run is finished.
        weights: those of the best epoch, as safetensors; exists when the run is finished.
        checkpoints: the folder with `best.ckpt` and `last.ckpt`.
        last: the path of `last.ckpt`, the checkpoint from which the run is resumed.
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

    def checkpoint_to_resume(self) -> Path | None:
        """The path of the last checkpoint; None if no epoch was completed.

        Raises:
            TrainingError: epochs were completed, but the checkpoint is missing.
        """
        if not self.last.exists() and not self.metrics.exists():
            return None
        return self.checkpoint("last")

    def checkpoint(self, which: str) -> Path:
        """The path of a checkpoint.

        Args:
            which: "best" or "last".

        Raises:
            TrainingError: it does not exist.
        """
        path = self.checkpoints / f"{which}.ckpt"
        if not path.is_file():
            message = f"{self.path} has no checkpoint {path.name}"
            raise BadRunFolder(message, _existing_checkpoints(self))
        return path

    def write(self, path: Path, text: str) -> None:
        """Write a text file of the folder, completely or not at all."""
        make_folder(path.parent)
        write_text(path, text)

    def write_record(self, record: Record, epochs_done: int | None = None) -> None:
        """Write `run.json`; of a resumed run the previous record is added to `before`.

        Args:
            record: what to write.
            epochs_done: the complete epochs of a run that is resumed; None for a new run.
        """
        if epochs_done is not None:
            old = self.read_record()
            segment = TrainingSegment(epochs_done, old.settings, old.options)
            record = replace(record, before=(*old.before, segment))
        self.write(self.record, sealed_json(asdict(record)))

    def read_record(self) -> Record:
        """The content of `run.json`, after comparing the spec with its checksum in it.

        Raises:
            TrainingError: this is not the folder of a run, or a file is damaged.
        """
        try:
            record = read_sealed_json(self.record, Record)
        except OSError as error:
            runs = sorted(self.path.glob(f"*/{self.record.name}"))  # in the folder of a sweep
            help_ = "name a folder that `odenet train` has written, as in runs/digits-1"
            if runs:
                help_ = f"name one of the runs in it, as in {shell_quoted(runs[0].parent)}"
            problem = f"is not the folder of a run: {self.record.name} cannot be read"
            raise BadRunFolder(f"{self.path} {problem}", help_) from error
        for name, digest in record.files.items():
            path = self.path / name
            if not path.is_file() or sha256_of(path) != digest:
                problem = "was changed since the run began" if path.is_file() else "is missing"
                raise BadRunFolder(f"{path} {problem}", "put it back, or start a new run")
        # Only the caller may allow a download, not a file that may come from somebody else.
        return replace(record, options=replace(record.options, download=False))

    def require_plugins(self) -> None:
        """Refuse a run whose plugins are not loaded. The copies in its folder are only compared.

        Raises:
            TrainingError: names the missing plugin, and the option that loads it.
        """
        loaded_digests = {plugin.digest for plugin in loaded_plugins()}
        for copy in sorted(self.plugins.glob("*.py")):
            if sha256(copy.read_bytes()).hexdigest() not in loaded_digests:
                help_ = f"give --plugin {copy}, which runs it as Python, if you trust it"
                raise BadRunFolder(f"{self.path} was trained with the plugin {copy.name}", help_)

    def rows(self) -> list[Row]:
        """The rows of `metrics.csv`, one per epoch, in order; empty before the first epoch.

        Raises:
            TrainingError: a row cannot be read, or is missing.
        """
        if not self.metrics.is_file():
            return []
        rows: list[Row] = []
        try:
            with self.metrics.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if None in row:
                        raise ValueError("it has more values than the file has columns")
                    rows.append({k: _number(v) for k, v in row.items() if v})
                    missing = REQUIRED_COLUMNS - rows[-1].keys()
                    if missing or rows[-1]["epoch"] != len(rows) - 1:
                        which = f"`{min(missing)}` is" if missing else "epochs are"
                        raise ValueError(f"{which} missing")
        except (ValueError, TypeError, csv.Error) as error:
            problem = f"cannot be used: in the row of epoch {max(len(rows), 1)}: {error}"
            help_ = "take it from a copy of the run"
            raise BadRunFolder(f"{self.metrics} {problem}", help_) from error
        return rows


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _existing_checkpoints(folder: RunFolder) -> str:
    """A text that says which checkpoints exist, for a message about a missing one."""
    names = sorted(path.stem for path in folder.checkpoints.glob("*.ckpt"))
    return f"there is {' and '.join(names)}" if names else "the run ended before its first epoch"
