"""A small program, its page and a short run of it, shared by the tests of reports."""

import pytest
import torch
from rich.console import Console

import odenet
from odenet.report.measured import measure_untrained
from odenet.report.page import build_page, page_html

SPEC = """
"A small network with everything that a page shows."
state Y, Z
param K1, K2 : conv(3)
param b1, b2 : bias
let σ = tanh
Y' = K1^T σ(K1 Z + b1)
Z' = -K2^T σ(K2 Y + b2)
discretise verlet(h = 1/8)
require reversible
require imaginary
net = input(1, 8, 8) -> conv(3, 4) -> flow(3) -> mean -> dense(10)
train {
    data      = digits
    batch     = 16
    epochs    = 2
    fraction  = 0.1
    optimizer = sgd(lr = 0.05)
}
"""


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Run torch on one thread: more do not speed up small tensors, and slow a busy machine."""
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)


@pytest.fixture(scope="session")
def program():
    return odenet.loads(SPEC, name="small.ode")


@pytest.fixture(scope="session")
def page(program):
    """The page of the program with untrained weights, before it is written as HTML."""
    return build_page(program, measure_untrained(program))


@pytest.fixture(scope="session")
def html(page):
    """That page in HTML."""
    return page_html(page)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a short run of the program."""
    folder = tmp_path_factory.mktemp("runs")
    spec = folder / "small.ode"
    spec.write_text(SPEC)
    odenet.train(spec, out=str(folder / "small-1"), console=Console(quiet=True))
    return folder / "small-1"
