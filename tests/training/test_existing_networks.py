"""Networks of torchvision and timm in place of a spec's `net`: trained, resumed and exported."""

import re

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from rich.console import Console
from torchvision import models

import odenet
from odenet.analyse.scheme_on_dynamics import estimate_round_trip, flow_depth
from odenet.cli.converted_spec import converted_program
from odenet.cli.header import announce_step
from odenet.cli.memory_options import predict_footprint
from odenet.conversion.zoo import build
from odenet.diagnostics import SpecError
from odenet.footprint.largest_batch import largest_training_batch
from odenet.plugins import load_plugin
from odenet.runtime.learned.constants import RampedConstant
from odenet.training import Options, TrainingError, export_run
from odenet.training.runs.preparation import prepare_training
from tests.language.spec_texts import ROOT

SMALL_SETTINGS = {"size": 32, "schedule": "constant", "batch": 6, "epochs": 1}

# A spec that describes its network itself.
OWN_NET_SPEC = """
state x
param K : conv(3)
x' = -K^T tanh(K x)
discretise heun(h = 0.1)
net = input(1, 8, 8) -> flow(1) -> mean -> dense(10)
train {
    data = digits
}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of training and test pictures of two classes, dark and light."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split in ("train", "test"):
        for name, brightness in (("dark", 120), ("light", 255)):
            (folder / split / name).mkdir(parents=True)
            for i in range(6):
                pixels = rng.integers(brightness, size=(40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A resnet18 with random weights, and the path of the file that holds them."""
    torch.manual_seed(5)
    model, file = models.resnet18(), tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(model.state_dict(), file)
    return model.eval(), str(file)


def resnet18_program(pictures, scheme="momentum", **settings):
    """The program that `odenet train resnet18 --convert …` trains."""
    return converted_program(
        "resnet18", scheme, {**SMALL_SETTINGS, "data": f'folder("{pictures}")', **settings}
    )


def test_a_converted_network_begins_as_the_original_with_a_new_head(pictures, original, capsys):
    model, file = original
    program = resnet18_program(pictures, **{"γ": "ramp(0, 0.9, epochs = 1)"})
    task, _ = prepare_training(program, Options(weights=file), Console())
    assert "new, for another number of classes: fc.weight, fc.bias" in capsys.readouterr().out
    converted, x = task.network[0].model, torch.randn(2, 3, 32, 32)
    converted.fc = model.fc
    assert torch.equal(converted.eval()(x), model(x))


def test_a_run_is_resumed_bit_for_bit_and_then_measured_used_and_exported(
    pictures, original, tmp_path
):
    quiet, options = Console(quiet=True), Options(weights=original[1])
    settings = {**SMALL_SETTINGS, "data": f'folder("{pictures}")'}
    settings["γ"] = "ramp(0.2, 0.9, epochs = 1)"
    longer = {**settings, "epochs": 2}
    long_program = converted_program("resnet18", "momentum", longer)
    uninterrupted = odenet.train(long_program, longer, options, tmp_path / "uninterrupted", quiet)
    short_program = converted_program("resnet18", "momentum", settings)
    odenet.train(short_program, settings, options, tmp_path / "parts", quiet)
    resumed = odenet.resume(tmp_path / "parts", epochs=2, console=quiet)
    states = [odenet.load_run(run.folder).network.state_dict() for run in (uninterrupted, resumed)]
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    run = odenet.load_run(uninterrupted.folder)
    assert run.classes == ("dark", "light")
    constants = [m for m in run.network.modules() if isinstance(m, RampedConstant)]
    assert len(constants) == 4  # one in each stage of the network
    last_scores = odenet.evaluate(uninterrupted.folder, weights="last")
    assert last_scores["accuracy"] == uninterrupted.accuracy
    with pytest.raises(TrainingError, match="was trained with gamma = ramp"):
        odenet.evaluate(uninterrupted.folder, {"γ": 0.2})
    assert len(run.predict([pictures / "test" / "dark" / "0.png"]).labels) == 1
    assert export_run(run, tmp_path / "network.pt2").relative_difference <= 1e-4


def test_the_largest_batch_for_a_memory_in_bytes_is_predicted(pictures):
    program = odenet.loads(OWN_NET_SPEC)
    small_batch, large_batch = (
        largest_training_batch(program, Options(), memory, "cpu") for memory in (10**6, 2 * 10**6)
    )
    assert 2 <= small_batch < large_batch
    # The weights of resnet18 alone take more.
    assert largest_training_batch(resnet18_program(pictures), Options(), 10**6, "cpu") is None


def test_weights_of_another_network_are_refused(pictures, tmp_path):
    torch.save(models.mobilenet_v2().state_dict(), tmp_path / "other.pth")
    options = Options(weights=str(tmp_path / "other.pth"))
    with pytest.raises(TrainingError, match="does not hold weights of resnet18"):
        prepare_training(resnet18_program(pictures), options, Console(quiet=True))


