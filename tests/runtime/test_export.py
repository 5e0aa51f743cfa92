"""Exported programs and ONNX files compute what the network computes in evaluation mode."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import odenet

SPECS = Path(__file__).parents[2] / "specs"
NETWORKS = {  # spec -> settings: fewer steps n and a smaller width w of the last stage, for speed
    "hamiltonian": {"n": 2, "w": 64},
    "momentum": {"n": 2},
    "leapfrog": {"n": 2, "w": 64},
    "digits": {},
}


def build_trained_network(name):
    """A network after a training pass, in which its batch norms have moved; and an input for it.

    It is in evaluation mode.
    """
    torch.manual_seed(0)
    program = odenet.load(SPECS / f"{name}.ode", set=NETWORKS[name])
    network, u = program.network(), torch.randn(3, *program.input_shape)
    network(u).square().sum().backward()
    return network.eval(), u


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_program_computes_what_the_network_does(name):
    network, u = build_trained_network(name)
    exported = torch.export.export(network, (u,))
    torch.testing.assert_close(exported.module()(u), network(u), rtol=1e-5, atol=1e-5)


def test_an_exported_program_takes_any_batch():
    network, u = build_trained_network("digits")
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(network, (u,), dynamic_shapes=({0: batch},))
    v = torch.randn(5, *u.shape[1:])
    torch.testing.assert_close(exported.module()(v), network(v), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["digits", "momentum"])
def test_onnxruntime_computes_what_the_network_does(name, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra export")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    network, u = build_trained_network(name)
    path = tmp_path / f"{name}.onnx"
    with warnings.catch_warnings():  # the exporter warns about its own internals
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (u,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    (actual,) = session.run(None, {session.get_inputs()[0].name: u.numpy()})
    torch.testing.assert_close(torch.from_numpy(actual), network(u).detach(), rtol=1e-5, atol=1e-5)
