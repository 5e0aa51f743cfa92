"""The table of networks in docs/systems.md: parameter counts and presets are those of the specs.

Parameters are also counted by hand, from the text of the papers.
"""

import re
from pathlib import Path

import pytest

import odenet
from odenet.model.reading.presets import preset, presets
from odenet.model.typed.network_size import network_size

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "systems.md").read_text("utf-8")
# Of each row the name of a spec, the name of a preset or "", and the number of parameters.
ROWS = re.findall(r"^\| .*\| `(\w+)` \| (?:`@([\w-]+)`)? ?\| ([\d,]+) \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("spec", "preset_name", "count"), ROWS)
def test_a_row_has_the_parameters_of_its_network(spec, preset_name, count):
    path = ROOT / "specs" / f"{spec}.ode"
    program = odenet.load(path, set=preset(path, preset_name) if preset_name else {})
    assert network_size(program.model).parameters == int(count.replace(",", ""))


# parameters of layers and steps, by hand, from `old` to `new` channels


def convolution(size, old, new):
    return size**2 * old * new


def residual_block(old, new):
    """bn-relu-conv-bn-relu-conv."""
    return 2 * old + convolution(3, old, new) + 2 * new + convolution(3, new, new)


def revnet_step(old, new):
    """A step of two states: f goes from the old to the new width, g works at the new one."""
    return residual_block(old, new) + residual_block(new, new)


def operator_step(count):
    """A step of `count` kernels and biases; the first step of a unit has the old width."""
    return lambda old, new: count * (convolution(3, old, old) + old)


def three_units(n, widths, step, parts=1):
    """A network of Chang et al. 2018, from its first convolution to its classifier.

    It has three units of `n` steps, each with its width, and `parts` states share the channels.
    `step(old, new)` counts the parameters of a step between two widths of a state.
    """
    states = [width // parts for width in widths]
    norm, classifier = 2 * widths[-1], 10 * widths[-1] + 10
    total = convolution(3, 3, widths[0]) + norm + classifier
    for old, new in zip([states[0], *states], states, strict=False):
        total += step(old, new) + (n - 1) * step(new, new)
    return total


def resnet101():
    """He et al. 2016, Table 1, 101 layers, with a first convolution of 3 x 3 and ten classes."""
    norm, classifier = 2 * 64, 2048 * 10 + 10
    total, old = convolution(3, 3, 64) + norm + classifier, 64
    for width, blocks in [(64, 3), (128, 4), (256, 23), (512, 3)]:
        total += 4 * width * (old + 2)  # the projection and its norm
        for _ in range(blocks):
            kernels, norms = width * (old + 9 * width + 4 * width), 2 * (2 * width + 4 * width)
            total += kernels + norms
            old = 4 * width
    return total


def counted_by_hand(spec, n, w):
    """The parameters of a row, from the text of the papers."""
    if spec in ("resnet", "wide_resnet", "momentum"):
        return three_units(n, [w, 2 * w, 4 * w], residual_block)
    if spec == "revnet":
        return three_units(n, [32, 64, w], revnet_step, parts=2)
    if spec.startswith("hamiltonian"):
        return three_units(n, [32, 64, w], operator_step(1 if "one" in spec else 2), parts=2)
    if spec in ("midpoint", "leapfrog", "dissipative"):
        return three_units(n, [32, 64, w], operator_step(1))
    if spec == "resnet101":
        return resnet101()
    # neural ODEs: three convolutions, a block of two norms and two convolutions, norm, classifier
    block = 2 * (2 * w + convolution(3, w, w))
    return convolution(3, 3, w) + 2 * convolution(3, w, w) + block + 2 * w + (10 * w + 10)


@pytest.mark.parametrize(("spec", "preset_name", "count"), ROWS)
def test_a_row_has_as_many_parameters_as_are_counted_by_hand(spec, preset_name, count):
    path = ROOT / "specs" / f"{spec}.ode"
    sizes = dict(re.findall(r"^let (n|w) = (\d+)$", path.read_text("utf-8"), re.MULTILINE))
    sizes |= preset(path, preset_name) if preset_name else {}
    n, w = (int(sizes.get(size, 0)) for size in "nw")
    assert counted_by_hand(spec, n, w) == int(count.replace(",", ""))


@pytest.mark.parametrize("spec", ["revnet", "hamiltonian", "midpoint", "leapfrog"])
def test_every_preset_of_a_reversible_network_has_a_row(spec):
    known = set(presets(ROOT / "specs" / f"{spec}.ode"))
    assert {name for row, name, _ in ROWS if row == spec} == known