def test_trained_weights_are_refused_for_a_network_that_the_spec_describes_itself():
    program, options = odenet.loads(OWN_NET_SPEC), Options(weights="default")
    with pytest.raises(TrainingError, match="this spec has none"):
        prepare_training(program, options, Console(quiet=True))


@pytest.mark.parametrize(
    ("name", "scheme", "message"),
    [
        ("resnet19", "momentum", "a model `resnet19`; did you mean resnet18"),
        ("alexnet", "momentum", "AlexNet has no residual blocks"),
        ("resnet18", "verlet", "verlet"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(pictures, name, scheme, message):
    settings = {**SMALL_SETTINGS, "data": f'folder("{pictures}")'}
    with pytest.raises((TrainingError, SpecError), match=message):
        prepare_training(converted_program(name, scheme, settings), Options(), Console(quiet=True))


def test_a_start_line_in_the_spec_is_refused():
    text = (
        "state x\nmap f = given\nx' = f(x)\ndiscretise momentum(γ = 0.9) start v[0] = f(x[0])\n"
        'net = input(3, 32, 32) -> existing("resnet18", 10)\n'
    )
    with pytest.raises(SpecError, match="start as their scheme says"):
        odenet.loads(text).network()


DAMPED_SCHEME = """
scheme damped(a) {
    for Y' = F(Y)
    start Y[-1] = Y[0]
    Y[n+1] = (1 - a) Y[n] + a Y[n-1] + h F(Y[n])
}
"""


def test_a_scheme_of_ones_own_is_taken_from_a_file_or_a_text(tmp_path):
    file = tmp_path / "mine.ode"
    file.write_text(
        f"{DAMPED_SCHEME}state x\nmap f = given\nx' = f(x)\ndiscretise damped(a=0.5,h=0.25)\n"
    )
    discretisation = converted_program("resnet18", str(file), {}).model.discretisation
    assert discretisation.scheme.name == "damped"
    assert (discretisation.constants, discretisation.h) == ({"a": 0.5}, 0.25)
    with pytest.raises(typer.BadParameter, match="damped needs a value for a"):
        converted_program("resnet18", DAMPED_SCHEME, {})
    with pytest.raises(SpecError, match="no such file"):
        converted_program("resnet18", "nowhere.ode", {})


def test_a_network_of_ones_own_is_trained_by_the_name_it_has_in_timm(pictures, tmp_path, capsys):
    pytest.importorskip("timm")
    page_text = (ROOT / "docs" / "conversion.md").read_text(encoding="utf-8")
    file = tmp_path / "mine.py"
    file.write_text(re.search(r"```python\n(# mine\.py\n.*?)```", page_text, re.DOTALL)[1])
    settings = {**SMALL_SETTINGS, "data": f'folder("{pictures}")'}
    with load_plugin(file):
        program = converted_program("mine", "momentum", settings)
        announce_step(program, Options())
        # Counted by hand: the stem, eight blocks, and the head.
        parameter_count = 16 * 48 + 16 + 8 * (32 + 16 * 144 + 16) + 1000 * 17
        statistics = 8 * (32 * 4 + 8)  # of eight batch norms, in bytes
        weights_size = (4 * parameter_count + statistics) / 2**10
        assert f"  mine: {weights_size:.1f} KiB of weights" in capsys.readouterr().out
        run = odenet.train(program, settings, Options(), tmp_path / "run", Console(quiet=True))
        assert odenet.load_run(run.folder).classes == ("dark", "light")


def test_the_memory_of_networks_whose_constructors_read_tensor_values_is_predicted():
    pytest.importorskip("timm")
    # `test_vit` is a small network of timm.
    program = converted_program("test_vit", "momentum", {"size": 160, "batch": 2})
    weights = sum(p.nbytes for p in build("test_vit", None, 1000).parameters())
    footprint = predict_footprint(program, "reversible", "cpu", in_backward=False)
    assert footprint.peak > 2 * weights  # weights and gradients


def test_pictures_of_a_size_that_the_network_does_not_take_are_refused():
    pytest.importorskip("timm")
    program = converted_program("test_vit", "momentum", {"size": 24, "batch": 2})
    with pytest.raises(TrainingError, match=r"a batch of 2 inputs \(3, 24, 24\) is not possible"):
        predict_footprint(program, "reversible", "cpu", in_backward=False)


def test_a_number_of_steps_that_only_the_library_knows_is_called_an_example():
    program = converted_program("resnet50", "momentum", {})
    estimate = estimate_round_trip(program.model, program.derivation, flow_depth(program.model))
    message = "100 steps (an example: the network decides how many) are undone"
    assert str(estimate).startswith(message)
