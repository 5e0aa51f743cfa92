"""The recipe of a `train` block: defaults, ranges, and the message of each faulty setting."""

from fractions import Fraction

import pytest

from odenet.model.tables.recipe import Call, Recipe, recipe_keys
from odenet.model.tables.recipe_checks import RecipeEntry, check_recipe


def setting_problems(key, value):
    """The problems with one setting."""
    _, problems = check_recipe([RecipeEntry(key, value, "key place", "value place")])
    return problems


def test_a_recipe_is_complete_with_defaults():
    recipe, problems = check_recipe(
        [
            RecipeEntry("data", Call("cifar10")),
            RecipeEntry("augment", (Call("pad_crop", (4,)), Call("flip"))),
            RecipeEntry("batch", Fraction(100)),
            RecipeEntry("optimizer", Call("sgd", (), {"lr": Fraction(1, 10), "decay": 2e-4})),
            RecipeEntry("schedule", Call("steps", (), {"at": (80, 120), "factor": 0.1})),
        ]
    )
    assert not problems
    assert recipe.batch == 100 and isinstance(recipe.batch, int)
    assert recipe.epochs == Recipe().epochs
    assert dict(recipe.optimizer.kwargs) == {
        "lr": 0.1,
        "momentum": 0.9,
        "decay": 2e-4,
        "nesterov": "no",
        "decay_on": "weights",
    }
    assert recipe.schedule["at"] == (80, 120)
    assert recipe.augment[0]["n"] == 4


def test_a_positional_argument_is_the_first_of_the_form():
    recipe, problems = check_recipe([RecipeEntry("optimizer", Call("sgd", (0.5,)))])
    assert not problems
    assert recipe.optimizer["lr"] == 0.5


def test_every_problem_is_reported_with_its_own_place():
    settings = [  # texts take the place of spans
        RecipeEntry("data", Call("cifr10", span="at cifr10"), "key", "value"),
        RecipeEntry("epochs", 0, "key", "at 0"),
        RecipeEntry("bach", 3, "at bach", "value"),
        RecipeEntry("optimizer", Call("sgd", (), {"momentm": 1}, span="at sgd"), "key", "value"),
    ]
    _, problems = check_recipe(settings)
    assert [p.span for p in problems] == ["at cifr10", "at 0", "at bach", "at sgd"]
    assert [p.label for p in problems] == [
        "did you mean `cifar10`?",
        "too small",
        "did you mean `batch`?",
        "did you mean `momentum`?",
    ]


def test_zero_epochs_says_what_epochs_count():
    (problem,) = setting_problems("epochs", 0)
    assert problem.message == "epochs counts passes over the data: a whole number, at least 1"


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("batch", 1.5, "not a whole number"),
        ("batch", Call("many"), "this is `many`, not a number"),
        ("fraction", 0, "too small"),
        ("fraction", 1.01, "too large"),
        ("ema", 1, "too large"),
        ("smooth", -1, "too small"),
        ("smooth", float("nan"), "out of reach"),
        ("levels", (110, 60), "not in increasing order"),
        ("precision", Call("half"), "this is `half`"),
        ("optimizer", 3, "this is 3"),
        ("data", Call("folder"), "path is missing"),
        ("data", Call("folder", (3,)), "this is 3"),
        ("schedule", Call("steps"), "at is missing"),
        ("optimizer", Call("adam", (), {"betas": (0.9,)}), "a list of 1"),
    ],
)
def test_a_value_of_the_wrong_kind_or_range_is_refused(key, value, label):
    (problem,) = setting_problems(key, value)
    assert problem.label == label


@pytest.mark.parametrize("key", ["optimizer", "schedule", "data", "augment"])
def test_an_unknown_name_lists_the_known_ones(key):
    (problem,) = setting_problems(key, Call("nonsense"))
    assert problem.help.startswith("known: ")


def test_too_many_arguments_and_arguments_given_twice_are_refused():
    (too_many,) = setting_problems("augment", (Call("flip", (1,)),))
    assert too_many.help == "it takes none"
    (given_twice,) = setting_problems("augment", (Call("cutout", (4,), {"n": 4}),))
    assert given_twice.message == "argument `n` of cutout is given twice"


def test_a_key_given_twice_is_refused():
    _, problems = check_recipe([RecipeEntry("seed", 1), RecipeEntry("seed", 2)])
    assert [p.message for p in problems] == ["`seed` is given twice in train"]


def test_levels_lie_before_the_last_epoch():
    _, problems = check_recipe(
        [RecipeEntry("epochs", 10), RecipeEntry("levels", (5, 10), None, "here")]
    )
    assert [p.span for p in problems] == ["here"]


def test_data_can_be_given_as_on_a_command_line():
    recipe, problems = check_recipe([RecipeEntry("data", "folder:my pictures")])
    assert not problems
    assert recipe.data is not None and recipe.data["path"] == "my pictures"


def test_every_default_satisfies_its_own_key():
    settings = [RecipeEntry(key, value) for key, value in Recipe().items()]
    assert check_recipe(settings) == (Recipe(), [])
    assert set(recipe_keys()) >= {"data", "epochs", "levels"}


def test_a_recipe_prints_as_it_is_written():
    assert "optimizer = adamw(lr = 0.001" in str(Recipe())
