"""`odenet plot` and the figures of pages and runs: what is drawn, and that no texts overlap.

The fixture `run` of conftest.py is the folder of a run.
"""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from odenet.cli import plotting
from odenet.cli.output import require_replaceable
from odenet.diagnostics import SpecError
from odenet.report import plots
from odenet.report.figures import Figure, Panel
from odenet.training.runs.results import draw_curves
from odenet.training.trained_runs.depth_figures import draw_energy, draw_spectrum, largest_real_part

from .conftest import SPEC

SMALL_SPEC = SPEC.replace("1, 8, 8", "1, 4, 4").replace(
    "conv(3, 4) -> flow(3)", "conv(3, 2) -> flow(2)"
)
APP = typer.Typer()
APP.command()(plotting.plot)


def plot(*arguments):
    """Run `odenet plot ARGUMENTS` and return its output; its SpecError is raised here."""
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    if isinstance(result.exception, SpecError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.ode").write_text(SMALL_SPEC)
    return tmp_path / "small.ode"


def legend_labels(axes):
    return [text.get_text() for text in axes.legend().get_texts()]


def test_rounding_does_not_look_like_eigenvalues_to_the_right_of_the_axis(axes):
    noisy = [4e-6 + 2j, -4e-6 - 2j, 3e-6 + 1j]
    draw_spectrum(axes, {"step 0": noisy}, order=1)
    low, high = axes.get_xlim()
    assert axes.get_aspect() == 1 and axes.get_xlim() == axes.get_ylim() and high == -low > 2
    assert 4e-6 / (high - low) * 1000 < 1  # less than a pixel if the axis has 1000
    assert legend_labels(axes) == [
        "Y' = λ Y does not grow: Re λ ≤ 0",
        "rounding: |Re λ| ≤ 0.0007",  # the largest |λ| times the root of the float32 epsilon
        "step 0",
    ]
    assert largest_real_part(noisy) == "0 within rounding"
    assert largest_real_part([0.1 + 2j, 1j]) == "0.1" and largest_real_part([-1.0, -2.0]) == "-1"


def test_the_legend_says_where_solutions_do_not_grow_unless_the_orders_are_mixed(axes):
    draw_spectrum(axes, {"step 0": [-1, -2]}, order=2)
    draw_spectrum(axes, {"step 1": [-1, -2]}, order=0)  # of several orders
    assert legend_labels(axes) == ["Y'' = λ Y does not grow: real λ ≤ 0", "step 0", "step 1"]


def test_an_energy_is_drawn_relative_to_its_first_value_which_the_legend_states(axes):
    flow = SimpleNamespace(state_norms=[1, 1], change_norms=[1, 1], energies=[20.0, 20.1, 20.2])
    draw_energy(axes, {"a": flow})
    _zero_line, curve = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), [0, 0.005, 0.01])
    assert legend_labels(axes) == ["E(0) = 20, then +1.00%"]
    assert axes.get_ylim() == (-0.05, 0.05)  # a change of 1 % does not fill the axes


def test_changes_of_an_energy_that_begins_at_zero_are_absolute(axes):
    flow = SimpleNamespace(state_norms=[1], change_norms=[1], energies=[0.0, 3.0])
    draw_energy(axes, {"a": flow})
    _zero_line, curve = axes.lines
    assert list(curve.get_ydata()) == [0, 3]


def test_curves_of_a_single_epoch_have_markers_and_epochs_are_whole_numbers(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        "odenet.training.runs.results.save_figure", lambda figure, path, dpi: figures.append(figure)
    )
    draw_curves({"a": [{"epoch": 0, "train_loss": 1.0, "test_loss": 2.0}]}, tmp_path / "a.png")
    (panel,) = figures[0].axes
    assert [line.get_marker() for line in panel.lines] == ["o", "o"]
    assert all(tick == int(tick) for tick in panel.get_xticks())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spectrum", "stability", "energy", "norms"])
def test_each_figure_of_a_page_can_be_plotted_by_itself(spec, kind):
    assert plot(kind, "small.ode") == f"wrote small-{kind}.png\n"
    picture = spec.with_name(f"small-{kind}.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    # A picture that odenet wrote may be replaced.
    require_replaceable(picture, is_named=False, mark=plotting.PNG_MARK)
    picture.write_text("mine")
    with pytest.raises(SpecError, match="not written by odenet"):
        require_replaceable(picture, is_named=False, mark=plotting.PNG_MARK)


@pytest.mark.slow
def test_runs_and_schemes_have_figures_too(run, spec):
    plot("curves", run, "-o", "curves.svg")
    plot("curves", run, run, "-o", "both.pdf")
    plot("spectrum", run, "small.ode", "-o", "spectra.svg")
    plot("stability", "rk4", "leapfrog", "-o", "regions.svg")
    assert "<svg" in (spec.parent / "regions.svg").read_text()


def test_figures_that_a_source_does_not_have_are_refused_with_the_reason(spec):
    for arguments, message in (
        (("curves", "small.ode"), "curves are those of a run"),
        (("norms", "rk4"), "rk4 is a scheme, which has no weights"),
        (("stability", "rk5"), "no such file"),
        (("norms", "small.ode", "-o", "a.odt"), "pictures of this ending cannot be written"),
    ):
        with pytest.raises(SpecError, match=message):
            plot(*arguments)


@pytest.mark.parametrize("panel_count", [1, 2, 3, 4])
def test_no_texts_of_a_picture_overlap(tmp_path, monkeypatch, panel_count):
    figures, run_folders = [], ("a/one", "b/one")
    monkeypatch.setattr(plots, "save_figure", lambda figure, *_, **__: figures.append(figure))

    def draw(axes):
        for number in range(4):
            axes.plot([0, 1], [0, 100], label=f"layer {number}: ‖hF‖")
        axes.set(title="of a panel", xlabel="below", ylabel="beside", aspect=0.01)

    panels = [
        Panel(str(n), "", draw, height=3.6, legend_columns=1 + n % 2) for n in range(panel_count)
    ]
    figure = Figure(panels, caption="Words. " * 60)
    monkeypatch.setattr(plots, "KINDS", {"any": (lambda _: figure, "of all kinds")})
    subjects = [plots.PlotSubject("one", None, run=tmp_path / folder) for folder in run_folders]
    plots.draw_plot("any", subjects, tmp_path / "a.png")
    (canvas,) = figures
    canvas.draw_without_rendering()
    page_box = canvas.bbox
    texts = [*canvas.texts]
    for axes in canvas.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, axes.get_legend()]
    boxes = [text.get_window_extent() for text in texts]
    titles_and_captions = [text.get_text() for text in canvas.texts]
    assert titles_and_captions[::2] == [f"{folder}: of all kinds" for folder in run_folders]
    for number, box in enumerate(boxes):
        assert page_box.x0 <= box.x0 and box.x1 <= page_box.x1 and page_box.y0 <= box.y0
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
