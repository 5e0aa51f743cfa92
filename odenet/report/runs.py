"""The sections of the page about a run: settings, results, curves, predictions of test samples."""

import base64
import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from odenet.counted import counted
from odenet.diagnostics import SpecError
from odenet.model.reading.settings import command_line
from odenet.model.tables.losses import METRICS
from odenet.report.figures import Figure, curves_figure
from odenet.report.measured import MEASURED_SAMPLES, FlowMeasurements, measure_flows
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.data_module import SplitLoaders
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, Record, Row, RunFolder, TrainingSegment
from odenet.training.runs.evaluation import restore
from odenet.training.runs.restoring import damaged_weights_note, weights_file
from odenet.training.runs.results import Result

MAX_CLASSES = 30  # with more, no confusion matrix is shown
SHOWN_SAMPLES = 12  # test samples on the page
MAX_PIXELS = 64  # of the picture of a sample, in each direction


@dataclass(frozen=True)
class Sample:
    """A sample of the test split, and its prediction.

    Args:
        picture: the sample as a `data:` URL.
        label: its class.
        prediction: the class that the network predicts, with its probability.
        is_correct: whether the prediction is the label.
    """

    picture: str
    label: str
    prediction: str
    is_correct: bool


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often each class was predicted for samples of each class.

    Args:
        classes: their names.
        counts: a row for each true class, a column for each predicted one.
        shares: the counts divided by the sums of their rows.
    """

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    shares: Sequence[Sequence[float]]


@dataclass(frozen=True)
class RunSection:
    """What the page of a run shows in addition to that of its specification.

    Args:
        facts: the rows of a table: name and value.
        commands: the command that trains like this run, and one for each time it was resumed.
        curves: loss, metric and learning rate by epoch; None before the first one is finished.
        confusion: that of the test split; None if the task does not classify samples.
        samples: some of the test split, with predictions.
        why_missing: why there is neither confusion matrix nor samples; else empty.
    """

    facts: Sequence[tuple[str, str]]
    commands: Sequence[str]
    curves: Figure | None
    confusion: ConfusionMatrix | None
    samples: Sequence[Sample]
    why_missing: str


def run_section(run: Path, options: Options | None) -> tuple[RunSection, FlowMeasurements]:
    """The section about a run, and measurements of its network on test samples.

    Args:
        run: the folder of the run.
        options: options with the folder of the data; None for the options of the training.

    Raises:
        TrainingError: if this is not the folder of a run, or a damaged one.
    """
    folder = RunFolder(run)
    record, rows = folder.read_record(), folder.rows()
    result = Result.read(folder.result) if folder.result.is_file() else None
    section = RunSection(
        facts=_facts(record, result, len(rows)),
        commands=commands_of(record, run),
        curves=_curves(rows, result),
        confusion=None,
        samples=(),
        why_missing="",
    )
    try:
        task, data, _ = restore(run, options=options)
    except (SpecError, OSError) as error:
        reason = error.diagnostics[0].message if isinstance(error, SpecError) else str(error)
        why = f"Neither weights nor samples could be looked at: {reason}."
        return replace(section, why_missing=why), FlowMeasurements({}, "", reason)
    file = weights_file(folder, "best")
    weights = damaged_weights_note(folder, file) or f"those of {file}"
    section = replace(section, facts=[*section.facts, ("weights", weights)])
    measurements = _measure_on_test_samples(task, data)
    classifies = task.objective.kind.labels == "class" and len(data.test.labels.shape) == 1
    if not classifies or not record.classes:
        why = "The task does not give each sample one class, so there is no confusion matrix."
        return replace(section, why_missing=why), measurements
    confusion, samples = _predict_test_split(task, data, record)
    return replace(section, confusion=confusion, samples=samples), measurements


def measure_run(run: Path, options: Options | None) -> FlowMeasurements:
    """Measure the network of a run on test samples; raises what `restore` raises."""
    task, data, _ = restore(run, options=options)
    return _measure_on_test_samples(task, data)


def run_curves(run: Path) -> Figure | None:
    """The curves of a run; None before its first epoch is finished."""
    folder = RunFolder(run)
    result = Result.read(folder.result) if folder.result.is_file() else None
    return _curves(folder.rows(), result)


def _curves(rows: Sequence[Row], result: Result | None) -> Figure | None:
    if not rows:
        return None
    watched = next((split for split in ("val", "test") if f"{split}_loss" in rows[0]), "test")
    return curves_figure(rows, watched, result and result.best_epoch)


def _measure_on_test_samples(task: Task, data: SplitLoaders) -> FlowMeasurements:
    inputs = next(_test_batches(task.eval(), data, MEASURED_SAMPLES))[0]
    return measure_flows(task.network, inputs, f"the best weights on {len(inputs)} test samples")


def commands_of(record: Record, run: Path) -> list[str]:
    """The commands that repeat a run, to be called in the folder of its specification.

    Args:
        record: the record of the run.
        run: the folder of the run, for the commands that resume it.
    """
    if record.data_from_python:
        return [f"# its data came from a program: {record.data_from_python}"]
    # The run was not resumed after it, so that its number of epochs is not read.
    last = TrainingSegment(epochs=0, settings=record.settings, options=record.options)
    lines: list[str] = []
    previous = TrainingSegment(epochs=0, settings={}, options=Options())
    for segment in (*record.before, last):
        subject = ["--resume", str(run)] if lines else [_spec_path(record, run)]
        words = ["odenet", "train", *subject, *_changed_options(previous, segment)]
        for plugin in sorted(RunFolder(run).plugins.glob("*.py")):
            words += ["--plugin", str(plugin)]
        words += ["--unchecked"] if record.verdicts.get("unchecked") else []
        lines.append(shlex.join(words))
        if len(lines) > 1:
            lines[-1] += f" # after {counted(previous.epochs, 'epoch')}"
        previous = segment
    return lines


def _spec_path(record: Record, run: Path) -> str:
    """The path of the specification; if `--convert` has generated it, of its copy in the run."""
    copy = RunFolder(run).spec
    is_generated = copy.is_file() and "existing(" in copy.read_text("utf-8")
    return str(copy) if is_generated else f"{record.name}.ode"


def _changed_options(previous: TrainingSegment, segment: TrainingSegment) -> list[str]:
    """The words of a command line that change the settings and options of the previous segment."""
    words: list[str] = []
    for name, value in segment.settings.items():
        if name not in previous.settings or previous.settings[name] != value:
            words += command_line(name, value)
    for field in fields(Options):
        value, option = getattr(segment.options, field.name), f"--{field.name.replace('_', '-')}"
        previous_value = getattr(previous.options, field.name)
        if value is True:
            words += [option] if not previous_value else []
        elif value not in (None, False, previous_value):
            words += [option, str(value)]
    return words


def _facts(record: Record, result: Result | None, epochs: int) -> list[tuple[str, str]]:
    """The rows (name, value) of the table about a run; `epochs` are finished."""
    rows = [("epochs", f"{epochs} done" + ("" if result else "; the run is not finished"))]
    if result is not None:
        name = result.chosen_by.title
        rows.append((f"{name} ({result.watched} split)", f"{result.show(result.last)} at the end"))
        rows.append(("best epoch", f"{result.best_epoch}, with {result.show(result.best)}"))
        metrics = [
            f"{METRICS[n].title} {METRICS[n].show(v)}"
            for n, v in result.metrics.items()
            if v is not None
        ]
        loss = [] if result.test_loss is None else [f"loss {result.test_loss:.4g}"]
        rows.append(("test split", ", ".join([*loss, *metrics])))
        rows.append(("parameters", f"{result.parameters:,}"))
        speed = f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"
        rows.append(("training", speed))
        if result.stability is not None:
            rows.append(("stability", f"h·ω is at most {result.stability:.2f} of its limit"))
    rows.append(("versions", ", ".join(f"{name} {v}" for name, v in record.versions.items())))
    return rows


def _test_batches(task: Task, data: SplitLoaders, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and labels of the test split, in batches of at most `size` samples."""
    plan = BatchPlan(len(data.test), min(size, len(data.test)))
    return iter(Batches(data.test, data.transforms, plan, task.device))


