"""What `odenet eval` reports besides means: confusion, scores of classes and worst samples.

The expected values are those of scikit-learn, or computed by hand.
"""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score, precision_recall_fscore_support

import odenet
from odenet.training.data.samples import LabelInfo
from odenet.training.learning.losses import objective_of
from odenet.training.runs import evaluation_output

from . import specs

RNG = np.random.default_rng(0)
DAMAGED = b"not a picture"


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory):
    """A folder of grey pictures in three classes of different brightness, one of them damaged."""
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 12), ("test", 9)):
        for brightness, name in enumerate(("dark", "grey", "light")):
            class_folder = root / split / name
            class_folder.mkdir(parents=True)
            for i in range(count):
                pixels = RNG.integers(0, 120, (8, 8)) + 60 * brightness
                Image.fromarray(pixels.astype(np.uint8)).save(class_folder / f"{i}.png")
    (root / "test" / "dark" / "1.png").write_bytes(DAMAGED)
    return root


@pytest.fixture(scope="module")
def run_folder(picture_folder, tmp_path_factory):
    """The folder of a run on these pictures."""
    spec = specs.write(
        tmp_path_factory.mktemp("work"),
        "input(1, 8, 8) -> conv(3, 4) -> flow(2) -> mean -> dense(3)",
        f'data = folder("{picture_folder}")',
    )
    return specs.train(spec).folder


def test_classes_are_counted_as_scikit_learn_counts_them(run_folder, picture_folder):
    run = odenet.load_run(run_folder)
    pictures = (picture_folder / "test").glob("*/*.png")
    files = sorted(path for path in pictures if path.read_bytes() != DAMAGED)
    truth = [path.parent.name for path in files]
    predicted = run.predict(files).labels
    report = odenet.evaluate(run_folder)
    assert report["confusion"] == confusion_matrix(truth, predicted, labels=run.classes).tolist()
    sklearn_scores = precision_recall_fscore_support(
        truth, predicted, labels=run.classes, zero_division=np.nan
    )
    expected = np.nan_to_num(np.stack(sklearn_scores[:3], 1), nan=-1)  # -1: not defined
    rows = report["per_class"].values()
    actual = [
        [-1 if row[key] is None else row[key] for key in ("precision", "recall", "f1")]
        for row in rows
    ]
    np.testing.assert_allclose(actual, expected)
    assert [row["support"] for row in rows] == sklearn_scores[3].tolist() == [8, 9, 9]


