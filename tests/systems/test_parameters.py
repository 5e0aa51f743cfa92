"""The sizes of the papers' networks."""

from pathlib import Path

import pytest

import odenet

SPECS = Path(__file__).parents[2] / "specs"

# Chang et al. 2018 (ICLR), Table 5, on CIFAR-10.
EXACT = [(2, 172_506), (5, 464_154), (8, 755_802), (20, 1_922_394)]

# Chang et al. 2018 (AAAI), Table 1, on CIFAR-10, in millions, and by how much we may be off: the
# paper leaves norms, biases and the first blocks of units unstated.
TABLE_1 = [
    ("hamiltonian", {}, 0.43, 0.03),
    ("hamiltonian", {"n": 18, "w": 128}, 1.68, 0.03),
    ("hamiltonian", {"n": 100, "w": 128}, 9.70, 0.03),
    ("revnet", {}, 0.46, 0.03),
    ("revnet", {"n": 9, "w": 128}, 1.73, 0.03),
    ("midpoint", {}, 0.50, 0.08),
    ("midpoint", {"n": 10, "w": 128}, 1.78, 0.08),
    ("leapfrog", {}, 0.50, 0.08),
    ("leapfrog", {"n": 10, "w": 128}, 1.78, 0.08),
    ("resnet", {"n": 18}, 1.73, 0.03),
]


def count(name, **settings):
    network = odenet.load(SPECS / f"{name}.ode", set=settings).network()
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("n", "expected"), EXACT)
def test_resnets_have_exactly_the_parameters_of_the_paper(n, expected):
    assert count("resnet", n=n) == expected


@pytest.mark.parametrize(("name", "settings", "millions", "tolerance"), TABLE_1)
def test_reversible_networks_have_the_size_of_the_paper(name, settings, millions, tolerance):
    assert count(name, **settings) == pytest.approx(millions * 1e6, rel=tolerance)
