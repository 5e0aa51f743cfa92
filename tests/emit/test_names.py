"""Names that a user gives never change the network, even those of Python, torch or odenet itself."""

import itertools

import pytest
import torch
from torch import nn

import odenet
from odenet.emit.names import RESERVED, Names, class_name
from odenet.runtime import Flow
from odenet.runtime.adaptive import AdaptiveFlow
from odenet.runtime.unit import Coarsened, Entry, Unit

TEMPLATE = """
state {Y}, {Z}
param {K} : conv(3)
param {b} : bias
map   {f} = bn -> tanh -> conv(3)
let   {g} = 0.25
{Y}' =  {K}^T tanh({K} {Z} + {b}) - {g} {f}({Z})
{Z}' = -{K}^T tanh({K} {Y} + {b})
discretise verlet(h = 0.3)
net = input(3, 4, 4) -> conv(3, 4) -> flow(2) -> mean -> dense(2)
"""
ORDINARY_NAMES = {"Y": "Y", "Z": "Z", "K": "K", "b": "b", "f": "f", "g": "g"}
HOSTILE_NAMES = (
    "h self torch lambda x F dt T n nn step steps channels forward training c1 conv relu_ "
    "State Flow super rate_Y retreat shears None True class index count memory spec init σ γ1 ε ω "
    "functional Tensor bias weight v j energy field None_ stage_1"
).split()


def network(names):
    """The network of TEMPLATE, whose fields get these names; the weights are always the same."""
    torch.manual_seed(0)
    return odenet.loads(TEMPLATE.format(**names)).network()


def test_reserved_names_cover_every_attribute_of_a_flow():
    flow = Flow(channels=2, steps=1)
    assert {name for name in dir(flow) if not name.startswith("_")} <= RESERVED
    assert {name for name in dir(nn.Module()) if not name.startswith("_")} <= RESERVED


@pytest.mark.parametrize("base", [AdaptiveFlow, Coarsened, Entry, Flow, Unit])
def test_reserved_names_cover_every_method_of_what_generated_classes_inherit(base):
    assert {name for name in dir(base) if not name.startswith("_")} <= RESERVED


@pytest.mark.parametrize(
    ("role", "name"), list(zip(itertools.cycle(ORDINARY_NAMES), HOSTILE_NAMES, strict=False))
)
def test_renaming_leaves_the_network_the_same(role, name):
    image = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    ordinary, renamed = network(ORDINARY_NAMES), network(ORDINARY_NAMES | {role: name})
    assert torch.equal(ordinary(image), renamed(image))
    ordinary_weights, renamed_weights = ordinary.state_dict(), renamed.state_dict()
    assert [v.shape for v in ordinary_weights.values()] == [
        v.shape for v in renamed_weights.values()
    ]


def test_all_names_may_be_hostile_at_once():
    image = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = network(ORDINARY_NAMES)(image)
    for names in zip(*[iter(HOSTILE_NAMES)] * len(ORDINARY_NAMES), strict=False):  # six at a time
        assert torch.equal(network(dict(zip(ORDINARY_NAMES, names, strict=True)))(image), expected)


def test_two_namespaces_never_share_a_python_name():
    names = Names()
    assert names("spec", "v") != names("scheme", "v")
    assert names("spec", "v") == names("spec", "v")
    assert names("spec", "lambda") == "lambda_"


@pytest.mark.parametrize(
    ("stem", "expected"),
    [("hamiltonian_one_layer", "HamiltonianOneLayer"), ("3d-net", "Model3dNet"), ("ß", "Model")],
)
def test_class_names_are_identifiers(stem, expected):
    assert class_name(stem) == expected
