"""Values set from outside, by `--set` or the argument `set` of the Python interface."""

from fractions import Fraction

import pytest

from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.reading.settings import merge_settings
from odenet.model.tables.recipe import Recipe
from tests.model.load_models import error_messages, load_model, one_state_spec

SPEC = one_state_spec(
    "n σ(K Y)",
    "param K : conv(3)\nlet n = 2\nlet σ = relu",
    "net = input(1, 8, 8) -> conv(3, 4) -> flow(n)\ntrain {\n epochs = 3\n batch = 8\n}",
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), ("3", 3), ("1 + 2", 3), (" 3 ", 3), (0.25, Fraction(1, 4)), (1e-05, Fraction(1, 10**5)),
     ("-1", -1), (-1, -1), (Fraction(1, 3), Fraction(1, 3)), ("1/3", Fraction(1, 3))],
)  # fmt: skip
def test_a_number_of_a_let_can_be_set(value, expected):
    text = SPEC.replace("flow(n)", "flow(2)")  # since 1/4, for one, is not a number of steps
    assert load_model(text, n=value).constants["n"] == expected


def test_a_set_number_is_used_wherever_the_let_is():
    (_, flow) = load_model(SPEC, n=5).net
    assert flow.arguments["N"] == 5


def test_a_let_for_an_activation_can_be_set():
    rate = load_model(SPEC, sigma="leaky_relu(0.5)").dynamics.rates["Y"]
    assert expr.Activation("leaky_relu", (expr.Number(Fraction(1, 2), "0.5"),)) in rate.walk()


def test_greek_and_ascii_name_the_same_let():
    assert load_model(SPEC, **{"σ": "tanh"}).dynamics == load_model(SPEC, sigma="tanh").dynamics


def test_a_constant_of_the_scheme_can_be_set():
    assert load_model(SPEC, h=0.5).discretisation.h == Fraction(1, 2)


def test_a_let_that_the_type_of_a_param_reads_is_set_before_it_is_read():
    text = "state Y\nlet s = 1\nlet k = 3\nparam K : conv(k, init = normal(s))\nY' = K Y\n"
    model = load_model(text + "discretise euler(h = s)\n", s=0.5, k=5)
    options = model.parameters["K"].options
    assert options["k"] == 5 and options["init"].kwargs == {"std": 0.5}
    assert model.discretisation.h == 0.5


@pytest.mark.parametrize(
    ("settings", "h", "final_time"), [({"T": 1}, None, 1), ({"h": 2}, 2, None)]
)
def test_a_step_size_from_outside_replaces_a_final_time_and_the_other_way_round(
    settings, h, final_time
):
    line = "euler(h = 0.1)" if "T" in settings else "euler(T = 3)"
    text = SPEC.replace("euler(h = 0.1)", line)
    discretisation = load_model(text, **settings).discretisation
    assert (discretisation.h, discretisation.final_time) == (h, final_time)


def test_keys_of_the_recipe_can_be_set_whether_or_not_the_file_has_them():
    recipe = load_model(
        SPEC, epochs=7, optimizer="sgd(lr = 1)", augment=["flip"], data="rings"
    ).recipe
    assert (recipe.epochs, recipe.batch) == (7, 8)
    assert recipe.optimizer["lr"] == 1.0
    assert [a.name for a in recipe.augment] == ["flip"]
    assert recipe.data is not None and recipe.data.name == "rings"


def test_a_text_may_be_set_in_quotes():
    recipe = load_model(SPEC, data='folder("my pictures")').recipe
    assert recipe.data is not None and recipe.data["path"] == "my pictures"


