"""Figures written to files, in the format that the file's ending names."""

import io
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from odenet.diagnostics import printable
from odenet.files import make_folder, write_bytes
from odenet.training.errors import BadOption

COLOURS = ("#2f7fd0", "#d9742a", "#2e9e6b", "#a05fc4")  # legible on white and on black
GREY = "#8a8b8c"


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a picture in the format that its ending names, PNG without one.

    Raises:
        TrainingError: if there is no such format.
        WriteError: if it cannot be written.
    """
    require_format(path)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in letters that the font does not have
        sign = {"Software": "odenet"} if _format(path) == "png" else None
        figure.savefig(picture, format=_format(path), dpi=dpi, metadata=sign)
    make_folder(path.parent)
    write_bytes(path, picture.getbuffer())


def require_format(path: Path) -> None:
    """Refuse an ending that no picture has; before the work that leads to it.

    Raises:
        TrainingError: if there is no such format.
    """
    known = Figure().canvas.get_supported_filetypes()
    if _format(path) not in known:
        raise BadOption(
            f"{path}: pictures of this ending cannot be written", "end it in .png, .svg or .pdf"
        )


def label(name: str) -> str:
    """A name as a legend shows it: not as a formula, and not hidden for its first letter."""
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _format(path: Path) -> str:
    return path.suffix[1:].lower() or "png"