def _predict_test_split(
    task: Task, data: SplitLoaders, record: Record
) -> tuple[ConfusionMatrix | None, list[Sample]]:
    """The confusion matrix of the test split, and samples: correct predictions, then wrong ones.

    The matrix is None if there are too many classes.
    """
    classes = record.classes
    n = len(classes)
    flat_counts = torch.zeros(n * n, dtype=torch.int64)
    correct: list[tuple[Tensor, int, int, float]] = []  # input, label, prediction, probability
    wrong: list[tuple[Tensor, int, int, float]] = []
    for inputs, labels in _test_batches(task, data, size=256):
        with torch.no_grad():
            scores = task.objective.prediction(task.objective.network_output(task.network, inputs))
        probability, predicted = scores.max(1)
        flat_counts += torch.bincount(labels * n + predicted, minlength=n * n)
        for group, mask in ((correct, predicted == labels), (wrong, predicted != labels)):
            for i in mask.nonzero().flatten()[: SHOWN_SAMPLES - len(group)].tolist():
                group.append((inputs[i], int(labels[i]), int(predicted[i]), float(probability[i])))
    counts = flat_counts.view(n, n)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    confusion = ConfusionMatrix(classes, counts.tolist(), shares.tolist())
    correct_count = max(SHOWN_SAMPLES // 2, SHOWN_SAMPLES - len(wrong))
    shown = [*correct[:correct_count], *wrong[: SHOWN_SAMPLES - len(correct[:correct_count])]]
    pictures = [_picture_url(data, values) for values, *_ in shown]
    samples = [
        Sample(picture, classes[label], f"{classes[predicted]} {p:.0%}", label == predicted)
        for picture, (_, label, predicted, p) in zip(pictures, shown, strict=True)
        if picture
    ]
    return (confusion if n <= MAX_CLASSES else None), samples


def _picture_url(data: SplitLoaders, values: Tensor) -> str:
    """The `data:` URL of a sample as a PNG; empty if it is not a picture."""
    if values.dim() != 3 or len(values) not in (1, 3):
        return ""
    pixels = data.transforms.to_pixels(values[None])[0].cpu()
    image = Image.fromarray(pixels.permute(1, 2, 0).squeeze(-1).numpy())
    image.thumbnail((MAX_PIXELS, MAX_PIXELS))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
