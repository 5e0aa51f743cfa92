import pytest
import torch

import odenet

from . import stub_program


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from more, and busy machines lose much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stub_spec(monkeypatch, tmp_path):
    """A spec whose program is the stub, in an empty working directory."""
    monkeypatch.setitem(vars(odenet), "load", stub_program.load)
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "stub.ode"
    spec.write_text(stub_program.SPEC)
    return spec
