"""Densities: `loss = likelihood`, samples drawn from runs, and the dequantisation of pixels."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import odenet
from odenet.cli import app
from odenet.diagnostics import SpecError
from odenet.training.data.data_sets import load_data
from odenet.training.data.samples import LabelInfo
from odenet.training.errors import TrainingError
from odenet.training.learning.likelihood import Likelihood
from odenet.training.runs.build_task import new_task

POINTS_SPEC = """state Y, Z
param P, Q : dense(in = 16, init = zeros)
param A, B : dense(out = 16)
map s = dense(16) -> tanh -> dense(c) -> tanh
Y' = P tanh(A Z)
Z' = Q tanh(B Y)
scheme affine {
    for Y' = F(Z), Z' = G(Y)
    Y[n+1] = exp(s(Z[n])) * Y[n] + h F(Z[n])
    Z[n+1] = exp(s(Y[n+1])) * Z[n] + h G(Y[n+1])
}
discretise affine(h = 1)
net = input(2) -> flow(3)
train { data = moons(400)
        loss = likelihood
        epochs = 3
        batch = 64
        optimizer = adam(lr = 1e-2) }
"""

PICTURES_SPEC = """state Y, Z
param K, L : conv(3, init = 0.01)
Y' = K tanh(Z)
Z' = L tanh(Y)
discretise verlet(h = 1)
net = input(1, 8, 8) -> squeeze(2) -> flow(1)
train { data = digits
        loss = likelihood
        epochs = 1
        fraction = 0.2 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The result of a short training of a density of points."""
    folder = tmp_path_factory.mktemp("density")
    (folder / "points.ode").write_text(POINTS_SPEC, encoding="utf-8")
    return odenet.train(folder / "points.ode", out=folder / "run")


def mean_negative_log_likelihood(network, x):
    """The loss that training has to give: in float64, with determinants of autograd's Jacobians."""
    losses = []
    for sample in x.double():
        jacobian = torch.autograd.functional.jacobian(lambda v: network(v[None])[0], sample)
        z = network(sample[None])[0]
        log_det = torch.linalg.slogdet(jacobian)[1]
        negative_log_normal = 0.5 * z.square().sum() + len(z) / 2 * math.log(2 * math.pi)
        losses.append((negative_log_normal - log_det).item())
    return sum(losses) / len(losses)


def test_the_loss_is_the_mean_negative_log_likelihood_of_a_sample(run):
    loaded = odenet.load_run(run.folder, weights="last")
    test = load_data(loaded.program.recipe.data, (2,)).test.inputs
    expected = mean_negative_log_likelihood(loaded.network.double(), test)
    assert abs(run.test_loss - expected) < 1e-4
    assert abs(run.metrics["bits_per_dim"] - expected / (2 * math.log(2))) < 1e-4
    assert odenet.evaluate(run.folder, weights="last")["loss"] == pytest.approx(run.test_loss)


def test_gradients_of_the_likelihood_are_those_of_plain_autograd():
    task = new_task(odenet.loads(POINTS_SPEC), LabelInfo(numbers=2), "test").double()
    x = torch.randn(4, 2, dtype=torch.double)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in task.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    network = task.network
    loss = task.objective.training_loss(task.objective.network_output(network, x), torch.zeros(4))
    gradients = torch.autograd.grad(loss, [*network.parameters()])
    network[0].memory = "stored"
    z = network(x)
    jacobians = [torch.autograd.functional.jacobian(lambda v: network(v[None])[0], sample,
                                                    create_graph=True) for sample in x]  # fmt: skip
    log_det = torch.stack([torch.linalg.slogdet(jacobian)[1] for jacobian in jacobians])
    expected_loss = (z.square().sum(1) / 2 + math.log(2 * math.pi) - log_det).mean()
    assert abs(loss - expected_loss) < 1e-12
    for actual, expected in zip(
        gradients, torch.autograd.grad(expected_loss, [*network.parameters()]), strict=True
    ):
        assert torch.allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_a_run_gives_samples_of_its_density(run):
    loaded = odenet.load_run(run.folder)
    x = loaded.sample(300, seed=1)
    assert x.shape == (300, 2) and x.dtype == torch.float32
    assert torch.equal(x, loaded.sample(300, seed=1))
    assert loaded.sample(0).shape == (0, 2)
    z = loaded.network(x)
    assert z.mean(0).abs().max() < 0.2 and (z.std(0) - 1).abs().max() < 0.2
    far = torch.randn(300, 2) * 10
    assert loaded.log_likelihood(x).mean() > loaded.log_likelihood(far).mean()
    with pytest.raises(TrainingError, match="is a density"):
        loaded.predict(x)


def test_the_temperature_is_the_deviation_of_the_latent_samples(run):
    loaded = odenet.load_run(run.folder)
    with torch.no_grad():
        z = loaded.network(loaded.sample(300, seed=1))
        cold = loaded.network(loaded.sample(300, seed=1, temperature=0.3))
    torch.testing.assert_close(cold, 0.3 * z, rtol=1e-3, atol=1e-4)


def test_points_are_printed_or_written_from_the_command_line(run, tmp_path):
    arguments = ["sample", str(run.folder), "--count", "5", "--seed", "1", "--temperature", "0.5"]
    printed = CliRunner().invoke(app, arguments).output
    expected = odenet.load_run(run.folder).sample(5, seed=1, temperature=0.5)
    points = np.array([line.split() for line in printed.splitlines()], float)
    np.testing.assert_allclose(points, expected.numpy(), rtol=1e-5)
    table = tmp_path / "points.csv"
    assert CliRunner().invoke(app, [*arguments, "-o", str(table)]).exit_code == 0
    assert np.array_equal(np.loadtxt(table, delimiter=",", skiprows=1), points)
    as_picture = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "points.png")])
    assert as_picture.exit_code == 1 and not (tmp_path / "points.png").exists()
    with_prompt = CliRunner().invoke(app, [*arguments, "--prompt", "a"])
    assert with_prompt.exit_code == 2 and "this run is a density" in with_prompt.output


