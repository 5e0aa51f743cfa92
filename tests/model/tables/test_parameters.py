"""Every type of `param` and every initialisation can be declared."""

import pytest

from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.arguments import INITIALISATIONS
from odenet.model.tables.parameters import PARAMETER_TYPES
from tests.model.load_models import load_construct, load_model, one_state_spec


@pytest.mark.parametrize("name", PARAMETER_TYPES.forms)
def test_every_type_can_be_declared_and_initialised_by_a_number(name):
    arguments = {"conv": "3, ", "depthwise": "3, ", "norm": "batch, "}.get(name, "")
    right_hand_side = {"bias": "Y + P", "scalar": "P Y", "norm": "P(Y)"}.get(name, "P Y")
    model = load_model(one_state_spec(right_hand_side, f"param P : {name}({arguments}init = 1/4)"))
    assert model.parameters["P"].options["init"] == Call("constant", (), {"value": 0.25})


@pytest.mark.parametrize("rule", INITIALISATIONS.forms)
def test_every_initialisation_can_be_named(rule):
    arguments = "(0.5)" if INITIALISATIONS.forms[rule] else ""
    model = load_model(one_state_spec("P Y", f"param P : conv(3, init = {rule}{arguments})"))
    assert model.parameters["P"].options["init"].name == rule


def test_norms_have_a_kind_groups_and_a_range_of_scales():
    parameters = load_construct("norms_and_maps").parameters
    kinds = [(p.options["kind"], p.options["group"], p.options["positive"]) for p in parameters.values()
             if p.is_module]  # fmt: skip
    assert kinds == [
        ("batch", 0, "free"), ("group", 4, "free"), ("layer", 0, "positive"),
        ("batch", 0, "positive"),
    ]  # fmt: skip
