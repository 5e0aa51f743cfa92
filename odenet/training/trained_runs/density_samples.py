"""Samples of a density on paper: points in a table, pictures side by side in one."""

import io
import math
from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from odenet.files import write_bytes, write_text
from odenet.training.errors import BadOption
from odenet.training.run_folder.metrics import as_csv
from odenet.training.trained_runs.trained_run import TrainedRun

GAP = 1  # pixels between pictures, before they are enlarged
MIN_SIDE = 64  # pixels that the longer side of a picture has at least
WHITE = 255


def makes_pictures(trained: TrainedRun) -> bool:
    """Whether what a density gives are pictures."""
    return (
        bool(trained.labels.pixel_spacing)
        and len(trained.shape) == 3
        and trained.shape[0] in (1, 3)
    )


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
        rows = [{f"x{i}": number for i, number in enumerate(row)} for row in sample_rows(samples)]
        write_text(path, as_csv(rows))
    elif path.suffix == ".png" and makes_pictures(trained):
        image = io.BytesIO()
        Image.fromarray(picture_grid(samples).numpy()).save(image, "png")
        write_bytes(path, image.getvalue())
    else:
        which = ".png or .csv" if makes_pictures(trained) else ".csv"
        raise BadOption(f"samples of {trained.folder} go into a {which} file, not {path.name}")


def sample_rows(samples: Tensor) -> list[list[str]]:
    """The numbers of each sample, as text."""
    return [[f"{number:.6g}" for number in row] for row in samples.flatten(1).tolist()]


def picture_grid(pictures: Tensor) -> Tensor:
    """Pictures (n, C, H, W) side by side in one, (H, W) grey or (H, W, 3) coloured, on white."""
    n, channels, *size = pictures.shape
    page = make_grid(pictures, math.ceil(math.sqrt(n)), GAP, pad_value=WHITE)[:channels]
    if n > 1:  # there is a border around several alone
        page = page[:, GAP:-GAP, GAP:-GAP]
    times = max(1, math.ceil(MIN_SIDE / max(size)))
    page = page.repeat_interleave(times, 1).repeat_interleave(times, 2)
    return page[0] if channels == 1 else page.permute(1, 2, 0).contiguous()
