"""Every construct of the language, from its text to the typed program."""

from fractions import Fraction

import pytest

import odenet
from odenet.compiler import load
from odenet.diagnostics import SpecError
from odenet.model.elaboration.elaborate import MAX_DEPTH
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import STATE_WIDTH, fixed_width
from odenet.model.tables.argument_kinds import Call
from tests.language.spec_texts import CONSTRUCTS, ROOT, SPECS
from tests.model.load_models import error_messages, load_construct, load_model, one_state_spec

TWO_STATES = """
state Y, Z
param K : conv(3)
Y' = K Z
Z' = -K^T Y
"""


@pytest.mark.parametrize("path", [*CONSTRUCTS, *SPECS], ids=lambda path: path.stem)
def test_every_example_loads(path):
    load(path)


def test_the_sample_of_the_reference_is_read_whole():
    model = load_construct("sample")
    assert model.description.startswith("Two-layer Hamiltonian network")
    assert model.dynamics.states == {"Y": 1, "Z": 1}
    assert [p.type for p in model.parameters.values()] == ["conv", "conv", "bias", "bias"]
    assert model.discretisation.groups == {"Y": (State("Y"),), "Z": (State("Z"),)}
    assert model.discretisation.h == Fraction(1, 10)
    assert [claim.name for claim in model.claims] == ["reversible", "imaginary"]
    assert [layer.arguments["N"] for layer in model.net if layer.name == "flow"] == [7, 6, 5]
    assert str(model.net[-1].shape_out) == "(10)"
    assert model.recipe.optimizer == Call("sgd", (), {
        "lr": 0.1, "momentum": 0.9, "decay": 2e-4, "nesterov": "no", "decay_on": "weights",
    })  # fmt: skip
    assert (model.recipe.batch, model.recipe.smooth) == (100, 2e-4)


def test_a_map_is_a_pipeline_that_keeps_the_shape():
    maps = load_construct("norms_and_maps").maps
    assert [layer.name for layer in maps["f"].layers] == [
        "bn", "relu", "conv", "gn", "leaky_relu", "conv", "dropout",
    ]  # fmt: skip
    assert [layer.shape_out.channels for layer in maps["f"].layers] == [
        STATE_WIDTH,
        STATE_WIDTH,
        STATE_WIDTH * 2,
        STATE_WIDTH * 2,
        STATE_WIDTH * 2,
        STATE_WIDTH,
        STATE_WIDTH,
    ]
    assert (maps["f"].shared, maps["g"].shared) == (False, True)
    assert maps["g"].layers[0].arguments["bias"] == "yes"


def test_by_default_the_states_share_the_input_and_the_output_is_their_concatenation():
    dynamics = load_model(f"{TWO_STATES}discretise verlet(h = 0.1)").dynamics
    split = expr.Split(expr.Input())
    assert dynamics.initial == {State("Y"): split, State("Z"): split}
    assert dynamics.output == expr.Concat((State("Y"), State("Z")))
    assert (dynamics.input_parts, dynamics.width_out) == (2, STATE_WIDTH * 2)


def test_the_input_is_divided_among_the_states_that_take_a_part():
    dynamics = load_model(f"{TWO_STATES}Z(0) = 0\noutput Y\ndiscretise verlet(h = 0.1)").dynamics
    assert (dynamics.input_parts, dynamics.width_out) == (1, STATE_WIDTH)


def test_the_input_may_be_read_at_every_step():
    dynamics = load_construct("exogenous_input").dynamics
    assert dynamics.reads_input
    assert dynamics.initial == {State("x"): expr.Zero()}


@pytest.mark.parametrize(
    ("line", "h", "final_time"),
    [
        ("discretise verlet(h = 0.1)", Fraction(1, 10), None),
        ("discretise verlet(0.1)", Fraction(1, 10), None),
        ("discretize verlet(h = 1/3)", Fraction(1, 3), None),
        ("discretise verlet(T = 1)", None, 1),
        ("let s = 1/4\ndiscretise verlet(h = s / 2)", Fraction(1, 8), None),
        ("let h = 1/4\ndiscretise verlet(h = h)", Fraction(1, 4), None),
    ],
)
def test_the_step_size_or_the_final_time_is_given(line, h, final_time):
    discretisation = load_model(f"{TWO_STATES}{line}").discretisation
    assert (discretisation.h, discretisation.final_time) == (h, final_time)


@pytest.mark.parametrize("claim", ["reversible", "imaginary", "real", "stable", "order(2)",
                                   "symmetric", "volume_preserving", "exact"])  # fmt: skip
def test_every_claim_is_read(claim):
    model = load_model(f"{TWO_STATES}discretise verlet(h = 0.1)\nrequire {claim}")
    name, _, order = claim.rstrip(")").partition("(")
    assert [(c.name, c.number) for c in model.claims] == [(name, int(order) if order else None)]


def test_a_net_knows_the_shape_after_every_layer():
    shapes = [(layer.name, str(layer.shape_out)) for layer in load_construct("nets").net]
    assert shapes == [
        ("conv", "(8, 17, 16)"), ("bn", "(8, 17, 16)"), ("leaky_relu", "(8, 17, 16)"),
        ("residual", "(16, 9, 8)"), ("flow", "(16, 9, 8)"), ("maxpool", "(16, 4, 4)"),
        ("widen", "(24, 4, 4)"), ("dropout", "(24, 4, 4)"), ("flow", "(24, 4, 4)"),
        ("flatten", "(384)"), ("dense", "(32)"), ("tanh", "(32)"), ("dense", "(10)"),
    ]  # fmt: skip


