"""Samples of a density on paper: points in a table, pictures side by side in one."""

import csv
import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from odenet.files import write_bytes, write_text
from odenet.training.errors import BadOption
from odenet.training.trained import TrainedRun

GAP = 1  # pixels between pictures, before they are enlarged
VISIBLE = 64  # pixels that the longer side of a picture has at least
WHITE = 255


def are_pictures(trained: TrainedRun) -> bool:
    """Whether what a density gives are pictures."""
    return bool(trained.labels.grain) and len(trained.shape) == 3 and trained.shape[0] in (1, 3)


def write_samples(trained: TrainedRun, samples: Tensor, path: Path) -> None:
    """Write samples of a density: a .csv has a row for each, a .png all pictures in a grid.

    Args:
        trained: the density.
        samples: of it, (n, *shape).
        path: the file.

    Raises:
        TrainingError: if they cannot be written so.
        WriteError: if the file cannot be.
    """
    if path.suffix == ".csv":
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([f"x{i}" for i in range(samples[0].numel())])
        rows.writerows(in_rows(samples))
        write_text(path, text.getvalue())
    elif path.suffix == ".png" and are_pictures(trained):
        image = io.BytesIO()
        Image.fromarray(grid(samples).numpy()).save(image, "png")
        write_bytes(path, image.getvalue())
    else:
        which = ".png or .csv" if are_pictures(trained) else ".csv"
        raise BadOption(f"samples of {trained.folder} go into a {which} file, not {path.name}")


def in_rows(samples: Tensor) -> list[list[str]]:
    """The numbers of each sample, as text."""
    return [[f"{number:.6g}" for number in row] for row in samples.flatten(1).tolist()]


def grid(pictures: Tensor) -> Tensor:
    """Pictures (n, C, H, W) side by side in one, (H, W) grey or (H, W, 3) coloured, on white."""
    n, channels, height, width = pictures.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    size = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP
    page = torch.full((channels, *size), WHITE, dtype=torch.uint8)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        page[:, top : top + height, left : left + width] = picture
    times = max(1, math.ceil(VISIBLE / max(height, width)))
    page = page.repeat_interleave(times, 1).repeat_interleave(times, 2)
    return page[0] if channels == 1 else page.permute(1, 2, 0).contiguous()