def test_a_let_hides_a_constant_of_the_scheme_of_the_same_name():
    text = one_state_spec("h Y", "let h = 2").replace("h = 0.1", "h = h / 4")
    model = load_model(text, h=1)  # sets the `let`; the step size of the scheme follows, 1 / 4
    assert (model.constants["h"], model.discretisation.h) == (1, Fraction(1, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"m": 1}, "nothing that can be set is called `m`"),
        ({"K": 1}, "`K` is not a number that can be set"),
        ({"n": "many"}, "unknown name `many`"),
        ({"n": ""}, "a value is missing after `=`"),
        ({"n": "1; import os"}, "`;` has no meaning here"),
        ({"n": "1\nepochs = 2"}, "a value is missing before `=`"),
        ({"n": float("nan")}, "unknown name `nan`"),
        ({"n": [1, 2]}, "a formula is wanted here"),
        ({"n": "Y"}, "N in flow counts its steps: a whole number, at least 1"),
        ({"h": -1}, "h in euler is the step size: above 0"),
        ({"h": "Y"}, "h in euler is the step size: above 0"),
        ({"epochs": True}, "epochs counts passes over the data: a whole number, at least 1"),
        ({"no name": 1}, "a setting is a name, `=` and a value"),
        ({"": 1}, "a setting is a name, `=` and a value"),
    ],
)
def test_a_bad_setting_is_refused(settings, message):
    assert message in error_messages(SPEC, **settings)


def test_unknown_settings_are_reported_beside_other_errors():
    text = SPEC.replace("K Y", "Q Y").replace("epochs = 3", "epochs = 0")
    assert len(error_messages(text, m=1)) >= 2


def test_settings_do_not_change_the_text():
    assert load_model(SPEC, n=5).source.text == SPEC


def test_epochs_and_steps_from_outside_replace_each_other():
    recipe = load_model(SPEC, steps=80_000).recipe
    assert (recipe.steps, recipe.epochs) == (80_000, Recipe().epochs)
    in_file = SPEC.replace("epochs = 3", "steps = 500")
    assert load_model(in_file, epochs=7).recipe.steps == 0
    assert load_model(in_file).recipe.steps == 500
    assert load_model(SPEC, steps=0, epochs=7).recipe.epochs == 7


def test_epochs_and_steps_at_once_are_refused_wherever_they_come_from():
    message = "steps and epochs both say how long training takes"
    assert error_messages(SPEC, steps=500, epochs=7) == [message]
    with pytest.raises(SpecError, match="epochs is 8, from outside"):
        load_model(SPEC, epochs=8, steps=500)
    with pytest.raises(SpecError, match="epochs is 3, in line 9"):
        load_model(SPEC.replace("epochs = 3", "epochs = 3\n steps = 50"))


def test_later_settings_of_epochs_and_steps_replace_each_other_unless_the_spec_declares_one():
    earlier = {"epochs": 3, "h": 0.1}
    assert merge_settings(earlier, {"steps": 9}, declared=()) == {"h": 0.1, "steps": 9}
    assert merge_settings({"steps": 9}, {"epochs": 3}, declared=()) == {"epochs": 3}
    # a spec that declares `let steps = …`: `steps` sets this, and not the length of the training
    merged = merge_settings({"steps": 9}, {"epochs": 3}, declared={"steps"})
    assert merged == {"steps": 9, "epochs": 3}


def test_only_a_let_that_nothing_reads_is_warned_about():
    """A `let` is also used if a layer, the recipe or another `let` reads it."""
    lets = "let n = 2\nlet σ = relu\nlet a = 3\nlet b = a + 1\nlet idle = 5\nlet τ = tanh"
    net = "net = input(1, 8, 8) -> conv(3, 4) -> τ -> flow(n)\ntrain {\n batch = b\n}"
    text = one_state_spec("σ(K Y)", f"param K : conv(3)\n{lets}", net)
    assert [note.span.text for note in load_model(text).warnings] == ["idle"]


def test_arguments_from_python_may_be_lists():
    data_call = load_model(SPEC, data={"table": ["x.csv", ["a b", "c"]]}).recipe.data
    assert (data_call["path"], list(data_call["target"])) == ("x.csv", ["a b", "c"])
    assert list(load_model(SPEC, data={"table": ["x.csv", []]}).recipe.data["target"]) == []


def test_arguments_from_python_that_no_file_can_have_are_refused():
    for value in (None, {"a": 1}, float("nan")):
        with pytest.raises(SpecError, match="is not an argument"):
            load_model(SPEC, data={"table": ["x.csv", value]})
