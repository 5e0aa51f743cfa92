"""A run after training: loaded, used for predictions and exported, without its training data."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import odenet
from odenet.training.errors import TrainingError
from odenet.training.runs import evaluation, run
from odenet.training.trained_runs import exporting
from odenet.training.trained_runs.exporting import export_run

from .test_commands import run_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a short run of `specs/digits.ode`."""
    folder = tmp_path_factory.mktemp("runs") / "digits-1"
    settings = {"epochs": 3, "fraction": 0.3, "n": 2, "batch": 16}
    run.train(ROOT / "specs" / "digits.ode", settings, out=str(folder), console=Console(quiet=True))
    return folder


@pytest.fixture(scope="module")
def loaded_run(run_folder):
    return odenet.load_run(run_folder)


@pytest.fixture(scope="module")
def pixels():
    """The digits as uint8, scaled as the data set does: 0 to 16 becomes 0 to 255."""
    return torch.from_numpy(load_digits().images * (255 / 16)).round().to(torch.uint8)[:, None]


def probabilities_by_hand(loaded_run, pixels, record):
    """The probabilities of classes, with the preprocessing of a run's record written out."""
    mean, deviation = (
        torch.tensor(record[name]).view(1, -1, 1, 1) for name in ("mean", "deviation")
    )
    with torch.no_grad():
        return loaded_run.network((pixels.float() / 255 - mean) / deviation).softmax(1)


def test_predictions_of_a_loaded_run_have_the_accuracy_that_evaluation_measures(
    run_folder, loaded_run
):
    _, data, _ = evaluation.restore(run_folder)
    labels = loaded_run.predict(data.test.inputs).labels
    true_labels = [loaded_run.classes[i] for i in data.test.labels.tolist()]
    accuracy = sum(a == b for a, b in zip(labels, true_labels, strict=True)) / len(true_labels)
    assert accuracy == pytest.approx(evaluation.evaluate(run_folder)["accuracy"])


def test_preprocessing_uses_the_statistics_of_the_training_split(run_folder, loaded_run, pixels):
    record = vars(run.RunFolder(run_folder).read_record())
    probabilities = loaded_run.predict(pixels[:20]).probabilities
    torch.testing.assert_close(
        probabilities, probabilities_by_hand(loaded_run, pixels[:20], record)
    )


def test_pictures_of_any_kind_are_read(loaded_run, pixels, tmp_path):
    image = Image.fromarray(pixels[3, 0].numpy())
    image.save(tmp_path / "grey.png")
    image.convert("RGB").resize((16, 16), Image.Resampling.NEAREST).save(tmp_path / "colour.png")
    predictions = loaded_run.predict([tmp_path / "grey.png", str(tmp_path / "colour.png"), image])
    expected = loaded_run.predict(pixels[3:4]).probabilities
    # The second picture is scaled back to 8 x 8, which may change its pixels a little.
    torch.testing.assert_close(predictions.probabilities[:1], expected)
    torch.testing.assert_close(predictions.probabilities[2:], expected)
    assert predictions.probabilities.shape == (3, 10) and len(predictions.top(3)[0]) == 3
    _likeliest_class, probability = predictions.top(99)[0][0]  # of the first sample
    assert probability == pytest.approx(float(expected.max()))
    assert loaded_run.predict([]).labels == []


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ("one.png", "one picture, not several"),
        (torch.zeros(2, 1, 8, 8), "of torch.uint8, not"),
        (torch.zeros(1, 8, 8, dtype=torch.uint8), "is (B, C, H, W)"),
        (["missing.png"], "missing.png: not a file"),
    ],
)
def test_anything_but_a_batch_of_pictures_is_refused(loaded_run, samples, message):
    with pytest.raises(TrainingError) as error:
        loaded_run.predict(samples)
    assert message in str(error.value)


def test_a_network_for_points_takes_arrays_and_refuses_pictures(tmp_path):
    spec = tmp_path / "points.ode"
    spec.write_text(
        "state x\nparam K : dense\nx' = tanh(K x)\ndiscretise euler(h = 0.5)\n"
        "net = input(2) -> dense(4) -> flow(2) -> dense(2)\n"
        "train {\n data = moons(n = 100)\n epochs = 1\n}\n"
    )
    run.train(spec, out=str(tmp_path / "run"), console=Console(quiet=True))
    loaded_run = odenet.load_run(tmp_path / "run")
    assert len(loaded_run.predict(torch.randn(300, 2)).labels) == 300
    with pytest.raises(TrainingError) as error:
        loaded_run.predict(["a.png"])
    assert "takes (2), not pictures" in str(error.value)
    export = export_run(loaded_run, tmp_path / "points.pt2")
    assert export.input_text == "(batch, 2) float32"


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_an_exported_network_takes_pixels_and_gives_the_scores(
    loaded_run, pixels, tmp_path, suffix
):
    path = tmp_path / f"network.{suffix}"
    if suffix == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    export_run(loaded_run, path)
    if suffix == "onnx":
        session = onnxruntime.InferenceSession(path)
        (scores,) = session.run(["scores"], {"input": pixels[:7].numpy()})
        scores = torch.from_numpy(scores)
    else:
        scores = torch.export.load(path).module()(pixels[:7])
    torch.testing.assert_close(scores.softmax(1), loaded_run.predict(pixels[:7]).probabilities)


def test_exported_weights_are_those_of_the_network(loaded_run, tmp_path):
    export_run(loaded_run, tmp_path / "network.safetensors")
    exported = load_file(tmp_path / "network.safetensors")
    expected = loaded_run.network.state_dict()
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[name], expected[name]) for name in expected)


def test_an_export_that_computes_something_else_is_not_written(loaded_run, tmp_path, monkeypatch):
    def export_wrongly(model, sample):
        return b"", lambda inputs: model(inputs) + 1

    monkeypatch.setitem(exporting._FORMATS, ".pt2", export_wrongly)
    with pytest.raises(TrainingError) as error:
        export_run(loaded_run, tmp_path / "network.pt2")
    assert "nothing was written" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_export_to_an_unknown_format_is_refused_with_the_formats_there_are(loaded_run, tmp_path):
    with pytest.raises(TrainingError) as error:
        export_run(loaded_run, tmp_path / "network.ts")
    assert ".pt2 (torch.export, in place of TorchScript)" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_commands_predict_and_export(run_folder, pixels, tmp_path):
    for name in ("b", "a"):
        Image.fromarray(pixels[0, 0].numpy()).save(tmp_path / f"{name}.png")
    table = tmp_path / "table.csv"
    output = run_command(
        "predict", run_folder, tmp_path, tmp_path / "a.png", "--top", 2, "--csv", table
    )
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:2]] == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
    assert lines[2] == f"wrote {table}"
    header, *rows = csv.reader(table.read_text(encoding="utf-8").splitlines())
    assert header[:3] == ["sample", "class", "0"] and len(rows) == 2
    assert sum(map(float, rows[0][2:])) == pytest.approx(1, abs=1e-4)
    output = run_command("export", run_folder, "-o", tmp_path / "network.pt2")
    assert "(batch, 1, 8, 8) uint8 pixels" in output and "scores of 10 classes" in output


def test_files_that_cannot_be_read_are_named_after_the_others(run_folder, pixels, tmp_path):
    Image.fromarray(pixels[0, 0].numpy()).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("not a picture")
    output = run_command("predict", run_folder, tmp_path, exit_code=1)
    assert "good.png" in output and f"cannot read {tmp_path}/bad.png" in output
