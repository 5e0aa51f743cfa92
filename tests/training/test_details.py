"""What `odenet eval` finds beside means, against scikit-learn and by hand."""

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Grey pictures of three classes, which brightness tells apart, and a damaged one."""
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 12), ("test", 9)):
        for level, name in enumerate(("dark", "grey", "light")):
            place = root / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = RNG.integers(0, 120, (8, 8)) + 60 * level
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    (root / "test" / "dark" / "1.png").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def pictures(folder, tmp_path_factory):
    spec = specs.write(
        tmp_path_factory.mktemp("work"),
        "input(1, 8, 8) -> conv(3, 4) -> flow(2) -> mean -> dense(3)",
        f'data = folder("{folder}")',
    )
    return specs.train(spec).folder


def test_classes_are_counted_as_scikit_learn_counts_them(pictures, folder):
    run = odenet.load_run(pictures)
    files = sorted(p for p in (folder / "test").glob("*/*.png") if p.stat().st_size > 7)
    truth = [path.parent.name for path in files]
    said = run.predict(files).labels
    found = odenet.evaluate(pictures)
    assert found["confusion"] == confusion_matrix(truth, said, labels=run.classes).tolist()
    scores = precision_recall_fscore_support(truth, said, labels=run.classes, zero_division=np.nan)
    expected = np.nan_to_num(np.stack(scores[:3], 1), nan=-1)
    rows = found["per_class"].values()
    ours = [
        [-1 if row[k] is None else row[k] for k in ("precision", "recall", "f1")] for row in rows
    ]
    np.testing.assert_allclose(ours, expected)
    assert [row["support"] for row in rows] == scores[3].tolist() == [8, 9, 9]


def test_the_worst_samples_name_their_files(pictures, folder):
    run, found = odenet.load_run(pictures), odenet.evaluate(pictures)
    assert [one["loss"] for one in found["worst"]] == sorted(
        (one["loss"] for one in found["worst"]), reverse=True
    )
    for one in found["worst"]:
        values = run.predict([one["file"]]).values[0].double()
        place = run.classes.index(one["label"])
        assert f"/test/{one['label']}/" in one["file"]
        assert one["loss"] == pytest.approx(-values[place].log().item(), abs=1e-4)
        assert one["said"] == run.classes[int(values.argmax())]


@pytest.mark.parametrize("in_memory", [True, False])
def test_places_and_files_agree_beside_a_damaged_picture(
    pictures, in_memory, monkeypatch, tmp_path
):
    if not in_memory:
        monkeypatch.setattr(
            "odenet.training.data.picture_folder.decoded_if_small", lambda split, _: (split, ())
        )
    found = odenet.evaluate(pictures, out=tmp_path / "out")
    assert len(found["damaged"]) == 1 and sum(map(sum, found["confusion"])) == 26
    assert all(f"/{one['label']}/" in one["file"] for one in found["worst"])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "confusion.csv", "confusion.png", "per_class.csv", "worst.csv", "worst.png"
    }  # fmt: skip
    text = (tmp_path / "out" / "confusion.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [[int(row[name]) for name in found["per_class"]] for row in rows] == found["confusion"]


def test_numbers_have_residuals(tmp_path):
    x = RNG.normal(size=(60, 4)).astype(np.float32)
    y = (x @ [1, 2, 3, 4]).astype(np.float32)[:, None]
    test = torch.from_numpy(x[40:]), torch.from_numpy(y[40:])
    train = torch.from_numpy(x[:40]), torch.from_numpy(y[:40])
    result = specs.train(specs.write(tmp_path, specs.VECTOR_NET.format(1), "loss = huber(2)"),
                         data=(train, test))  # fmt: skip
    found = result.evaluate(data=test)
    said = odenet.load_run(result.folder).predict(test[0]).values[:, 0]
    order = (said - test[1][:, 0]).abs().argsort(descending=True).tolist()
    assert [one["index"] for one in found["worst"]] == order  # 20 of at most 25
    first = found["worst"][0]
    assert first["error"] == pytest.approx(first["said"] - first["label"])
    assert first["label"] == pytest.approx(test[1][order[0], 0].item())
    assert "confusion" not in found and "per_class" not in found
    assert json.loads(json.dumps(found["worst"]))


def test_maps_have_an_iou_for_each_class(tmp_path):
    x = torch.from_numpy(RNG.normal(size=(24, 1, 8, 8)).astype(np.float32))
    y = (x[:, 0] > 0.3).long() + (x[:, 0] > 1).long()
    result = specs.train(
        specs.write(tmp_path, specs.CLASS_MAP_NET.format(3)), data=((x, y), (x, y))
    )
    found = odenet.load_run(result.folder).evaluate(data=(x, y))
    said = odenet.load_run(result.folder).predict(x).values.argmax(1)
    expected = jaccard_score(y.flatten(), said.flatten(), average=None)
    assert [row["iou"] for row in found["per_class"].values()] == pytest.approx(expected.tolist())
    wrong = (said != y).double().mean((1, 2))
    for one in found["worst"]:
        assert one["wrong"] == pytest.approx(wrong[one["index"]].item())


def test_several_classes_are_counted_one_by_one(tmp_path):
    x = torch.from_numpy(RNG.normal(size=(50, 4)).astype(np.float32))
    y = (x[:, :2] > 0).to(torch.uint8)
    result = specs.train(
        specs.write(tmp_path, specs.VECTOR_NET.format(2), "loss = bce"), data=((x, y), (x, y))
    )
    found = result.evaluate(data=(x, y))
    said = odenet.load_run(result.folder).predict(x).values > 0.5
    scores = precision_recall_fscore_support(y, said.int(), zero_division=np.nan)
    for place, row in enumerate(found["per_class"].values()):
        assert row["recall"] == pytest.approx(scores[1][place])
        assert row["support"] == scores[3][place]
    assert all(isinstance(one["said"], list) for one in found["worst"])


@pytest.mark.parametrize("classes", [3, 7, 26, 150])
def test_lines_fit_a_terminal(classes):
    counts = RNG.integers(0, 9000, (classes, classes))
    rows = {f"a class with a long name, no. {i}": dict.fromkeys(("f1", "recall"), i / classes)
            for i in range(classes)}  # fmt: skip
    lines = evaluation_output.details_as_lines({"confusion": counts.tolist(), "per_class": rows})
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("rows:" if classes < 20 else "taken for another")


@pytest.mark.parametrize("text", ["mse", "mae", "huber(0.5)"])
def test_the_mean_of_each_sample_is_the_mean(text, tmp_path):
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(3), f"loss = {text}")
    objective = objective_of(odenet.load(spec).recipe, LabelInfo(0, (3,), (), [1.0] * 3, [2.0] * 3))
    answer, labels = torch.randn(2, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(
        objective.sample_losses(answer, labels).mean(), objective.loss(answer, labels)
    )
