"""What a page says of a run: what was done, how it went, and what the network says of samples."""

import base64
import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from odenet.diagnostics import SpecError
from odenet.model.reading.settings import setting_words
from odenet.model.tables.losses import METRICS
from odenet.report.figures import Figure, curves_figure
from odenet.report.measured import SAMPLES, Measured, measured
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.data_module import SplitLoaders
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, Record, Row, RunFolder, TrainingSegment
from odenet.training.runs.evaluation import restore
from odenet.training.runs.restoring import damaged_weights_note, weights_file
from odenet.training.runs.results import Result

MOST_CLASSES = 30  # of a confusion matrix
SHOWN = 12  # samples
MOST_PIXELS = 64  # of a sample's picture, in each direction


@dataclass(frozen=True)
class Sample:
    """One sample of the test split.

    Args:
        picture: as a `data:` address.
        truth: its class.
        said: what the network takes it for, and how sure it is.
        right: whether that is so.
    """

    picture: str
    truth: str
    said: str
    right: bool


@dataclass(frozen=True)
class Confusion:
    """How often which class was taken for which.

    Args:
        classes: their names.
        counts: a row for each true class.
        shares: of its row, for the shade.
    """

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    shares: Sequence[Sequence[float]]


@dataclass(frozen=True)
class RunPart:
    """What a run adds to the page of its specification.

    Args:
        facts: rows of a table, name and value.
        commands: the line that trains it so, and one for each time that it was resumed.
        curves: of its epochs; None before the first is over.
        confusion: on the test split; None where the task has no classes of samples.
        samples: some of that split.
        missing: why the last two are not there; else empty.
    """

    facts: Sequence[tuple[str, str]]
    commands: Sequence[str]
    curves: Figure | None
    confusion: Confusion | None
    samples: Sequence[Sample]
    missing: str


def run_part(run: Path, options: Options | None) -> tuple[RunPart, Measured]:
    """A run, and its network measured on its test samples.

    Args:
        run: the folder.
        options: where the data lies; as the training if None.

    Raises:
        TrainingError: it is not the folder of a run, or a damaged one.
    """
    folder = RunFolder(run)
    record, rows = folder.read_record(), folder.rows()
    result = Result.read(folder.result) if folder.result.is_file() else None
    part = RunPart(
        facts=_facts(record, result, len(rows)),
        commands=commands_of(record, run),
        curves=_curves(rows, result),
        confusion=None,
        samples=(),
        missing="",
    )
    try:
        task, data, _ = restore(run, options=options)
    except (SpecError, OSError) as error:
        said = error.diagnostics[0].message if isinstance(error, SpecError) else str(error)
        why = f"Neither weights nor samples could be looked at: {said}."
        return replace(part, missing=why), Measured({}, "", said)
    used = weights_file(folder, "best")
    shown = damaged_weights_note(folder, used) or f"those of {used}"
    part = replace(part, facts=[*part.facts, ("weights", shown)])
    found = _measured(task, data)
    one_class = task.objective.kind.labels == "class" and len(data.test.labels.shape) == 1
    if not one_class or not record.classes:
        why = "The task has no one class for a sample, so there is no confusion matrix."
        return replace(part, missing=why), found
    confusion, samples = _looked_at(task, data, record)
    return replace(part, confusion=confusion, samples=samples), found


def measured_run(run: Path, options: Options | None) -> Measured:
    """The network of a run, measured on its test samples; raises what `restore` raises."""
    task, data, _ = restore(run, options=options)
    return _measured(task, data)


def run_curves(run: Path) -> Figure | None:
    """The curves of a run; None before its first epoch is over."""
    folder = RunFolder(run)
    result = Result.read(folder.result) if folder.result.is_file() else None
    return _curves(folder.rows(), result)


def _curves(rows: Sequence[Row], result: Result | None) -> Figure | None:
    if not rows:
        return None
    watched = next((s for s in ("val", "test") if f"{s}_loss" in rows[0]), "test")
    return curves_figure(rows, watched, result and result.best_epoch)


def _measured(task: Task, data: SplitLoaders) -> Measured:
    inputs = next(_batches(task.eval(), data, SAMPLES))[0]
    return measured(task.network, inputs, f"the best weights on {len(inputs)} test samples")


