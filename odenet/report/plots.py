"""`odenet plot`: the figures of the page, each as a picture of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

import odenet
from odenet.compiler import Program
from odenet.derive import derive
from odenet.diagnostics import SpecError
from odenet.model.elaboration.library import library, library_scheme
from odenet.report.figures import (
    Figure,
    Panel,
    energy_figure,
    norms_figure,
    spectrum_figure,
    stability_figure,
)
from odenet.report.measured import Measured, measured_new, stability_of_weights
from odenet.report.svg import STYLE
from odenet.training.along import order_of
from odenet.training.comparison import draw_comparison
from odenet.training.figures import label, require_format, save_figure
from odenet.training.records import Options, RunFolder

WIDTH = 4.2  # inches of a panel
LETTERS = 15  # of a caption to an inch


@dataclass(frozen=True)
class Source:
    """What a picture is about.

    Args:
        name: of it, in the title.
        program: compiled; None of a scheme of the library.
        run: the folder, where it is a run.
        options: where the data of a run lies.
    """

    name: str
    program: Program | None
    run: Path | None = None
    options: Options | None = None

    def measured(self) -> Measured:
        """Its network, measured.

        Raises:
            SpecError: there is nothing to measure; says why.
        """
        from odenet.report.runs import measured_run

        found = Measured({}, "", f"{self.name} is a scheme, which has no weights")
        if self.run is not None:
            found = measured_run(self.run, self.options)
        elif self.program is not None:
            found = measured_new(self.program)
        if not found.flows:
            raise _nothing(self, found.missing)
        return found


def source_of(given: Path, settings: Mapping[str, Any], data_root: Path | None) -> Source:
    """What the user means by a path or a name.

    Args:
        given: a specification, the folder of a run, or the name of a scheme of the library.
        settings: of the constants of a specification.
        data_root: where the data of runs lies; as in training if None.
    """
    if given.is_dir():
        folder = RunFolder(given)
        record = folder.read_record()
        folder.require_plugins()
        options = record.options
        if data_root is not None:
            options = replace(options, data_root=str(data_root))
        program = odenet.load(folder.spec, set=dict(record.settings))
        return Source(given.resolve().name, program, given, options)
    if not given.exists() and str(given) in library():
        return Source(str(given), None)
    program = odenet.load(given, set=dict(settings))
    return Source(program.name, program)


def _spectrum(source: Source) -> Figure:
    found = source.measured()
    assert source.program is not None  # a scheme measures nothing
    return spectrum_figure(found.flows, order_of(source.program), _sentence(found))


def _norms(source: Source) -> Figure:
    found = source.measured()
    return norms_figure(found.flows, _sentence(found))


def _energy(source: Source) -> Figure:
    found = source.measured()
    figure = energy_figure(found.flows, _sentence(found))
    if figure is None:
        raise _nothing(source, "no energy of its flows is certified", "see `odenet check`")
    return figure


def _stability(source: Source) -> Figure:
    if source.program is None:
        return _of_scheme(source)
    figure = stability_of_weights(source.program, source.measured())
    if isinstance(figure, str):
        raise _nothing(source, figure)
    return figure


def _of_scheme(source: Source) -> Figure:
    """The regions of a scheme on its test equations, at the values that its constants have."""
    found = derive(library_scheme(source.name)).stability_at({})
    if isinstance(found, str):
        raise _nothing(source, found)
    figures = [stability_figure(tested, {}, "") for tested in found.tested]
    panels = [
        replace(panel, draw=_titled(panel, tested.equation.text))
        for figure, tested in zip(figures, found.tested, strict=True)
        for panel in figure.panels
    ]
    return Figure(
        panels,
        f"Shaded, and thick on the axes: where steps of {source.name} are stable. "
        f"In numbers: {found}.",
    )


def _titled(panel: Panel, title: str) -> Callable[..., None]:
    def draw(axes: Any) -> None:
        panel.draw(axes)
        axes.set_title(title)

    return draw


def _curves(source: Source) -> Figure:
    from odenet.report.runs import run_curves

    if source.run is None:
        raise _nothing(source, "curves are those of a run", "name the folder of one")
    figure = run_curves(source.run)
    if figure is None:
        raise _nothing(source, "no epoch is over yet")
    return figure


# What is drawn, by the word that asks for it, with the words of the title.
KINDS: Mapping[str, tuple[Callable[[Source], Figure], str]] = {
    "spectrum": (_spectrum, "eigenvalues of the dynamics"),
    "stability": (_stability, "where steps are stable"),
    "energy": (_energy, "energy along the depth"),
    "norms": (_norms, "norms along the depth"),
    "curves": (_curves, "training"),
}


def draw_plot(kind: str, sources: Sequence[Source], path: Path) -> None:
    """Draw one kind of figure of each source, a row each; curves of several runs into one panel.

    Args:
        kind: a key of `KINDS`.
        sources: at least one.
        path: the picture; its ending names the format.

    Raises:
        SpecError: one of them has no such figure, or the format is unknown.
        WriteError: it cannot be written.
    """
    require_format(path)
    figure_of, words = KINDS[kind]
    figures = [figure_of(source) for source in sources]
    if kind == "curves" and len(sources) > 1:
        draw_comparison([source.run for source in sources if source.run], path)
        return
    columns = max(_columns(figure) for figure in figures)
    captions = [fill(figure.caption, int(LETTERS * WIDTH * columns)) for figure in figures]
    heights = [_height(figure, caption) for figure, caption in zip(figures, captions, strict=True)]
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(WIDTH * columns, sum(heights)), layout="constrained")
        FigureCanvasAgg(canvas)
        parts = canvas.subfigures(len(figures), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, source, figure, caption in zip(parts, sources, figures, captions, strict=True):
            part.suptitle(label(f"{source.name}: {words}"), fontsize=11, fontweight="bold")
            part.supxlabel(caption, fontsize=8, x=0.02, ha="left")
            places = part.subplots(_rows(figure), _columns(figure), squeeze=False).flat
            for axes, panel in zip(places, figure.panels, strict=False):
                panel.draw(axes)
                if panel.columns:
                    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.45 / panel.height),
                                ncols=panel.columns, frameon=False, fontsize=8)  # fmt: skip
            for axes in list(places)[len(figure.panels) :]:
                axes.set_axis_off()
        save_figure(canvas, path, dpi=150)


def _columns(figure: Figure) -> int:
    """Panels side by side; four are a square."""
    count = len(figure.panels)
    return 2 if count == 4 else min(count, 3)


def _rows(figure: Figure) -> int:
    return -(-len(figure.panels) // _columns(figure))


def _height(figure: Figure, caption: str) -> float:
    """Inches of the panels, their legends, the title and the caption."""
    legend = {0: 0.0, 1: 0.9}  # by its columns; of several it has one row or two
    panel = max(panel.height + legend.get(panel.columns, 0.4) for panel in figure.panels)
    return _rows(figure) * panel + 0.7 + 0.17 * caption.count("\n")


def _sentence(found: Measured) -> str:
    return f"{found.whose[0].upper()}{found.whose[1:]}"


def _nothing(source: Source, why: str, help_: str = "") -> SpecError:
    file = str(source.run or source.name)
    return SpecError.of("bad-option", f"there is no such figure: {why}", file=file, help=help_)