def test_numbers_in_a_net_may_be_formulas_and_flows_may_have_their_own_step_size():
    flows = [layer for layer in load_construct("nets").net if layer.name == "flow"]
    arguments = [(flow.arguments["N"], flow.arguments["h"]) for flow in flows]
    assert arguments == [(4, 0.05), (1, 0.0)]  # the second has no step size of its own


def test_the_layers_inside_of_residual_are_read():
    (residual,) = [layer for layer in load_construct("nets").net if layer.name == "residual"]
    assert [layer.name for layer in residual.inner] == ["gn", "relu", "conv"]
    assert residual.arguments["stride"] == 2


def test_inputs_are_vectors_images_or_volumes():
    assert load_construct("points").input_shape.space == ()
    assert load_construct("volumes").input_shape.space == (8, 8, 8)
    assert load_construct("points").input_shape.channels == fixed_width(2)


def test_greek_letters_subscripts_and_signs_have_ascii_spellings():
    ascii_model, greek_model = load_construct("ascii_spelling"), load_construct("greek_spelling")
    assert ascii_model.dynamics == greek_model.dynamics
    assert ascii_model.parameters == greek_model.parameters
    assert ascii_model.constants == greek_model.constants
    assert greek_model.spellings["K1"] == "K₁"


def test_a_let_may_count_channels():
    model = load_model(
        one_state_spec("K^T relu(K Y)", "let w = 2 c\nparam K : conv(3, out = w + c)")
    )
    assert model.parameters["K"].width_out == STATE_WIDTH * 3
    assert model.constants == {}


def test_a_text_may_describe_the_model_anywhere_and_more_than_once():
    assert load_model(one_state_spec("Y", '"One,"', '"two."')).description == "One, two."


def test_windows_line_ends_make_no_difference():
    text = (ROOT / "tests/model/good/sample.ode").read_text(encoding="utf-8")
    assert load_model(text.replace("\n", "\r\n")).dynamics == load_model(text).dynamics


def test_an_unknown_layer_is_reported():
    text = one_state_spec("Y", "", "net = input(2) -> wholly -> flow(2)")
    assert error_messages(text) == ["unknown layer `wholly`"]


@pytest.mark.parametrize("char", ["\0", "\ud800"])
def test_characters_that_no_text_file_has_are_refused(char):
    assert error_messages(one_state_spec("Y", f'"{char}"')) == ["this is not a text"]


def test_a_very_long_chain_of_lets_is_refused_without_a_crash():
    lets = "\n".join(["let a0 = 1", *(f"let a{i + 1} = a{i} + 1" for i in range(1000))])
    assert error_messages(one_state_spec("a1000 Y", lets)) == ["this formula is nested too deeply"]


DEEP_FORMULAS = {  # a formula, what is repeated in it, and the declarations
    "factors": ("{} Y", "K ", "param K : dense"),
    "numbers": ("{} Y", "a ", "let a = 1"),
    "quotients": ("Y {}", "/ a ", "let a = 1"),
    "elementwise products": ("{} Y", "Y * ", ""),
}


@pytest.mark.parametrize("kind", DEEP_FORMULAS)
def test_a_formula_is_shallow_enough_for_every_stage_or_refused_at_its_place(kind):
    template, operand, declarations = DEEP_FORMULAS[kind]
    count = MAX_DEPTH - 5  # the rest of the formula has a few levels, too
    deepest = odenet.loads(one_state_spec(template.format(operand * count), declarations))
    compile(deepest.source(), kind, "exec")
    assert str(deepest)
    for count in (MAX_DEPTH + 10, 490, 3000):  # at 490 Python's stack may end, at 3000 it does
        formula = template.format(operand * count).strip()
        with pytest.raises(SpecError) as caught:
            odenet.loads(one_state_spec(formula, declarations))
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.message == "this formula is nested too deeply"
        assert diagnostic.span is not None and diagnostic.span.text == formula


@pytest.mark.parametrize("let", ["K s{}", "s{}^T", "2 (s{} + K)"])
def test_a_long_chain_of_operators_is_refused_and_what_it_names_counts_as_used(let):
    lets = "\n".join(f"let s{i + 1} = {let.format(i)}" for i in range(300))
    declarations = f"param K : dense\nlet s0 = K\n{lets}"
    assert set(error_messages(one_state_spec("s300 Y", declarations))) == {
        "this formula is nested too deeply"
    }


def test_numbers_of_the_file_do_not_hide_the_words_of_the_language():
    lets = "let conv = 3\nlet flow = 2\nlet euler = 1\nlet bias = 2\nparam b : bias"
    text = one_state_spec("Y + b", lets, "net = input(1, 8, 8) -> conv(conv, flow) -> flow(euler)")
    model = load_model(text)
    assert [(layer.name, layer.shape_out.channels) for layer in model.net] == [
        ("conv", fixed_width(2)), ("flow", fixed_width(2)),
    ]  # fmt: skip
