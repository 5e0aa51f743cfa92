"""`odenet plot`: draws the figures of the HTML page into picture files."""

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
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.report.figures import (
    Figure,
    energy_figure,
    norms_figure,
    spectrum_figure,
    stability_figure,
)
from odenet.report.measured import FlowMeasurements, measure_untrained, stability_of_weights
from odenet.report.svg import STYLE
from odenet.training.figures import figure_text, require_format, save_figure
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.comparison import draw_comparison, shortest_distinct_paths
from odenet.training.trained_runs.depth_profile import equation_order

# Lengths in inches.
PANEL_WIDTH = 4.2
LEFT, RIGHT, ABOVE, BELOW = 0.8, 0.15, 0.3, 0.5  # margins of the axes, for labels and title
TITLE_HEIGHT, LINE_HEIGHT = 0.4, 0.17  # of the title of a figure; of lines in legends and captions
LETTERS_PER_INCH = 15  # of width, in a caption


@dataclass(frozen=True)
class PlotSubject:
    """What a picture is about: a specification, a run or a scheme.

    Args:
        name: shown in the title.
        program: the program of a specification or a run; None for a scheme.
        run: the folder of a run, else None.
        options: the options of a run, among them the folder of its data; else None.
    """

    name: str
    program: Program | None
    run: Path | None = None
    options: Options | None = None

    @property
    def path(self) -> Path:
        """The file or folder; for a scheme its name, as a path."""
        return self.run or Path(self.program.model.source.name if self.program else self.name)

    def measure(self) -> FlowMeasurements:
        """Measure the flows of its network.

        Raises:
            SpecError: if there is nothing to measure; the message says why.
        """
        from odenet.report.runs import measure_run

        measurements = FlowMeasurements({}, "", f"{self.name} is a scheme, which has no weights")
        if self.run is not None:
            measurements = measure_run(self.run, self.options)
        elif self.program is not None:
            measurements = measure_untrained(self.program)
        if not measurements.flows:
            raise _no_figure(self, measurements.why_missing)
        return measurements


def plot_subject(path: Path, settings: Mapping[str, Any], data_root: Path | None) -> PlotSubject:
    """The subject that an argument of the command names.

    Args:
        path: a specification, the folder of a run, or the name of a scheme of odenet.
        settings: values of constants, for a specification.
        data_root: the folder of a run's data; None takes that of its training.
    """
    if path.is_dir():
        folder = RunFolder(path)
        record = folder.read_record()
        folder.require_plugins()
        options = record.options
        if data_root is not None:
            options = replace(options, data_root=str(data_root))
        program = odenet.load(folder.spec, set=dict(record.settings))
        return PlotSubject(path.resolve().name, program, path, options)
    if not path.exists() and str(path) in library_names():
        return PlotSubject(str(path), program=None)
    program = odenet.load(path, set=dict(settings))
    return PlotSubject(program.name, program)


def _spectrum(subject: PlotSubject) -> Figure:
    measurements = subject.measure()
    assert subject.program is not None  # for a scheme, `measure` has raised an error
    order = equation_order(subject.program)
    return spectrum_figure(measurements.flows, order, _capitalised(measurements.subject))


def _norms(subject: PlotSubject) -> Figure:
    measurements = subject.measure()
    return norms_figure(measurements.flows, _capitalised(measurements.subject))


def _energy(subject: PlotSubject) -> Figure:
    measurements = subject.measure()
    figure = energy_figure(measurements.flows, _capitalised(measurements.subject))
    if figure is None:
        raise _no_figure(subject, "no energy of its flows is certified", "see `odenet check`")
    return figure


def _stability(subject: PlotSubject) -> Figure:
    if subject.program is None:
        return _scheme_stability(subject)
    figure = stability_of_weights(subject.program, subject.measure())
    if isinstance(figure, str):
        raise _no_figure(subject, figure)
    return figure


def _scheme_stability(subject: PlotSubject) -> Figure:
    """The regions of a scheme on its test equations, for the default values of its constants."""
    stability = derive(library_scheme(subject.name)).stability_at({})
    if isinstance(stability, str):
        raise _no_figure(subject, stability)
    figures = [stability_figure(tested, {}, "") for tested in stability.per_equation]
    panels = [
        replace(panel, title=tested.equation.text)
        for figure, tested in zip(figures, stability.per_equation, strict=True)
        for panel in figure.panels
    ]
    return Figure(
        panels,
        f"Shaded, and thick on the axes: where steps of {subject.name} are stable. "
        f"In numbers: {stability}.",
    )


def _curves(subject: PlotSubject) -> Figure:
    from odenet.report.runs import run_curves

    if subject.run is None:
        raise _no_figure(subject, "curves are those of a run", "name the folder of one")
    figure = run_curves(subject.run)
    if figure is None:
        raise _no_figure(subject, "no epoch is over yet")
    return figure


# The kinds of figures: the function that makes one, and its title.
KINDS: Mapping[str, tuple[Callable[[PlotSubject], Figure], str]] = {
    "spectrum": (_spectrum, "eigenvalues of the dynamics"),
    "stability": (_stability, "where steps are stable"),
    "energy": (_energy, "energy along the depth"),
    "norms": (_norms, "norms along the depth"),
    "curves": (_curves, "training"),
}


