"""Writing samples of a density model (`odenet sample`) as a CSV table or a grid of pictures."""

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
MIN_SIDE = 64  # pixels of the longer side of a picture after enlarging, at least
WHITE = 255


def makes_pictures(trained: TrainedRun) -> bool:
    """Whether the samples of a density are pictures, grey or coloured.

    Only a density that was trained on pixels has a grain: the distance of two pixel values.
    """
    shape = trained.shape
    return bool(trained.labels.grain) and len(shape) == 3 and shape[0] in (1, 3)


def write_samples(trained: TrainedRun, samples: Tensor, path: Path) -> None:
    """Write samples of a density: as .csv with a row for each, or as .png with a grid of pictures.

    Args:
        trained: the run with the density.
        samples: (n, *shape), as `TrainedRun.sample` returns them.
        path: the file, whose ending decides the format.

    Raises:
        TrainingError: the ending is unknown, or .png and the samples are not pictures.
        WriteError: the file cannot be written.
    """
    if path.suffix == ".csv":
        rows = [{f"x{i}": number for i, number in enumerate(row)} for row in sample_rows(samples)]
        write_text(path, as_csv(rows))
    elif path.suffix == ".png" and makes_pictures(trained):
        image = io.BytesIO()
        Image.fromarray(picture_grid(samples).numpy()).save(image, "png")
        write_bytes(path, image.getvalue())
    else:
        formats = ".png or .csv" if makes_pictures(trained) else ".csv"
        raise BadOption(f"samples of {trained.folder} go into a {formats} file, not {path.name}")


def sample_rows(samples: Tensor) -> list[list[str]]:
    """The numbers of each sample as texts."""
    return [[f"{number:.6g}" for number in row] for row in samples.flatten(1).tolist()]


def picture_grid(pictures: Tensor) -> Tensor:
    """One image with pictures (n, C, H, W) in a grid on white: (H, W), or (H, W, 3) in colour."""
    n, channels, *size = pictures.shape
    image = make_grid(pictures, math.ceil(math.sqrt(n)), GAP, pad_value=WHITE)[:channels]
    if n > 1:  # remove the border, which `make_grid` adds around several pictures
        image = image[:, GAP:-GAP, GAP:-GAP]
    zoom = max(1, math.ceil(MIN_SIDE / max(size)))
    image = image.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    return image[0] if channels == 1 else image.permute(1, 2, 0).contiguous()
