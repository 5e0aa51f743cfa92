"""`odenet plot`: the figures of the page, each as a picture of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

import odenet
from odenet.compiler import Program
from odenet.derive import derive
from odenet.diagnostics import SpecError
from odenet.model.elaboration.library import library, library_scheme
from odenet.report.figures import (
    Figure,
    energy_figure,
    norms_figure,
    spectrum_figure,
    stability_figure,
)
from odenet.report.measured import Measured, measured_new, stability_of_weights
from odenet.report.svg import STYLE
from odenet.training.figures import figure_text, require_format, save_figure
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.comparison import draw_comparison, shortest_distinct_paths
from odenet.training.trained_runs.depth_profile import equation_order

WIDTH = 4.2  # of a panel, in inches as all that follows
LEFT, RIGHT, ABOVE, BELOW = 0.8, 0.15, 0.3, 0.5  # of its axes: the room of labels and its title
TITLE, LINE = 0.4, 0.17  # the room of a title, and of a line of a legend or a caption
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

    @property
    def path(self) -> Path:
        """Where it is; of a scheme its name."""
        return self.run or Path(self.program.model.source.name if self.program else self.name)

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
    return spectrum_figure(found.flows, equation_order(source.program), _sentence(found))


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
        replace(panel, title=tested.equation.text)
        for figure, tested in zip(figures, found.tested, strict=True)
        for panel in figure.panels
    ]
    return Figure(
        panels,
        f"Shaded, and thick on the axes: where steps of {source.name} are stable. "
        f"In numbers: {found}.",
    )


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
    with matplotlib.rc_context(STYLE):
        canvas = Canvas()
        blocks = [
            _block(canvas, figure, f"{name}: {words}")
            for figure, name in zip(figures, _names(sources), strict=True)
        ]
        width = WIDTH * max(_columns(figure) for figure in figures)
        height = sum(block.height(width) for block in blocks)
        canvas.set_size_inches(width, height)
        top = height
        for block in blocks:
            block.place(canvas, width, height, top)
            top -= block.height(width)
        save_figure(canvas, path, dpi=150)


@dataclass(frozen=True)
class _Block:
    """The figure of one source, drawn; its parts have places of their own, in inches.

    Args:
        title: above it.
        caption: below it, not yet broken into lines.
        panels: with the height of their axes, and the lines of their legends.
        columns: of panels.
    """

    title: str
    caption: str
    panels: Sequence[tuple[Axes, float, int]]
    columns: int

    @property
    def cell(self) -> float:
        """The height of a panel with its title, its labels and its legend."""
        return max(ABOVE + height + BELOW + LINE * lines for _, height, lines in self.panels)

    def height(self, width: float) -> float:
        """Of all of it, on a picture of a width."""
        rows = -(-len(self.panels) // self.columns)
        return TITLE + rows * self.cell + LINE * (len(self.lines(width)) + 1)

    def lines(self, width: float) -> list[str]:
        """The caption."""
        return wrap(self.caption, int(LETTERS * width))

    def place(self, canvas: Canvas, width: float, whole: float, top: float) -> None:
        """Put it on a picture of a width and a height, below a place."""
        canvas.text(0.1 / width, (top - 0.1) / whole, self.title, va="top", fontsize=11,
                    fontweight="bold")  # fmt: skip
        for number, (axes, height, lines) in enumerate(self.panels):
            row, column = divmod(number, self.columns)
            upper = top - TITLE - row * self.cell - ABOVE
            axes.set_position(((column * WIDTH + LEFT) / width, (upper - height) / whole,
                               (WIDTH - LEFT - RIGHT) / width, height / whole))  # fmt: skip
            if lines:
                axes.legend(loc="upper center", bbox_to_anchor=(0.5, -BELOW / height),
                            ncols=_entries(axes, lines), frameon=False, fontsize=8,
                            borderaxespad=0)  # fmt: skip
        bottom = (top - self.height(width) + 0.5 * LINE) / whole
        canvas.text(0.1 / width, bottom, "\n".join(self.lines(width)), va="bottom", fontsize=8)


def _block(canvas: Canvas, figure: Figure, title: str) -> _Block:
    panels: list[tuple[Axes, float, int]] = []
    for panel in figure.panels:
        axes = canvas.add_axes((0, 0, 1, 1), label=f"{title} {len(canvas.axes)}")
        panel.draw(axes)
        count = len(axes.get_legend_handles_labels()[0])
        lines = -(-count // panel.columns) if panel.columns else 0
        panels.append((axes, panel.height - BELOW, lines))
    return _Block(figure_text(title), figure.caption, panels, _columns(figure))


def _entries(axes: Axes, lines: int) -> int:
    """How many entries a legend of some lines has side by side."""
    return -(-len(axes.get_legend_handles_labels()[0]) // lines)


def _names(sources: Sequence[Source]) -> list[str]:
    """What the sources are called; by their places where several have one name."""
    names = [source.name for source in sources]
    if len(set(names)) == len(names):
        return names
    return [str(place) for place in shortest_distinct_paths([source.path for source in sources])]


def _columns(figure: Figure) -> int:
    """Panels side by side; four are a square."""
    count = len(figure.panels)
    return 2 if count == 4 else min(count, 3)


def _sentence(found: Measured) -> str:
    return f"{found.whose[0].upper()}{found.whose[1:]}"


def _nothing(source: Source, why: str, help_: str = "") -> SpecError:
    message = f"this figure cannot be drawn: {why}"
    return SpecError.of("bad-option", message, file=str(source.path), help=help_)