def commands_of(record: Record, run: Path) -> list[str]:
    """The lines that train as a run was trained, from the folder of its specification.

    Args:
        record: of the run.
        run: its folder, which lines that resume it name.
    """
    if record.data_from_python:
        return [f"# its data came from a program: {record.data_from_python}"]
    now = TrainingSegment(0, record.settings, record.options)
    lines: list[str] = []
    before = TrainingSegment(0, {}, Options())
    for stretch in (*record.before, now):
        start = ["--resume", str(run)] if lines else [_spec_of(record, run)]
        words = ["odenet", "train", *start, *_changes(before, stretch)]
        for plugin in sorted(RunFolder(run).plugins.glob("*.py")):
            words += ["--plugin", str(plugin)]
        words += ["--unchecked"] if record.verdicts.get("unchecked") else []
        lines.append(shlex.join(words))
        if len(lines) > 1:
            done = before.epochs
            lines[-1] += f" # after {done} epoch{'s' * (done != 1)}"
        before = stretch
    return lines


def _spec_of(record: Record, run: Path) -> str:
    """The file; of a network that `--convert` took from a library, the copy that the run has."""
    copy = RunFolder(run).spec
    made = copy.is_file() and "existing(" in copy.read_text("utf-8")
    return str(copy) if made else f"{record.name}.ode"


def _changes(before: TrainingSegment, now: TrainingSegment) -> list[str]:
    """The words of a command that give what differs from before."""
    words: list[str] = []
    for name, value in now.settings.items():
        if name not in before.settings or before.settings[name] != value:
            words += setting_words(name, value)
    for field in fields(Options):
        value, name = getattr(now.options, field.name), f"--{field.name.replace('_', '-')}"
        if value is True:
            words += [name] if not getattr(before.options, field.name) else []
        elif value not in (None, False, getattr(before.options, field.name)):
            words += [name, str(value)]
    return words


def _facts(record: Record, result: Result | None, epochs: int) -> list[tuple[str, str]]:
    """What a table says of a run."""
    rows = [("epochs", f"{epochs} done" + ("" if result else "; the run is not finished"))]
    if result is not None:
        name = result.chosen_by.title
        rows.append((f"{name} ({result.watched} split)", f"{result.show(result.last)} at the end"))
        rows.append(("best epoch", f"{result.best_epoch}, with {result.show(result.best)}"))
        others = [
            f"{METRICS[n].title} {METRICS[n].show(v)}"
            for n, v in result.metrics.items()
            if v is not None
        ]
        loss = [] if result.test_loss is None else [f"loss {result.test_loss:.4g}"]
        rows.append(("test split", ", ".join([*loss, *others])))
        rows.append(("parameters", f"{result.parameters:,}"))
        speed = f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"
        rows.append(("training", speed))
        if result.stability is not None:
            rows.append(("stability", f"h·ω is at most {result.stability:.2f} of its limit"))
    rows.append(("versions", ", ".join(f"{name} {v}" for name, v in record.versions.items())))
    return rows


def _batches(task: Task, data: SplitLoaders, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    plan = BatchPlan(len(data.test), min(size, len(data.test)))
    return iter(Batches(data.test, data.transforms, plan, task.device))


def _looked_at(
    task: Task, data: SplitLoaders, record: Record
) -> tuple[Confusion | None, list[Sample]]:
    """The confusion matrix of the test split, and some samples of it: mistakes and others."""
    count = len(record.classes)
    table = torch.zeros(count * count, dtype=torch.int64)
    right: list[tuple[Tensor, int, int, float]] = []
    wrong: list[tuple[Tensor, int, int, float]] = []
    for inputs, labels in _batches(task, data, 256):
        with torch.no_grad():
            found = task.objective.prediction(task.objective.network_output(task.network, inputs))
        sure, best = found.max(1)
        table += torch.bincount(labels * count + best, minlength=count * count)
        for kept, chosen in ((right, best == labels), (wrong, best != labels)):
            for i in chosen.nonzero().flatten()[: SHOWN - len(kept)].tolist():
                kept.append((inputs[i], int(labels[i]), int(best[i]), float(sure[i])))
    counts = table.view(count, count)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    confusion = Confusion(record.classes, counts.tolist(), shares.tolist())
    half = max(SHOWN // 2, SHOWN - len(wrong))
    shown = [*right[:half], *wrong[: SHOWN - len(right[:half])]]
    pictures = [_picture(data, kept[0]) for kept in shown]
    samples = [
        Sample(picture, record.classes[truth], f"{record.classes[best]} {sure:.0%}", truth == best)
        for picture, (_, truth, best, sure) in zip(pictures, shown, strict=True)
        if picture
    ]
    return (confusion if count <= MOST_CLASSES else None), samples


def _picture(data: SplitLoaders, values: Tensor) -> str:
    """A sample as a PNG within the page; empty where it is no picture."""
    if values.dim() != 3 or len(values) not in (1, 3):
        return ""
    pixels = data.transforms.to_pixels(values[None])[0].cpu()
    image = Image.fromarray(pixels.permute(1, 2, 0).squeeze(-1).numpy())
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
