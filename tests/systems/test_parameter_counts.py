"""Parameter counts of the networks that presets name (`resnet-32`), against those in the papers."""

from pathlib import Path

import pytest

import odenet
from odenet.diagnostics import SpecError
from odenet.model.reading.presets import preset, presets

SPECS = Path(__file__).parents[2] / "specs"

# Chang et al. 2018 (ICLR), Table 5, on CIFAR-10; the count of the Wide ResNet follows from it.
EXACT_COUNTS = {
    "resnet-14": 172_506,
    "resnet-32": 464_154,
    "resnet-50": 755_802,
    "resnet-122": 1_922_394,
    "wide-resnet-14": 685_994,
}

# preset -> millions of parameters on CIFAR-10, and the relative tolerance. From Chang et al. 2018
# (AAAI), Table 1, which leaves norms, biases and the first blocks of units unstated; ResNets from
# He et al. 2016, Table 6.
ROUNDED_COUNTS = {
    "hamiltonian-74": (0.43, 0.03),
    "hamiltonian-218": (1.68, 0.03),
    "hamiltonian-1202": (9.70, 0.03),
    "revnet-38": (0.46, 0.03),
    "revnet-110": (1.73, 0.03),
    "midpoint-26": (0.50, 0.08),
    "midpoint-62": (1.78, 0.08),
    "leapfrog-26": (0.50, 0.08),
    "leapfrog-62": (1.78, 0.08),
    "resnet-20": (0.27, 0.03),
    "resnet-44": (0.66, 0.03),
    "resnet-56": (0.85, 0.03),
    "resnet-110": (1.73, 0.03),
    "resnet-1202": (19.4, 0.03),
}


def spec_path(name):
    return SPECS / f"{name.rpartition('-')[0].replace('-', '_')}.ode"


def parameter_count(name):
    spec = spec_path(name)
    network = odenet.load(spec, set=preset(spec, name)).network()
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("name", "expected"), EXACT_COUNTS.items())
def test_resnets_have_exactly_the_parameters_of_the_paper(name, expected):
    assert parameter_count(name) == expected


@pytest.mark.parametrize(("name", "expected"), ROUNDED_COUNTS.items())
def test_networks_have_the_size_of_the_paper(name, expected):
    millions, tolerance = expected
    assert parameter_count(name) == pytest.approx(millions * 1e6, rel=tolerance)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(SpecError) as caught:
        preset(SPECS / "hamiltonian.ode", "hamiltonian-128")
    assert "there is no preset @hamiltonian-128 of hamiltonian.ode" in str(caught.value)
    assert "@hamiltonian-74, @hamiltonian-218, @hamiltonian-1202" in str(caught.value)
    with pytest.raises(SpecError, match="digits has none in"):
        preset(SPECS / "digits.ode", "digits-1")


def test_damaged_presets_are_named(tmp_path):
    (tmp_path / "presets.toml").write_text("[net]\nbig = 3\n")
    with pytest.raises(SpecError, match="`big` is not a preset"):
        presets(tmp_path / "net.ode")
    (tmp_path / "presets.toml").write_text("[net\n")
    with pytest.raises(SpecError, match="presets cannot be read"):
        presets(tmp_path / "net.ode")
