"""Every loss, on data in files: its metrics against numpy and scikit-learn, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn import metrics

import odenet
from odenet.diagnostics import SpecError
from odenet.model.tables.losses import LOSSES
from odenet.model.tables.recipe import LOSS, Recipe
from odenet.training.data.samples import LabelInfo
from odenet.training.learning.losses import objective_of
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result, show_result
from odenet.training.trained_runs.exporting import export_run
from odenet.training.trained_runs.studies import study_run

from . import specs
from .test_commands import run_command

RNG = np.random.default_rng(0)
# Channels of different size and mean, which training has to standardise.
POINTS = RNG.normal(size=(100, 4)) * [1, 10, 100, 1] + [0, 0, 1e4, 0]


def save_arrays(folder, **arrays):
    """Save arrays as x.npz; gives the line of a recipe that reads them."""
    np.savez(folder / "x.npz", **arrays)
    return 'data = arrays("x.npz")'


@pytest.fixture
def regression_run(tmp_path):
    """The result of a run that predicts numbers near 200,000, and the x and y of its test split."""
    y = 2e5 + 5e4 * POINTS[:, 0] + 1e3 * POINTS[:, 1]
    data = save_arrays(tmp_path, x=POINTS[:80], y=y[:80], x_test=POINTS[80:], y_test=y[80:])
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(1), data, "loss = mse", epochs=20)
    return specs.train(spec), torch.from_numpy(POINTS[80:]).float(), y[80:]


def test_a_regression_is_measured_in_the_unit_of_the_labels(regression_run):
    result, x, y = regression_run
    predicted = odenet.load_run(result.folder).predict(x).values[:, 0].double().numpy()
    assert result.measure == "rmse" and result.accuracy is None and result.best <= result.last
    scores = odenet.evaluate(result.folder)
    assert scores["loss"] == pytest.approx(np.mean((predicted - y) ** 2), rel=1e-4)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - y) ** 2)), rel=1e-4)
    assert scores["r2"] == pytest.approx(metrics.r2_score(y, predicted), rel=1e-4)
    assert result.metrics["r2"] > 0.8
    assert result.test_loss == pytest.approx(result.last**2, rel=1e-4)


def test_the_best_epoch_of_a_regression_is_that_of_the_smallest_error(regression_run):
    result, _, _ = regression_run
    rows = RunFolder(Path(result.folder)).rows()
    errors = [row["test_rmse"] for row in rows]
    assert result.best == min(errors) and result.best_epoch == errors.index(min(errors)) + 1
    assert odenet.evaluate(result.folder)["rmse"] == pytest.approx(result.best, rel=1e-5)


def test_a_regression_is_shown_compared_studied_and_exported(regression_run, tmp_path):
    result, x, _ = regression_run
    console = Console(record=True, width=120)
    show_result(result, console)
    output = console.export_text()
    assert "test RMSE" in output and "R² 0." in output and "accuracy" not in output
    assert "RMSE" in run_command("compare", result.folder, "-o", tmp_path / "both.png")
    assert "RMSE" in run_command("eval", result.folder)
    study = study_run(result.folder)
    assert study.measure.name == "rmse" and study.value > 0
    run = odenet.load_run(result.folder)
    export = export_run(run, tmp_path / "numbers.pt2")
    module = torch.export.load(export.path).module()
    torch.testing.assert_close(module(x), run.predict(x).values)
    with pytest.raises(SpecError, match="gives numbers, not classes"):
        run.predict(x).top()
    with pytest.raises(SpecError, match=r"takes .4., not pictures"):
        run.predict(["x.png"])
    run.predict(x).write_csv(tmp_path / "numbers.csv", range(20))
    assert len((tmp_path / "numbers.csv").read_text().splitlines()) == 1 + 20  # with a heading


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mae", lambda e: np.abs(e).mean()),
        (
            "huber(delta = 0.5)",
            lambda e: np.where(abs(e) < 0.5, e**2 / 2, 0.5 * (abs(e) - 0.25)).mean(),
        ),
    ],
)
def test_other_losses_of_a_regression_are_given_by_their_formulas(tmp_path, loss, expected):
    y = POINTS[:, [0, 3]] * [1, 5]
    data = save_arrays(tmp_path, x=POINTS, y=y, x_test=POINTS[:20], y_test=y[:20])
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(2), data, f"loss = {loss}")
    result = specs.train(spec)
    run = odenet.load_run(result.folder, weights="last")
    error = run.predict(torch.from_numpy(POINTS[:20]).float()).values.double().numpy() - y[:20]
    assert result.test_loss == pytest.approx(expected(error), rel=1e-4)


def test_classes_of_which_a_sample_may_have_several_are_measured_by_f1_and_average_precision(
    tmp_path,
):
    y = (POINTS[:, [0, 1, 3]] > 0).astype(int)
    data = save_arrays(tmp_path, x=POINTS, y=y, x_test=POINTS, y_test=y)
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(3), data, "loss = bce", epochs=8)
    result = specs.train(spec)
    predictions = odenet.load_run(result.folder, weights="last").predict(
        torch.from_numpy(POINTS).float()
    )
    probabilities = predictions.probabilities.double().numpy()
    f1 = metrics.f1_score(y, probabilities > 0.5, average="macro")
    precision = metrics.average_precision_score(y, probabilities, average="macro")
    assert result.metrics["f1"] == pytest.approx(f1, abs=1e-5)
    assert result.metrics["average_precision"] == pytest.approx(precision, abs=0.02)
    assert result.test_loss == pytest.approx(
        metrics.log_loss(y.ravel(), probabilities.ravel()), rel=1e-4
    )
    assert predictions.labels[0] == [
        name for name, probability in zip("012", probabilities[0], strict=True) if probability > 0.5
    ]


def test_class_maps_are_measured_by_mean_iou(tmp_path):
    x = RNG.normal(size=(40, 1, 8, 8))
    y = (x[:, 0] > 0.5).astype(np.uint8)
    data = save_arrays(tmp_path, x=x, y=y, x_test=x, y_test=y)
    spec = specs.write(tmp_path, specs.CLASS_MAP_NET.format(2), data, "augment = [flip]", epochs=6)
    result = specs.train(spec)
    predictions = odenet.load_run(result.folder, weights="last").predict(
        torch.from_numpy(x).float()
    )
    expected = metrics.jaccard_score(y.ravel(), predictions.labels.numpy().ravel(), average="macro")
    assert result.measure == "mean_iou" and result.last == pytest.approx(expected, abs=1e-5)
    assert result.metrics["accuracy"] > 0.7 and result.accuracy is None
    assert all("%" in line for line in predictions.in_words())


def test_balanced_weights_are_those_of_scikit_learn(tmp_path):
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0] * 6 + [1] * 3 + [2])
    recipe = Recipe(loss=LOSS.default("cross_entropy", weights="balanced"))
    objective = objective_of(recipe, LabelInfo(3, (), np.bincount(y).tolist()))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    torch.testing.assert_close(objective.class_weights.double(), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("net", "shape"), [(specs.SERIES_NET, (40, 2, 12)), (specs.VOLUME_NET, (40, 1, 4, 4, 4))]
)
def test_networks_for_series_and_volumes_train(tmp_path, net, shape):
    # Volumes of bytes, and series of floats.
    x = RNG.integers(0, 256, shape).astype(np.uint8 if len(shape) == 5 else np.float32)
    data = save_arrays(tmp_path, x=x, y=np.arange(40) % 2)
    result = specs.train(specs.write(tmp_path, net.format(2), data))
    assert 0 <= result.accuracy <= 1 and result.epochs == 2


def test_the_label_of_a_series_may_be_a_series(tmp_path):
    x = RNG.normal(size=(60, 2, 12))
    net = "input(2, 12) -> conv(3, 6) -> flow(2) -> conv(1, 2)"
    spec = specs.write(tmp_path, net, save_arrays(tmp_path, x=x, y=np.roll(x, 1, 2)), "loss = mse")
    assert specs.train(spec).metrics["r2"] < 1


def test_a_table_has_a_sample_in_each_row_and_numbers_or_words_as_labels(tmp_path):
    rows = [["a", "b", "c", "d", "note", "price"]]
    rows += [[*row, f"n{i}", 1000 * row[0]] for i, row in enumerate(POINTS.tolist())]
    (tmp_path / "x.csv").write_text("\n".join(";".join(map(str, row)) for row in rows))
    columns = 'table("x.csv", target = "price", without = ["note"])'
    spec = specs.write(
        tmp_path, specs.VECTOR_NET.format(1), f"data = {columns}", "loss = mae", epochs=20
    )
    assert specs.train(spec).metrics["r2"] > 0.5
    word_spec = specs.write(
        tmp_path,
        specs.VECTOR_NET.format(4),
        'data = table("x.csv", target = "note", without = ["price"])',
    )
    header, *samples = rows
    rows = [header, *([*row[:4], "ab"[i % 2], row[5]] for i, row in enumerate(samples))]
    (tmp_path / "x.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    assert specs.train(word_spec, out=tmp_path / "words").accuracy is not None
    assert RunFolder(tmp_path / "words").read_record().classes == ("a", "b")


# Arrays, width of the last layer, lines of the recipe, and the message.
REFUSED_DATA = {
    "which loss": ({"y": POINTS[:, 0]}, 1, (), "labels of .* are numbers: which loss"),
    "width": ({"y": POINTS[:, 0]}, 2, ("loss = mse",), r"takes \(1\) .* gives \(2\)"),
    "one class": ({"y": np.arange(100) % 2}, 1, (), "out of range for a network of 1 class"),
    "range": ({"y": np.arange(100) % 12}, 10, (), "from 0 to 11: .* a network of 10 classes"),
    "negative": ({"y": np.arange(100) % 3 - 1}, 3, (), "go from -1 to 1"),
    "not 0 or 1": ({"y": np.full((100, 2), 2)}, 2, ("loss = bce",), "is neither 0 nor 1"),
    "nan": ({"x": np.where(POINTS > 1e4, np.nan, POINTS), "y": POINTS[:, 0]}, 1, ("loss = mse",),
            r"x of .* has \d+ values that are NaN or infinite, the first at \[\d+, 2\]"),
    "lengths": ({"y": np.zeros(99)}, 1, ("loss = mse",), "has 100 samples, and y 99 labels"),
    "no y": ({"Y": np.zeros(100)}, 1, ("loss = mse",), "has no array `y`; it has .*Y"),
    "half a test": ({"y": np.zeros(100), "x_test": POINTS}, 1, ("loss = mse",), "no array `y_test`"),
    "shape": ({"x": POINTS[:, :3], "y": POINTS[:, 0]}, 1, ("loss = mse",), r"takes \(4\), .* \(3\)"),
    "smoothing": ({"y": POINTS[:, 0]}, 1, ("loss = mse", "label_smoothing = 0.1"), "is for classes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_DATA)
def test_arrays_that_cannot_be_used_are_refused_before_training(tmp_path, case):
    arrays, width, recipe, message = REFUSED_DATA[case]
    data = save_arrays(tmp_path, **({"x": POINTS} | arrays))
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(width), data, *recipe)
    with pytest.raises(SpecError, match=message):
        specs.train(spec)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,b,c,d,prise\n1,2,3,4,5\n", "no column `price`\n.*did you mean `prise`"),
        ("a,b,c,d,price\n1,2,,4,5\n1,2,3,4,6\n", "column `c` of .* 1 cell .* in line 2: empty"),
        ("a,b,c,d,price\n1,2,nan,4,5\n1,2,inf,4,6\n", "`c` of .* 2 cells .* NaN or infinite"),
        ("a,b,c,d,price\n1,2,3,4\n", "line 2 of .* has 4 cells, and it has 5 columns"),
        ("a,b,c,d,price\n", "no rows below"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, rows, message):
    (tmp_path / "x.csv").write_text(rows)
    data = 'data = table("x.csv", target = "price")'
    with pytest.raises(SpecError, match=message):
        specs.train(specs.write(tmp_path, specs.VECTOR_NET.format(1), data, "loss = mse"))


def test_one_score_is_too_few_for_the_cross_entropy_of_two_classes(tmp_path):
    picture_net = specs.CLASS_MAP_NET.replace("conv(1, {})", "mean -> dense({})")
    for data, net in (("digits", picture_net), ("moons(100)", specs.VECTOR_NET)):
        spec = specs.write(tmp_path, net.format(1), f"data = {data}")
        spec.write_text(spec.read_text().replace("input(4)", "input(2)"))
        with pytest.raises(SpecError, match=r"a score for each of \d+ classes, .* gives \(1\)"):
            specs.train(spec)


def test_one_score_is_enough_for_the_bce_of_two_classes(tmp_path):
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(1), "data = moons(100)", "loss = bce")
    spec.write_text(spec.read_text().replace("input(4)", "input(2)"))
    assert specs.train(spec).measure == "f1"


def test_every_loss_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    for row in LOSSES.values():
        assert f"| `{row.name}" in text, row.name


@pytest.mark.usefixtures("regression_run")
def test_a_resumed_regression_ends_as_the_uninterrupted_one(tmp_path):
    spec = tmp_path / "spec.ode"  # which the fixture has written, with its data
    short = odenet.train(spec, out=tmp_path / "short", epochs=2, set={"schedule": "constant"},
                         console=Console(quiet=True))  # fmt: skip
    resumed = odenet.resume(short.folder, epochs=4, console=Console(quiet=True))
    uninterrupted = odenet.train(spec, out=tmp_path / "uninterrupted", epochs=4, set={"schedule": "constant"},
                         console=Console(quiet=True))  # fmt: skip
    assert resumed.last == uninterrupted.last and resumed.test_loss == uninterrupted.test_loss
    with pytest.raises(SpecError, match="begun with loss = mse"):
        odenet.resume(short.folder, set={"loss": "mae"}, epochs=5, console=Console(quiet=True))
    record = json.loads((tmp_path / "short" / "run.json").read_text())
    assert record["loss"] == "mse" and record["classes"] == []


@pytest.mark.parametrize(("pictures", "message"), [(True, "odenet predict"), (False, "load_run(")])
def test_the_next_command_suits_a_network_for_pictures_or_for_other_inputs(pictures, message):
    result = Result(
        folder="runs/a", watched="test", accuracy=0.5, best_accuracy=0.5, best_epoch=1,
        test_accuracy=0.5, epochs=1, parameters=1, seconds=1.0, samples_per_second=1.0,
        pictures=pictures,
    )  # fmt: skip
    console = Console(record=True, width=100)
    show_result(result, console)
    assert message in console.export_text()


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_average_precision_is_that_of_sklearn_for_probabilities_near_0_and_1(shift):
    rng = np.random.default_rng(1)
    is_class = rng.random((400, 2)) < 0.2
    scores = rng.normal(size=(400, 2)) + 1.5 * is_class + shift
    objective = objective_of(Recipe(loss=LOSS.default("bce")), LabelInfo(2, (2,)))
    metric = objective.metrics()["average_precision"]
    output, labels = torch.from_numpy(scores).float(), torch.from_numpy(is_class).byte()
    for start in range(0, 400, 100):
        batch = slice(start, start + 100)
        metric.update(*objective.metric_inputs(output[batch], labels[batch]))
    exact = metrics.average_precision_score(is_class, scores, average="macro")
    assert metric.compute().item() == pytest.approx(exact, abs=0.01)
