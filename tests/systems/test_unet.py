"""U-Nets with reversible stages, against the same network in plain torch, in float64."""

import pytest
import torch
import torch.nn.functional as F

import odenet
from odenet.footprint.step import predict
from odenet.training.trained_runs.exporting import export_run
from odenet.training.trained_runs.studies import study_run

SPEC = """\
state Y, Z
param K, L : conv(3)
param b : bias

Y' = K^T tanh(K Z + b)
Z' = -L^T tanh(L Y)

discretise verlet(h = 0.3)

net = input(2, SIZES) -> conv(3, 4)
      -> flow(2) -> keep("fine") -> pool(2) -> conv(1, 6) -> keep("half")
      -> flow(3) -> join("half", add = yes)
      -> upsample(2, mode = MODE) -> join("fine") -> conv(1, 4) -> flow(2) -> join("fine") -> conv(1, 3)
"""
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def handwritten_network(network, u, mode):
    """The same network by plain autograd: every activation is stored."""
    axes = u.ndim - 2
    conv, conv_transpose = CONV[axes], CONV_TRANSPOSE[axes]
    # the layers with weights; of these `fine`, `half` and `last` are the flows
    first, fine, _, _, narrow, _, half, _, _, _, mix, last, _, scores = network

    def stage(flow, u):
        Y, Z = u.chunk(2, 1)
        for K, L, b in zip(flow.K, flow.L, flow.b, strict=True):
            Y = Y + 0.3 * conv_transpose(
                torch.tanh(conv(Z, K, padding=1) + b.view(-1, *[1] * axes)), K, padding=1
            )
            Z = Z - 0.3 * conv_transpose(torch.tanh(conv(Y, L, padding=1)), L, padding=1)
        return torch.cat((Y, Z), 1)

    kept = stage(fine, conv(u, first.weight, padding=1))
    inner = conv(POOL[axes](kept, 2), narrow.weight)
    coarse = stage(half, inner) + inner
    if mode == "nearest":
        for axis in range(2, 2 + axes):
            coarse = coarse.repeat_interleave(2, axis)
    else:
        coarse = F.interpolate(coarse, scale_factor=2, mode=mode, align_corners=False)
    x = stage(last, conv(torch.cat((coarse, kept), 1), mix.weight))
    return conv(torch.cat((x, kept), 1), scores.weight)


@pytest.mark.parametrize(
    ("sizes", "mode"), [((6,), "linear"), ((4, 6), "nearest"), ((4, 4), "bilinear"), ((2, 4, 2), "trilinear")]
)  # fmt: skip
def test_values_and_gradients_are_those_of_plain_torch(sizes, mode):
    torch.manual_seed(0)
    text = SPEC.replace("SIZES", ", ".join(map(str, sizes))).replace("MODE", mode)
    network = odenet.loads(text).network().double()
    u = torch.randn(3, 2, *sizes, dtype=torch.float64, requires_grad=True)
    inputs = [u, *network.parameters()]
    output, expected = network(u), handwritten_network(network, u, mode)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn_like(output)
    pairs = (torch.autograd.grad(y, inputs, cotangent) for y in (output, expected))
    for actual, reference in zip(*pairs, strict=True):
        torch.testing.assert_close(actual, reference, rtol=1e-9, atol=1e-9)


def test_the_prediction_of_memory_counts_what_is_joined():
    """The layer after a join saves the channels of both its inputs; nothing rebuilds them."""
    text = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\ndiscretise euler(h = 1)\n"
    net = text + "net = input(4, 8, 8) -> conv(1, 4) -> KEEP flow(2) -> bn -> JOIN conv(1, 3)"
    bytes_saved = []
    for keep, join in (("", ""), ('keep("a") ->', 'join("a") ->')):
        program = odenet.loads(net.replace("KEEP", keep).replace("JOIN", join))
        footprint = predict(program, 5, "stored", "cpu")
        bytes_saved.append(footprint.chain + footprint.outside)
    feature_map = 5 * 4 * 64 * 4  # batch of 5, 4 channels, 64 points, 4 bytes
    assert bytes_saved[1] - bytes_saved[0] == feature_map  # the layer saves 8 channels instead of 4


def test_the_name_of_a_kept_value_may_be_any_text():
    text = (
        SPEC.replace('"fine"', '"μ \\ in\'t"').replace("SIZES", "4, 4").replace("MODE", "nearest")
    )
    assert odenet.loads(text).network()(torch.randn(1, 2, 4, 4)).shape == (1, 3, 4, 4)


def test_the_shipped_spec_is_trained_refined_studied_used_and_exported(tmp_path):
    size = {"size": 8, "w": 2, "n": 2, "data": "shapes(n = 20)", "batch": 8}
    recipe = {"epochs": 2, "levels": "[1]"}
    result = odenet.train("specs/unet.ode", set=size | recipe, out=tmp_path / "run")
    assert result.measure == "mean_iou"
    run = odenet.load_run(result.folder, weights="last")
    flows = [layer for layer in run.network if hasattr(layer, "steps")]
    assert [flow.steps for flow in flows] == [4] * 5  # n = 2, doubled after the first epoch
    pixels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    values = run.predict(pixels).values
    assert values.shape == (2, 3, 8, 8)
    assert odenet.evaluate(result.folder)["accuracy"] <= 1
    study = study_run(result.folder, samples=2)
    assert [len(flow.metric_without_step) for flow in study.flows] == [4] * 5
    written = export_run(run, tmp_path / "unet.pt2")  # compared with the network before it is kept
    scores = torch.export.load(written.path).module()(pixels)
    torch.testing.assert_close(scores.softmax(1), values, rtol=1e-4, atol=1e-5)
