"""Writing matplotlib figures to files, in the format that the file name's ending asks for."""

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
    """Write a figure in the format of the path's ending, as PNG if it has none.

    Raises:
        TrainingError: if matplotlib cannot write this format.
        WriteError: if it cannot be written.
    """
    require_format(path)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in letters that the font does not have
        metadata = {"Software": "odenet"} if _format(path) == "png" else None
        figure.savefig(picture, format=_format(path), dpi=dpi, metadata=metadata)
    make_folder(path.parent)
    write_bytes(path, picture.getbuffer())


def require_format(path: Path) -> None:
    """Refuse a file name whose ending is not a picture format. Called before any long computation.

    Raises:
        TrainingError: if matplotlib cannot write this format.
    """
    if _format(path) not in Figure().canvas.get_supported_filetypes():
        message = f"{path}: pictures of this ending cannot be written"
        raise BadOption(message, "end it in .png, .svg or .pdf")


def figure_text(name: str) -> str:
    """A name for a legend, an axis or a title, so that matplotlib shows it as it is.

    `$` does not start a formula, and a leading `_` does not hide the entry from the legend.
    """
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _format(path: Path) -> str:
    return path.suffix[1:].lower() or "png"
