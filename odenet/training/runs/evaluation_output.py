"""The details of a measurement as lines of a terminal, tables and pictures."""

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
from odenet.training.figures import label, save_figure
from odenet.training.run_folder.metrics import as_csv

TERMINAL_WIDTH = 80  # columns of a terminal
MAX_CLASSES = 20  # that are listed, and whose counts are written into the picture
MAX_PAIRS = 10  # of classes taken for one another
MAX_SAMPLES = 5  # that are listed
MAX_NAME_WIDTH = 24  # columns of a class's name at most
COLUMN_NAMES = {"iou": "IoU", "f1": "F1"}

EvaluationDetails = Mapping[str, Any]  # what `Details.found` returns


def details_as_lines(found: EvaluationDetails) -> list[str]:
    """What was found, in lines of at most 80 columns where names of files are short."""
    lines: list[str] = []
    if "confusion" in found:
        lines += _confusion_lines(list(found["per_class"]), found["confusion"])
    if "per_class" in found:
        lines += ["", *_per_class_lines(found["per_class"])]
    worst = found.get("worst", [])[:MAX_SAMPLES]
    return lines + (["", "largest losses", *map(_sample_line, worst)] if worst else [])


def write_details(
    found: EvaluationDetails, inputs: Tensor | Pictures | LazySamples | Windows, folder: Path
) -> list[Path]:
    """Write the tables and pictures of what was found.

    Args:
        found: see above.
        inputs: of the split that was measured.
        folder: gets `confusion.csv`, `confusion.png`, `per_class.csv`, `worst.csv` and, of
            pictures, `worst.png`.

    Raises:
        WriteError: one of them cannot be written.
    """
    make_folder(folder)
    written: list[Path] = []
    if "confusion" in found:
        names, counts = list(found["per_class"]), found["confusion"]
        pairs = zip(names, counts, strict=True)
        rows = [{"class": name, **dict(zip(names, row, strict=True))} for name, row in pairs]
        written += [folder / "confusion.csv", folder / "confusion.png"]
        write_text(written[-2], as_csv(rows))
        _draw_confusion(names, torch.tensor(counts), written[-1])
    if "per_class" in found:
        written.append(folder / "per_class.csv")
        per_class = found["per_class"].items()
        write_text(written[-1], as_csv([{"class": name, **row} for name, row in per_class]))
    if found.get("worst"):
        written.append(folder / "worst.csv")
        write_text(written[-1], as_csv([_table_row(sample) for sample in found["worst"]]))
        pictures = _read_pictures(inputs, [sample["index"] for sample in found["worst"]])
        if pictures:
            written.append(folder / "worst.png")
            _draw_pictures(found["worst"], pictures, written[-1])
    return written


