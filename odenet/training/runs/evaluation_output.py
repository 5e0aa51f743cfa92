"""Confusion matrix, scores per class and worst samples of an evaluation: printed, CSV, pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.cells import cell_len, set_cell_size
from torch import Tensor

from odenet.diagnostics import printable
from odenet.files import make_folder, write_text
from odenet.training.data.lazy_samples import LazySamples
from odenet.training.data.pictures import COLOUR, GREY, Pictures
from odenet.training.data.windows import Windows
from odenet.training.figures import figure_text, save_figure
from odenet.training.run_folder.metrics import as_csv

TERMINAL_WIDTH = 80  # columns of a terminal
MAX_CLASSES = 20  # with more, not all classes are listed, and the picture has no counts
MAX_PAIRS = 10  # confused pairs that are listed, or classes if there are too many
MAX_SAMPLES = 5  # samples with the largest loss that are listed
MAX_NAME_WIDTH = 24  # columns of the terminal for the name of a class
COLUMN_NAMES = {"iou": "IoU", "f1": "F1"}

# From `learning/details.py`. Keys, all optional: `confusion`, rows of counts; `per_class`, a
# dictionary of scores by class; `worst`, a dictionary for each sample with a large loss.
EvaluationDetails = Mapping[str, Any]


def details_as_lines(details: EvaluationDetails) -> list[str]:
    """The details as lines of text, of at most 80 columns unless file names are long."""
    lines: list[str] = []
    if "confusion" in details:
        lines += _confusion_lines(list(details["per_class"]), details["confusion"])
    if "per_class" in details:
        lines += ["", *_per_class_lines(details["per_class"])]
    worst = details.get("worst", [])[:MAX_SAMPLES]
    return lines + (["", "largest losses", *map(_sample_line, worst)] if worst else [])


def write_details(
    details: EvaluationDetails, inputs: Tensor | Pictures | LazySamples | Windows, folder: Path
) -> list[Path]:
    """Write the details as tables and pictures, and return the paths of the files.

    Args:
        details: the tables and the worst samples, as `Details.summary` gives them.
        inputs: the samples of the split that was evaluated.
        folder: where `confusion.csv`, `confusion.png`, `per_class.csv`, `worst.csv` and, if the
            samples are pictures, `worst.png` are written.

    Raises:
        WriteError: one of these files cannot be written.
    """
    make_folder(folder)
    paths: list[Path] = []
    if "confusion" in details:
        names, counts = list(details["per_class"]), details["confusion"]
        named_rows = zip(names, counts, strict=True)
        rows = [{"class": name, **dict(zip(names, row, strict=True))} for name, row in named_rows]
        paths += [folder / "confusion.csv", folder / "confusion.png"]
        write_text(paths[-2], as_csv(rows))
        _draw_confusion(names, torch.tensor(counts), paths[-1])
    if "per_class" in details:
        paths.append(folder / "per_class.csv")
        per_class = details["per_class"].items()
        write_text(paths[-1], as_csv([{"class": name, **row} for name, row in per_class]))
    if details.get("worst"):
        paths.append(folder / "worst.csv")
        write_text(paths[-1], as_csv([_table_row(sample) for sample in details["worst"]]))
        pictures = _read_pictures(inputs, [sample["index"] for sample in details["worst"]])
        if pictures:
            paths.append(folder / "worst.png")
            _draw_pictures(details["worst"], pictures, paths[-1])
    return paths


def _confusion_lines(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    """The confusion matrix; if it is too wide for a terminal, the most confused pairs of classes.

    If class names are too long for column headings, the columns are headed by class numbers.
    """
    if 3 * len(names) > TERMINAL_WIDTH:  # a column takes a digit and two spaces at least
        return _most_confused_lines(names, counts)
    short = [_shortened(name) for name in names]
    numbered = [f"{name} {i}" for i, name in enumerate(short)]
    cells = [[str(count) if count else "." for count in row] for row in counts]
    for row_names, head in ((short, short), (numbered, list(map(str, range(len(names)))))):
        rows = [[name, *row] for name, row in zip(row_names, cells, strict=True)]
        lines = _table_lines([["", *head], *rows])
        if cell_len(lines[0]) <= TERMINAL_WIDTH:
            return ["rows: the class; columns: what it was taken for", *lines]
    return _most_confused_lines(names, counts)


def _table_lines(rows: Sequence[Sequence[str]], min_width: int = 0) -> list[str]:
    """A table as lines of text: the first column left-aligned, the others right-aligned.

    Args:
        rows: the cells of each row, all rows of equal length.
        min_width: the least width of the columns after the first, which all have the same width.
    """
    first_width = max(cell_len(row[0]) for row in rows)
    other_width = max(min_width, *(cell_len(cell) for row in rows for cell in row[1:]))
    return [
        f"  {set_cell_size(name, first_width)}"
        + "".join(f"  {_right_aligned(c, other_width)}" for c in cells)
        for name, *cells in rows
    ]


def _most_confused_lines(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    """A line for each pair of classes that are often confused, the most frequent first."""
    confused = [
        (count, actual, predicted)
        for actual, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and predicted != actual
    ]
    confused.sort(key=lambda pair: (-pair[0], *pair[1:]))
    if not confused:
        return [f"none of {len(names)} classes was taken for another"]
    short_names = [_shortened(name) for name in names]
    return ["taken for another class most often"] + [
        f"  {short_names[actual]} for {short_names[predicted]}: {count} of {sum(counts[actual])}"
        for count, actual, predicted in confused[:MAX_PAIRS]
    ]


def _per_class_lines(per_class: Mapping[str, Mapping[str, float | int | None]]) -> list[str]:
    """A table with a row of scores for each class; of many classes, those with the least F1."""
    rows = list(per_class.items())
    if len(rows) > MAX_CLASSES:
        rows.sort(key=lambda row: -1.0 if row[1]["f1"] is None else row[1]["f1"])
        rows = rows[:MAX_PAIRS]
    head = ["class", *(COLUMN_NAMES.get(column, column) for column in rows[0][1])]
    cells = [[_shortened(name), *map(_format_cell, scores.values())] for name, scores in rows]
    lines = _table_lines([head, *cells], min_width=9)  # the width of "precision"
    if len(per_class) > len(rows):
        lines.append(f"  the {len(rows)} of {len(per_class)} classes with the least F1")
    return lines


def _sample_line(sample: Mapping[str, Any]) -> str:
    name = sample.get("file", f"sample {sample['index']}")
    prediction = _prediction_text(sample)
    return ", ".join(filter(None, (f"  {printable(name)}: loss {sample['loss']:.4g}", prediction)))


def _prediction_text(sample: Mapping[str, Any]) -> str:
    """The label of a sample and what was predicted instead; empty if there is neither."""
    if "wrong" in sample:
        return f"{sample['wrong']:.1%} of its places wrong"
    if "probability" in sample:
        true_label, predicted = (_shortened(sample[key]) for key in ("label", "said"))
        verb = "rightly taken" if true_label == predicted else "taken"
        return f"{true_label} {verb} for {predicted} ({sample['probability']:.0%})"
    if "error" in sample:
        return f"{sample['said']:.6g} for {sample['label']:.6g}"
    if "said" in sample:
        true_label, predicted = (", ".join(sample[key]) or "none" for key in ("label", "said"))
        return f"{predicted} for {true_label}"
    return ""


def _table_row(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A sample of `worst` as a row of `worst.csv`: several labels are joined by spaces."""
    return {k: " ".join(v) if isinstance(v, list) else v for k, v in sample.items()}