def test_pixels_are_dequantised_by_uniform_noise_up_to_the_next_value():
    labels = LabelInfo(numbers=8, grain=(0.5, 0.25))
    objective = Likelihood(odenet.loads(PICTURES_SPEC).recipe, labels)
    noisy = []

    network = torch.nn.Sequential(odenet.runtime.Squeeze(1))
    network[0].register_forward_hook(lambda module, inputs, out: noisy.append(inputs[0]))
    x = torch.zeros(3, 2, 2, 2)
    objective.eval()
    output = objective.network_output(network, x)
    again = objective.network_output(network, x)
    assert torch.equal(output, again)  # measured with the same noise
    channels = noisy[0].flatten(2)
    for channel, width in enumerate(labels.grain):
        values = channels[:, channel]
        assert values.min() >= 0 and values.max() < width
        assert values.std() > width / 8  # of uniform noise it is width / √12
    z = noisy[0].flatten(1)  # 8 numbers of a sample, 4 in each channel
    log_density = -0.5 * z.square().sum(1) - 4 * math.log(2 * math.pi)
    assert torch.allclose(output, log_density + 4 * math.log(0.5) + 4 * math.log(0.25))
    objective.train()
    assert not torch.equal(
        objective.network_output(network, x), objective.network_output(network, x)
    )


def test_pictures_have_bits_per_dimension(tmp_path):
    (tmp_path / "pictures.ode").write_text(PICTURES_SPEC, encoding="utf-8")
    result = odenet.train(tmp_path / "pictures.ode", out=tmp_path / "run")
    assert 0 < result.metrics["bits_per_dim"] < 12
    assert result.test_loss == pytest.approx(result.metrics["bits_per_dim"] * 64 * math.log(2))
    loaded = odenet.load_run(tmp_path / "run")
    pictures = loaded.sample(3, seed=0)
    assert pictures.shape == (3, 1, 8, 8) and pictures.dtype == torch.uint8
    assert loaded.log_likelihood(pictures).shape == (3,)
    command = CliRunner().invoke(app, ["sample", str(tmp_path / "run"), "--count", "3"])
    assert command.output == f"wrote {tmp_path / 'run' / 'samples.png'}\n"
    sheet = np.asarray(Image.open(tmp_path / "run" / "samples.png"))[::8, ::8]  # enlarged 8 times
    assert sheet.shape == (17, 17)  # two rows of two pictures, with a line between
    tiles = sheet[:8, :8], sheet[:8, 9:], sheet[9:, :8], sheet[9:, 9:]
    for tile, picture in zip(tiles, [*pictures[:, 0], torch.full((8, 8), 255)], strict=True):
        assert np.array_equal(tile, picture)