def test_the_worst_samples_name_their_files(run_folder):
    run, report = odenet.load_run(run_folder), odenet.evaluate(run_folder)
    assert [sample["loss"] for sample in report["worst"]] == sorted(
        (sample["loss"] for sample in report["worst"]), reverse=True
    )
    for sample in report["worst"]:
        probabilities = run.predict([sample["file"]]).values[0].double()
        label = run.classes.index(sample["label"])
        assert f"/test/{sample['label']}/" in sample["file"]
        assert sample["loss"] == pytest.approx(-probabilities[label].log().item(), abs=1e-4)
        assert sample["said"] == run.classes[int(probabilities.argmax())]


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_damaged_picture_does_not_shift_the_file_names_of_the_others(
    run_folder, in_memory, monkeypatch, tmp_path
):
    if not in_memory:
        monkeypatch.setattr(
            "odenet.training.data.picture_folder.decoded_if_small", lambda split, _: (split, ())
        )
    report = odenet.evaluate(run_folder, out=tmp_path / "out")
    assert len(report["damaged"]) == 1 and sum(map(sum, report["confusion"])) == 3 * 9 - 1
    assert all(f"/{sample['label']}/" in sample["file"] for sample in report["worst"])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "confusion.csv", "confusion.png", "per_class.csv", "worst.csv", "worst.png"
    }  # fmt: skip
    text = (tmp_path / "out" / "confusion.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [[int(row[name]) for name in report["per_class"]] for row in rows] == report["confusion"]


def test_the_worst_samples_of_a_regression_have_the_largest_residuals(tmp_path):
    x = RNG.normal(size=(60, 4)).astype(np.float32)
    y = (x @ [1, 2, 3, 4]).astype(np.float32)[:, None]
    test = torch.from_numpy(x[40:]), torch.from_numpy(y[40:])
    train = torch.from_numpy(x[:40]), torch.from_numpy(y[:40])
    result = specs.train(specs.write(tmp_path, specs.VECTOR_NET.format(1), "loss = huber(2)"),
                         data=(train, test))  # fmt: skip
    report = result.evaluate(data=test)
    predicted = odenet.load_run(result.folder).predict(test[0]).values[:, 0]
    order = (predicted - test[1][:, 0]).abs().argsort(descending=True).tolist()
    assert [sample["index"] for sample in report["worst"]] == order  # all 20: up to 25 are listed
    worst = report["worst"][0]
    assert worst["error"] == pytest.approx(worst["said"] - worst["label"])
    assert worst["label"] == pytest.approx(test[1][order[0], 0].item())
    assert "confusion" not in report and "per_class" not in report
    assert json.loads(json.dumps(report["worst"]))


def test_class_maps_have_an_iou_for_each_class(tmp_path):
    x = torch.from_numpy(RNG.normal(size=(24, 1, 8, 8)).astype(np.float32))
    y = (x[:, 0] > 0.3).long() + (x[:, 0] > 1).long()
    result = specs.train(
        specs.write(tmp_path, specs.CLASS_MAP_NET.format(3)), data=((x, y), (x, y))
    )
    report = odenet.load_run(result.folder).evaluate(data=(x, y))
    predicted = odenet.load_run(result.folder).predict(x).values.argmax(1)
    expected = jaccard_score(y.flatten(), predicted.flatten(), average=None)
    assert [row["iou"] for row in report["per_class"].values()] == pytest.approx(expected.tolist())
    wrong_shares = (predicted != y).double().mean((1, 2))
    for sample in report["worst"]:
        assert sample["wrong"] == pytest.approx(wrong_shares[sample["index"]].item())


def test_classes_of_which_a_sample_may_have_several_are_scored_one_by_one(tmp_path):
    x = torch.from_numpy(RNG.normal(size=(50, 4)).astype(np.float32))
    y = (x[:, :2] > 0).to(torch.uint8)
    result = specs.train(
        specs.write(tmp_path, specs.VECTOR_NET.format(2), "loss = bce"), data=((x, y), (x, y))
    )
    report = result.evaluate(data=(x, y))
    predicted = odenet.load_run(result.folder).predict(x).values > 0.5
    sklearn_scores = precision_recall_fscore_support(y, predicted.int(), zero_division=np.nan)
    for column, row in enumerate(report["per_class"].values()):
        assert row["recall"] == pytest.approx(sklearn_scores[1][column])
        assert row["support"] == sklearn_scores[3][column]
    assert all(isinstance(sample["said"], list) for sample in report["worst"])


@pytest.mark.parametrize("classes", [3, 7, 26, 150])
def test_lines_fit_a_terminal(classes):
    counts = RNG.integers(0, 9000, (classes, classes))
    rows = {f"a class with a long name, no. {i}": dict.fromkeys(("f1", "recall"), i / classes)
            for i in range(classes)}  # fmt: skip
    lines = evaluation_output.details_as_lines({"confusion": counts.tolist(), "per_class": rows})
    assert max(map(len, lines)) <= 80
    few = classes < 20  # the whole matrix is printed, otherwise the most frequent confusions
    assert lines[0].startswith("rows:" if few else "taken for another")


@pytest.mark.parametrize("loss", ["mse", "mae", "huber(0.5)"])
def test_the_losses_of_the_samples_have_the_loss_as_their_mean(loss, tmp_path):
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(3), f"loss = {loss}")
    objective = objective_of(
        odenet.load(spec).recipe, LabelInfo(shape=(3,), mean=[1.0] * 3, deviation=[2.0] * 3)
    )
    output, labels = torch.randn(2, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(
        objective.sample_losses(output, labels).mean(), objective.loss(output, labels)
    )
