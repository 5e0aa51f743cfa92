"""Fixtures of all tests of training: one thread, and a spec that compiles to a stub."""

import pytest
import torch

import odenet

from . import stub_program


@pytest.fixture(autouse=True)
def single_thread():
    """Run torch on one thread: more threads do not speed up small tensors, and slow a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stub_spec(monkeypatch, tmp_path):
    """The path of a spec that `odenet.load` turns into the stub, in an empty working directory."""
    monkeypatch.setitem(vars(odenet), "load", stub_program.load)
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "stub.ode"
    spec.write_text(stub_program.SPEC)
    return spec