def draw_plot(kind: str, subjects: Sequence[PlotSubject], path: Path) -> None:
    """Draw a kind of figure of each subject, one below the other, or curves into one panel.

    Args:
        kind: a key of `KINDS`.
        subjects: at least one.
        path: the path of the picture; its suffix is the format.

    Raises:
        SpecError: if a subject has no such figure, or the format is unknown.
        WriteError: if the file cannot be written.
    """
    require_format(path)
    make_figure, title = KINDS[kind]
    figures = [make_figure(subject) for subject in subjects]
    if kind == "curves" and len(subjects) > 1:
        draw_comparison([subject.run for subject in subjects if subject.run], path)
        return
    with matplotlib.rc_context(STYLE):
        canvas = Canvas()
        blocks = [
            _draw_block(canvas, figure, f"{name}: {title}")
            for figure, name in zip(figures, _unique_names(subjects), strict=True)
        ]
        width = PANEL_WIDTH * max(_columns(figure) for figure in figures)
        height = sum(block.height(width) for block in blocks)
        canvas.set_size_inches(width, height)
        top = height
        for block in blocks:
            block.place(canvas, width, height, top)
            top -= block.height(width)
        save_figure(canvas, path, dpi=150)


@dataclass(frozen=True)
class _Block:
    """The figure of one subject, drawn on a canvas, and its layout; lengths are in inches.

    Args:
        title: the text above the panels.
        caption: the text below them, not yet broken into lines.
        panels: a triple for each: axes, height of the axes, and number of lines of the legend.
        columns: the number of panels side by side.
    """

    title: str
    caption: str
    panels: Sequence[tuple[Axes, float, int]]
    columns: int

    @property
    def row_height(self) -> float:
        """The height of a row of panels with their titles, labels and legends."""
        return max(ABOVE + height + BELOW + LINE_HEIGHT * lines for _, height, lines in self.panels)

    def height(self, width: float) -> float:
        """The height of the block in a picture that is `width` wide."""
        rows = -(-len(self.panels) // self.columns)
        caption_height = LINE_HEIGHT * (len(self.caption_lines(width)) + 1)
        return TITLE_HEIGHT + rows * self.row_height + caption_height

    def caption_lines(self, width: float) -> list[str]:
        """The lines of the caption in a picture that is `width` wide."""
        return wrap(self.caption, int(LETTERS_PER_INCH * width))

    def place(self, canvas: Canvas, width: float, canvas_height: float, top: float) -> None:
        """Set the positions of the block's parts on a canvas, from the height `top` downwards."""
        canvas.text(0.1 / width, (top - 0.1) / canvas_height, self.title, va="top", fontsize=11,
                    fontweight="bold")  # fmt: skip
        for number, (axes, height, legend_lines) in enumerate(self.panels):
            row, column = divmod(number, self.columns)
            axes_top = top - TITLE_HEIGHT - row * self.row_height - ABOVE
            axes.set_position(((column * PANEL_WIDTH + LEFT) / width,
                               (axes_top - height) / canvas_height,
                               (PANEL_WIDTH - LEFT - RIGHT) / width,
                               height / canvas_height))  # fmt: skip
            if legend_lines:
                axes.legend(loc="upper center", bbox_to_anchor=(0.5, -BELOW / height),
                            ncols=_legend_columns(axes, legend_lines), frameon=False, fontsize=8,
                            borderaxespad=0)  # fmt: skip
        bottom = (top - self.height(width) + 0.5 * LINE_HEIGHT) / canvas_height
        caption = "\n".join(self.caption_lines(width))
        canvas.text(0.1 / width, bottom, caption, va="bottom", fontsize=8)


def _draw_block(canvas: Canvas, figure: Figure, title: str) -> _Block:
    """Draw the panels of a figure on a canvas, not yet at their positions."""
    panels: list[tuple[Axes, float, int]] = []
    for panel in figure.panels:
        axes = canvas.add_axes((0, 0, 1, 1), label=f"{title} {len(canvas.axes)}")
        panel.draw(axes)
        count = len(axes.get_legend_handles_labels()[0])
        legend_lines = -(-count // panel.legend_columns) if panel.legend_columns else 0
        panels.append((axes, panel.height - BELOW, legend_lines))
    return _Block(figure_text(title), figure.caption, panels, _columns(figure))


def _legend_columns(axes: Axes, legend_lines: int) -> int:
    """The number of columns that give a legend this many lines."""
    return -(-len(axes.get_legend_handles_labels()[0]) // legend_lines)


def _unique_names(subjects: Sequence[PlotSubject]) -> list[str]:
    """The names of the subjects, or parts of their paths if several have the same name."""
    names = [subject.name for subject in subjects]
    if len(set(names)) == len(names):
        return names
    return [str(path) for path in shortest_distinct_paths([subject.path for subject in subjects])]


def _columns(figure: Figure) -> int:
    """The number of panels side by side; four are drawn as a square."""
    count = len(figure.panels)
    return 2 if count == 4 else min(count, 3)


def _capitalised(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _no_figure(subject: PlotSubject, reason: str, help_: str = "") -> SpecError:
    """The error for a subject that has no figure of the requested kind."""
    message = f"this figure cannot be drawn: {reason}"
    return SpecError.of("bad-option", message, file=str(subject.path), help=help_)
