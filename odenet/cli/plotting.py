"""`odenet plot`: draws figures of specifications, schemes and runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from odenet.cli.output import require_replaceable, say
from odenet.cli.shared_options import Plugins, Settings, read_settings
from odenet.extras import require

PNG_MARK = b"Software\0odenet"  # in the PNG files that odenet writes
Kind = Literal["spectrum", "stability", "energy", "norms", "curves"]


def plot(
    kind: Annotated[Kind, typer.Argument(help="What to draw.")],
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Specifications, folders of runs; for stability also names of schemes."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The picture, .png, .svg or .pdf [default: NAME-KIND.png]."
        ),
    ] = None,
    set_: Settings = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Where data of runs lies [default: as in training].")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Draw one of the figures of `odenet report`, into a file of its own.

    The weights of a run are measured on test samples; a specification is measured with the weights
    that training begins with. Several sources are drawn below one another, curves in one panel.
    """
    require("report", "odenet plot", "matplotlib")
    if kind == "curves" or any(source.is_dir() for source in sources):
        require("train", "a figure of a run")
    from rich.console import Console

    from odenet.report.plots import draw_plot, plot_subject
    from odenet.training.figures import require_format

    target = out or Path(f"{sources[0].resolve().stem}-{kind}.png")
    require_format(target)
    require_replaceable(target, out is not None, PNG_MARK)
    with Console(stderr=True).status("measuring"):
        subjects = [plot_subject(s, {} if s.is_dir() else read_settings(set_, s), data_root)
                    for s in sources]  # fmt: skip
        draw_plot(kind, subjects, target)
    say(f"wrote {target}")