def _format_cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _shortened(name: str) -> str:
    name, width = printable(name), MAX_NAME_WIDTH
    return name if cell_len(name) <= width else set_cell_size(name, width - 1) + "…"


def _right_aligned(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _draw_confusion(names: Sequence[str], counts: Tensor, path: Path) -> None:
    """Draw the confusion matrix, each cell as dark as its share of the row."""
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side = min(12.0, max(4.0, 1.6 + 0.45 * len(names)))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="taken for", ylabel="class")
    if len(names) <= 2 * MAX_CLASSES:
        labels = [figure_text(_shortened(name)) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90)
        axes.set_yticks(range(len(names)), labels)
    if len(names) <= MAX_CLASSES:
        for row, column in counts.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(int(counts[row, column]))
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    save_figure(figure, path, dpi=120)


def _read_pictures(
    inputs: Tensor | Pictures | LazySamples | Windows, indices: list[int]
) -> list[Tensor]:
    """Some samples as pictures, each (C, H, W); empty if samples are not pictures.

    Args:
        inputs: all samples; `Windows` are those of a text.
        indices: which samples to read.
    """
    if isinstance(inputs, Windows):
        return []
    if isinstance(inputs, Pictures):
        images = [image for index in indices if isinstance(image := inputs[index], Tensor)]
    else:
        images = list(inputs[indices] if isinstance(inputs, Tensor) else inputs.read(indices))
    are_pictures = all(image.dim() == 3 and image.shape[0] in (GREY, COLOUR) for image in images)
    return images if are_pictures and len(images) == len(indices) else []


def _draw_pictures(
    samples: Sequence[Mapping[str, Any]], pictures: Sequence[Tensor], path: Path
) -> None:
    """Draw pictures in a grid, each with its index and its prediction above it."""
    columns = min(5, len(samples))
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.axis("off")
    for axes, sample, image in zip(panels, samples, pictures, strict=False):
        values = image.float()
        low, high = (0.0, 255.0) if image.dtype == torch.uint8 else (values.min(), values.max())
        shade = ((values - low) / max(float(high - low), 1e-12)).permute(1, 2, 0).numpy()
        axes.imshow(shade.squeeze(-1) if len(image) == GREY else shade, cmap="gray", vmin=0, vmax=1)
        title = _prediction_text(sample).replace(" taken for ", "\ntaken for ").replace("$", r"\$")
        axes.set_title(figure_text(f"{sample['index']}") + "\n" + title, fontsize=7)
    save_figure(figure, path, dpi=150)
