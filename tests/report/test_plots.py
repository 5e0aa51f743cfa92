"""`odenet plot` and the figures of pages and runs: what is drawn, and where the words are."""

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
    """`odenet plot ARGUMENTS`; its output. Errors about the user's input come out as SpecError."""
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
    assert 4e-6 / (high - low) * 1000 < 1  # a pixel of a thousand
    assert legend_labels(axes) == [
        "Y' = λ Y does not grow: Re λ ≤ 0",
        "rounding: |Re λ| ≤ 0.0007",
        "step 0",
    ]
    assert largest_real_part(noisy) == "0 within rounding"
    assert largest_real_part([0.1 + 2j, 1j]) == "0.1" and largest_real_part([-1.0, -2.0]) == "-1"


def test_equations_of_second_order_allow_a_half_line_and_mixed_ones_nothing(axes):
    draw_spectrum(axes, {"step 0": [-1, -2]}, order=2)
    draw_spectrum(axes, {"step 1": [-1, -2]}, order=0)
    assert legend_labels(axes) == ["Y'' = λ Y does not grow: real λ ≤ 0", "step 0", "step 1"]


def test_an_energy_is_drawn_from_its_first_value_which_is_named(axes):
    flow = SimpleNamespace(state_norms=[1, 1], change_norms=[1, 1], energies=[20.0, 20.1, 20.2])
    draw_energy(axes, {"a": flow})
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [0, 0.005, 0.01])
    assert legend_labels(axes) == ["E(0) = 20, then +1.00%"]
    assert axes.get_ylim() == (-0.05, 0.05)  # a change of 1 % does not fill the axes


def test_energies_that_begin_at_zero_are_drawn_as_they_are(axes):
    flow = SimpleNamespace(state_norms=[1], change_norms=[1], energies=[0.0, 3.0])
    draw_energy(axes, {"a": flow})
    assert list(axes.lines[1].get_ydata()) == [0, 3]


def test_a_run_of_one_epoch_is_seen_and_epochs_are_whole_numbers(tmp_path, monkeypatch):
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
def test_each_figure_of_a_page_is_a_picture_of_its_own(spec, kind):
    assert plot(kind, "small.ode") == f"wrote small-{kind}.png\n"
    picture = spec.with_name(f"small-{kind}.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    # a picture by odenet may be written again
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


def test_what_has_no_such_figure_says_why(spec):
    for arguments, message in (
        (("curves", "small.ode"), "curves are those of a run"),
        (("norms", "rk4"), "rk4 is a scheme, which has no weights"),
        (("stability", "rk5"), "no such file"),
        (("norms", "small.ode", "-o", "a.odt"), "pictures of this ending cannot be written"),
    ):
        with pytest.raises(SpecError, match=message):
            plot(*arguments)


@pytest.mark.parametrize("panels", [1, 2, 3, 4])
def test_no_words_of_a_picture_are_over_others(tmp_path, monkeypatch, panels):
    figures, run_folders = [], ("a/one", "b/one")
    monkeypatch.setattr(plots, "save_figure", lambda figure, *_, **__: figures.append(figure))

    def draw(axes):
        for number in range(4):
            axes.plot([0, 1], [0, 100], label=f"layer {number}: ‖hF‖")
        axes.set(title="of a panel", xlabel="below", ylabel="beside", aspect=0.01)

    figure = Figure(
        [Panel(str(n), "", draw, 3.6, 1 + n % 2) for n in range(panels)], "Words. " * 60
    )
    monkeypatch.setattr(plots, "KINDS", {"any": (lambda _: figure, "of all kinds")})
    sources = [plots.PlotSubject("one", None, tmp_path / folder) for folder in run_folders]
    plots.draw_plot("any", sources, tmp_path / "a.png")
    (canvas,) = figures
    canvas.draw_without_rendering()
    page_box = canvas.bbox
    texts = [*canvas.texts]
    for axes in canvas.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, axes.get_legend()]
    boxes = [text.get_window_extent() for text in texts]
    assert [text.get_text() for text in canvas.texts][::2] == [
        f"{folder}: of all kinds" for folder in run_folders
    ]
    for number, box in enumerate(boxes):
        assert page_box.x0 <= box.x0 and box.x1 <= page_box.x1 and page_box.y0 <= box.y0
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
