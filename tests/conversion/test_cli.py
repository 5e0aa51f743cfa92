"""`odenet convert`, with random or local weights: nothing is downloaded."""

import pytest
import torch
import typer
from torchvision import models
from typer.testing import CliRunner

from odenet.cli.converting import convert
from odenet.conversion import zoo
from odenet.conversion.zoo import restore
from odenet.runtime import Flow

app = typer.Typer()
app.command()(convert)


def run(*arguments):
    """`odenet convert ARGUMENTS`; its exit code and output."""
    return CliRunner().invoke(app, list(arguments))


def test_the_written_network_is_the_one_that_was_read(tmp_path):
    original = models.resnet18().eval()
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    target = str(tmp_path / "out.pt")
    result = run(
        "resnet18", "--gamma", "0", "--weights", str(tmp_path / "weights.pth"), "-o", target
    )
    assert result.exit_code == 0, result.output
    assert "resnet18: 5 blocks are steps of momentum now, in 4 flows" in result.output
    assert "not reversible: momentum has an inverse only where γ ≠ 0" in result.output
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(restore(target).eval()(x), original(x), rtol=1e-4, atol=1e-5)


def test_the_output_says_whether_a_network_is_reversible():
    result = run("resnet18", "--weights", "none")
    assert result.exit_code == 0, result.output
    assert "reversible: flows rebuild their activations" in result.output
    assert "layer2.flows.0, layer3.flows.0, layer4.flows.0: one step holds two" in result.output


def test_a_network_converted_with_exact_arithmetic_is_restored_with_it(tmp_path):
    target = str(tmp_path / "out.pt")
    result = run("resnet18", "--weights", "none", "--gamma", "0.5", "--exact", "-o", target)
    assert result.exit_code == 0, result.output
    flows = [module for module in restore(target).modules() if isinstance(module, Flow)]
    assert flows and all(flow.exact for flow in flows)


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_network_too_deep_for_its_gamma_is_warned_of():
    result = run("resnet101", "--weights", "none", "--gamma", "0.5")
    assert result.exit_code == 0, result.output
    assert "warning: 22 steps are undone too coarsely" in result.output
    assert "exact=True" in result.output


def test_weights_that_cannot_be_downloaded_are_reported(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", fail)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    result = run("resnet18")
    assert result.exit_code == 1
    assert "torchvision's weights of resnet18 cannot be loaded: no route to host" in result.output
    assert "--weights none" in result.output
    # By default torchvision downloads weights of the backbone even if those of the model are none.
    result = run("fcn_resnet50", "--weights", "none")
    assert result.exit_code == 0 and "12 blocks are steps" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet19", "--weights", "none"], "a model `resnet19`; did you mean resnet18"),
        (["alexnet", "--weights", "none"], "AlexNet has no residual blocks"),
        (["vit_tiny_patch16_224.none", "--weights", "none"], "timm cannot make"),
        (["resnet18", "--weights", "none", "--scheme", "verlet"], "verlet takes no blocks"),
        (["resnet18", "--weights", "none", "--h", "0.1"], "momentum has no constant h"),
        (["resnet18", "--weights", "nowhere.pth"], "nowhere.pth does not hold weights"),
    ],
)
def test_mistakes_are_reported_without_a_traceback(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_weights_are_found_in_checkpoints_of_several_layouts(tmp_path):
    state, file = {"a.b": torch.arange(3.0), "c": torch.ones(())}, tmp_path / "weights.pth"
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for stored in (state, {"state_dict": state, "epoch": 3}, {"model": wrapped, "args": None}):
        torch.save(stored, file)
        weights = zoo.stored_weights("net", file)
        assert list(weights) == list(state)
        assert all(torch.equal(weights[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([1, 2], "it holds no state_dict"),
        ({"state_dict": 3}, "it holds no state_dict"),
        (torch.nn.Linear(1, 1), "such as a whole model: write torch.save"),
        (b"PK damaged", "it cannot be read: damaged"),  # begins like the zip file that torch writes
        (b"", "it cannot be read: damaged"),
    ],
)
def test_files_without_weights_are_refused_with_the_reason(stored, message, tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(stored) if isinstance(stored, bytes) else torch.save(stored, file)
    with pytest.raises(zoo.ZooError, match=message):
        zoo.stored_weights("net", file)


def test_the_first_weight_that_does_not_fit_is_named(tmp_path):
    weights = models.resnet18(num_classes=10).state_dict()
    for changes, message in [
        ({"fc.bias": None}, "it has no fc.bias"),
        ({"head": torch.ones(1)}, "it has head, which this network does not have"),
        ({"fc.weight": torch.ones(7, 512)}, r"its fc.weight is \(7, 512\) and not \(10, 512\)"),
    ]:
        changed = {n: t for n, t in (weights | changes).items() if t is not None}
        torch.save(changed, tmp_path / "weights.pth")
        with pytest.raises(zoo.ZooError, match=message):
            zoo.build("resnet18", tmp_path / "weights.pth", 10)
