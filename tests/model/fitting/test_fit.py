"""States are assigned to the unknowns of a scheme, and channel counts are inferred."""

from fractions import Fraction

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot, State
from odenet.model.expressions.numbers import STATE_WIDTH, Width
from odenet.model.tables.argument_kinds import Call
from tests.model.load_models import load_construct, load_model, one_state_spec

HALF = Width(Fraction(1, 2))


def test_operators_know_the_channels_they_read_and_give():
    parameters = load_construct("operators").parameters
    widths = {name: (p.width_in, p.width_out) for name, p in parameters.items()}
    assert widths == {
        "A": (STATE_WIDTH, STATE_WIDTH * 2), "B": (STATE_WIDTH, STATE_WIDTH * 2), "D": (STATE_WIDTH, STATE_WIDTH), "P": (STATE_WIDTH, STATE_WIDTH * 2), "Q": (STATE_WIDTH, HALF),
        "d": (STATE_WIDTH, STATE_WIDTH), "g": (None, None),
    }  # fmt: skip
    assert parameters["A"].options == {
        "k": 3, "out": STATE_WIDTH * 2, "groups": 2, "dilation": 2, "in": STATE_WIDTH, "init": Call("orthogonal"),
        "knots": 0,
    }  # fmt: skip
    assert [p.name for p in parameters.values() if p.shared] == ["d"]


def test_biases_diagonals_and_norms_take_their_channels_from_where_they_stand():
    declarations = """
    param K : conv(3, out = 2c)
    param b, e : bias
    param d : diag
    param N : norm(batch)
    """
    model = load_model(one_state_spec("K^T N(d (K Y + b)) + e", declarations))
    widths = {name: p.width_in for name, p in model.parameters.items()}
    assert widths == {
        "K": STATE_WIDTH,
        "b": STATE_WIDTH * 2,
        "e": STATE_WIDTH,
        "d": STATE_WIDTH * 2,
        "N": STATE_WIDTH * 2,
    }
    # Channels that no part of a sum determines are those that the whole sum has to have.
    text = "K^T ((d/2) tanh((b + b) - d b) + N(K Y)) + (e + e)"
    model = load_model(one_state_spec(text, declarations))
    assert {name: p.width_in for name, p in model.parameters.items()} == widths


def test_a_second_order_equation_is_a_pair_for_a_first_order_scheme():
    model = load_construct("second_order")
    assert list(model.system) == [State("Y"), State("Y", 1)]
    assert model.system[State("Y")] == State("Y", 1)
    assert model.dynamics.initial[State("Y")] == expr.Input()
    assert model.dynamics.initial[State("Y", 1)] == expr.Apply(
        expr.LearnedOperator("K"), expr.Input()
    )
    assert model.dynamics.output == expr.Concat((State("Y"), State("Y", 1)))
    assert (model.discretisation.h, model.discretisation.final_time) == (None, 1)


def test_a_second_order_scheme_sees_one_unknown():
    model = load_construct("leapfrog_starts_elsewhere")
    assert list(model.system) == [State("Y")]
    assert model.discretisation.starts == ((Slot("Y", -1), Slot("Y", 0)),)


def test_three_states_fall_into_the_two_groups_of_a_scheme():
    model = load_construct("three_states")
    assert model.discretisation.groups == {"Y": (State("X"), State("Y")), "Z": (State("Z"),)}
    assert model.discretisation.exact
    assert model.dynamics.output == State("Z")