def _confusion_lines(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    """The confusion matrix, or where it is too wide the pairs that are confused most."""
    if 3 * len(names) > TERMINAL_WIDTH:  # a number and what is between it and the next
        return _most_confused_lines(names, counts)
    short = [_shortened(name) for name in names]
    numbered = [f"{name} {place}" for place, name in enumerate(short)]
    cells = [[str(count) if count else "." for count in row] for row in counts]
    for left, head in ((short, short), (numbered, list(map(str, range(len(names)))))):
        rows = [[name, *row] for name, row in zip(left, cells, strict=True)]
        lines = _table_lines([["", *head], *rows])
        if cell_len(lines[0]) <= TERMINAL_WIDTH:
            return ["rows: the class; columns: what it was taken for", *lines]
    return _most_confused_lines(names, counts)


def _table_lines(rows: Sequence[Sequence[str]], least: int = 0) -> list[str]:
    """Rows as lines, the first cells on the left, the others on the right in columns of one width.

    Args:
        rows: as many cells each.
        least: that width at least.
    """
    first = max(cell_len(row[0]) for row in rows)
    column = max(least, *(cell_len(cell) for row in rows for cell in row[1:]))
    return [
        f"  {set_cell_size(name, first)}"
        + "".join(f"  {_right_aligned(cell, column)}" for cell in cells)
        for name, *cells in rows
    ]


def _most_confused_lines(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    wrong = [
        (count, true, said)
        for true, row in enumerate(counts)
        for said, count in enumerate(row)
        if count and said != true
    ]
    wrong.sort(key=lambda pair: (-pair[0], *pair[1:]))
    if not wrong:
        return [f"none of {len(names)} classes was taken for another"]
    return ["taken for another class most often"] + [
        f"  {_shortened(names[true])} for {_shortened(names[said])}: {count} of {sum(counts[true])}"
        for count, true, said in wrong[:MAX_PAIRS]
    ]


def _per_class_lines(found: Mapping[str, Mapping[str, float | int | None]]) -> list[str]:
    """A line for each class, or for those that are found worst."""
    rows = list(found.items())
    if len(rows) > MAX_CLASSES:
        rows.sort(key=lambda row: -1.0 if row[1]["f1"] is None else row[1]["f1"])
        rows = rows[:MAX_PAIRS]
    head = ["class", *(COLUMN_NAMES.get(column, column) for column in rows[0][1])]
    lines = _table_lines(
        [head, *([_shortened(name), *map(_format_cell, row.values())] for name, row in rows)], 9
    )
    if len(found) > len(rows):
        lines.append(f"  the {len(rows)} of {len(found)} classes with the least F1")
    return lines


def _sample_line(sample: Mapping[str, Any]) -> str:
    where = sample.get("file", f"sample {sample['index']}")
    said = _prediction_text(sample)
    return f"  {printable(where)}: loss {sample['loss']:.4g}" + (f", {said}" if said else "")


def _prediction_text(sample: Mapping[str, Any]) -> str:
    """What was said of a sample."""
    if "wrong" in sample:
        return f"{sample['wrong']:.1%} of its places wrong"
    if "probability" in sample:
        label_, said = (_shortened(sample[key]) for key in ("label", "said"))
        taken = "rightly taken" if label_ == said else "taken"
        return f"{label_} {taken} for {said} ({sample['probability']:.0%})"
    if "error" in sample:
        return f"{sample['said']:.6g} for {sample['label']:.6g}"
    if "said" in sample:
        label_, said = (", ".join(sample[key]) or "none" for key in ("label", "said"))
        return f"{said} for {label_}"
    return ""


def _table_row(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A sample as a row of a table."""
    return {k: " ".join(v) if isinstance(v, list) else v for k, v in sample.items()}


def _format_cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _shortened(name: str) -> str:
    shown = printable(name)
    return (
        shown
        if cell_len(shown) <= MAX_NAME_WIDTH
        else set_cell_size(shown, MAX_NAME_WIDTH - 1) + "…"
    )


def _right_aligned(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _draw_confusion(names: Sequence[str], counts: Tensor, path: Path) -> None:
    """The matrix as a picture: shares of each row as shades."""
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side = min(12.0, max(4.0, 1.6 + 0.45 * len(names)))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="taken for", ylabel="class")
    if len(names) <= 2 * MAX_CLASSES:
        shown = [label(_shortened(name)) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=90)
        axes.set_yticks(range(len(names)), shown)
    if len(names) <= MAX_CLASSES:
        for row, column in counts.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(int(counts[row, column]))
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    save_figure(figure, path, dpi=120)


def _read_pictures(
    inputs: Tensor | Pictures | LazySamples | Windows, places: list[int]
) -> list[Tensor]:
    """Some samples as pictures, each (C, H, W); none if they are not pictures."""
    if isinstance(inputs, Windows):
        return []
    if isinstance(inputs, Pictures):
        read = [inputs[place] for place in places]
        found = [image for image in read if isinstance(image, Tensor)]
    else:
        found = list(inputs[places] if isinstance(inputs, Tensor) else inputs.read(places))
    fits = all(image.dim() == 3 and image.shape[0] in (GREY, COLOUR) for image in found)
    return found if fits and len(found) == len(places) else []


def _draw_pictures(
    samples: Sequence[Mapping[str, Any]], pictures: Sequence[Tensor], path: Path
) -> None:
    """The pictures in a grid, each with what was said of it."""
    across = min(5, len(samples))
    down = -(-len(samples) // across)
    figure = Figure(figsize=(2.2 * across, 2.5 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for axes in panels:
        axes.axis("off")
    for axes, sample, image in zip(panels, samples, pictures, strict=False):
        values = image.float()
        low, high = (0.0, 255.0) if image.dtype == torch.uint8 else (values.min(), values.max())
        shown = ((values - low) / max(float(high - low), 1e-12)).permute(1, 2, 0).numpy()
        axes.imshow(shown.squeeze(-1) if len(image) == GREY else shown, cmap="gray", vmin=0, vmax=1)
        said = _prediction_text(sample).replace(" taken for ", "\ntaken for ")
        axes.set_title(label(f"{sample['index']}") + "\n" + said.replace("$", r"\$"), fontsize=7)
    save_figure(figure, path, dpi=150)