@pytest.mark.parametrize("shape", [(2,), (2, 4, 4)])
def test_arrays_of_numbers_are_taken_as_they_are(tmp_path, shape):
    text = POINTS_SPEC.replace("input(2)", f"input({', '.join(map(str, shape))})")
    if len(shape) == 3:
        text = text.replace("dense(in = 16,", "conv(3, in = 16,").replace(
            "dense(out", "conv(3, out"
        )
        text = text.replace("dense(16)", "conv(3, 16)").replace("dense(c)", "conv(3, c)")
    (tmp_path / "numbers.ode").write_text(text, encoding="utf-8")
    x = 5 + 0.1 * torch.randn(80, *shape, generator=torch.Generator().manual_seed(0))
    data = (x, torch.zeros(80)), (x[:20], torch.zeros(20))
    result = odenet.train(tmp_path / "numbers.ode", out=tmp_path / "run", data=data, epochs=1)
    loaded = odenet.load_run(tmp_path / "run")
    assert torch.equal(loaded.preprocess(x), x)
    assert -loaded.log_likelihood(x[:20]).mean().item() == pytest.approx(result.test_loss, rel=1e-4)
    assert loaded.sample(2, seed=0).dtype == torch.float32


def test_pictures_standardised_one_by_one_are_refused(tmp_path):
    text = PICTURES_SPEC.replace("epochs = 1", "augment = [standardise(image)]\n        epochs = 1")
    (tmp_path / "pictures.ode").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="scaling of the pictures that can be undone"):
        odenet.train(tmp_path / "pictures.ode", out=tmp_path / "run")


def test_a_likelihood_set_from_outside_is_refused_for_steps_that_keep_an_earlier_state(tmp_path):
    with pytest.raises(SpecError, match=r"keeps Y\[n-1\] as well"):
        odenet.loads("state Y\nparam K : dense\nY' = K tanh(Y)\ndiscretise midpoint(h = 0.1)\n"
                     "net = input(2) -> flow(2)\n", set={"loss": "likelihood"})  # fmt: skip


def test_a_density_needs_no_labels(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)) @ [[1.0, 0.4], [0.0, 0.5]]
    np.savez(tmp_path / "x.npz", x=x)
    np.savez(tmp_path / "labelled.npz", x=x, y=np.zeros(60, np.uint8))
    rows = "".join(f"{a!r},{b!r}\n" for a, b in x.tolist())
    (tmp_path / "x.csv").write_text("a,b\n" + rows)
    spec = tmp_path / "points.ode"
    spec.write_text(POINTS_SPEC)
    losses = [
        odenet.train(
            spec,
            data=data,
            set=settings,
            epochs=1,
            out=tmp_path / str(i),
            console=Console(quiet=True),
        ).test_loss
        for i, (data, settings) in enumerate(
            (
                (f"arrays:{tmp_path / 'labelled.npz'}", {}),
                (f"arrays:{tmp_path / 'x.npz'}", {}),
                (None, {"data": {"table": [str(tmp_path / "x.csv"), []]}}),
                (torch.from_numpy(x), {}),
            )
        )
    ]
    assert len({*losses}) == 1
    run_on_tensor = tmp_path / "3"  # the last of the four
    assert odenet.evaluate(run_on_tensor, data=((x,), (x,)))["loss"] > 0
    with pytest.raises(SpecError, match="has no array `y`; it has x"):
        odenet.train(spec, data=f"arrays:{tmp_path / 'x.npz'}", set={"loss": "cross_entropy"})
    with pytest.raises(SpecError, match="data from Python has no labels"):
        odenet.train(spec, data=x, set={"loss": "mse"}, out=tmp_path / "other")
