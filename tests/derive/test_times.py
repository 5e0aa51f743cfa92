"""The times at which a step evaluates right-hand sides, against the abscissae c that books print."""

import re

import pytest

import odenet
from odenet.derive.scheme_notation import scheme_notation
from odenet.model.elaboration.library import library_names
from tests.derive.numeric import USER_SCHEMES

FIRST_ORDER = "state Y\nparam b : bias\nY' = tanh(Y + t b)\ndiscretise {}(h = 0.1)\n"
PAIR = (
    "state Y, Z\nparam b : bias\nY' = tanh(Z + t b)\nZ' = -tanh(Y + t b)\ndiscretise {}(h = 0.1)\n"
)
SECOND_ORDER = "state Y\nparam b : bias\nY'' = -tanh(Y + t b)\ndiscretise {}(h = 0.1)\n"
DAMPED = (
    "state Y, Z\nparam b : bias\nY' = tanh(Z + t b)\nZ' = -tanh(Y + t b) - 0.3 Z\n"
    "discretise {}(h = 0.1)\n"
)

# scheme -> spec, times of its evaluations. The c of tableaux are from Hairer, Nørsett & Wanner 1993,
# II.1, Tables 1.2 and 5.2; partitioned schemes evaluate at the time that the argument has reached.
TIMES = {
    "heun": (FIRST_ORDER, ["t", "t + h"]),
    "rk4": (FIRST_ORDER, ["t", "t + h/2", "t + h/2", "t + h"]),
    "bosh3": (FIRST_ORDER, ["t", "t + h/2", "t + 3 h/4"]),
    "dopri5": (FIRST_ORDER, ["t", "t + h/5", "t + 3 h/10", "t + 4 h/5", "t + 8 h/9", "t + h"]),
    "kutta3": (FIRST_ORDER, ["t", "t + h/2", "t + h"]),
    "midpoint": (FIRST_ORDER, ["t"]),
    "adams_bashforth2": (FIRST_ORDER, ["t", "t - h"]),
    "asynchronous_leapfrog": (FIRST_ORDER, ["t + h/2"]),
    "coupled_rk4": (
        FIRST_ORDER,
        ["t", "t + h/2", "t + h/2", "t + h", "t + h", "t + h/2", "t + h/2", "t"],
    ),
    "verlet": (PAIR, ["t", "t + h"]),
    "stormer_verlet": (PAIR, ["t", "t + h/2", "t + h"]),
    "ruth3": (PAIR, ["t", "t + 7 h/24", "t + 2 h/3", "t + 25 h/24", "t", "t + h"]),
    "leapfrog": (SECOND_ORDER, ["t"]),
    "velocity_verlet": (SECOND_ORDER, ["t", "t + h"]),
    "nystrom4": (SECOND_ORDER, ["t", "t + h/2", "t + h"]),
    "quinlan": (SECOND_ORDER, ["t", "t - h", "t - 2 h"]),
    "damped_verlet": (DAMPED, ["t", "t + h/2", "t + h"]),
}

STRANG = """
scheme strang {
    for Y' = F(Y) + G(Y)
    k1     = F(Y[n])
    k2     = F(Y[n] + h/2 k1)
    Y1     = Y[n] + h/4 (k1 + k2)
    l1     = G(Y1)
    l2     = G(Y1 + h l1)
    Y2     = Y1 + h/2 (l1 + l2)
    k3     = F(Y2)
    k4     = F(Y2 + h/2 k3)
    Y[n+1] = Y2 + h/4 (k3 + k4)
}
"""
SPLIT_SUM = "state Y\nparam b : bias\nY' = tanh(Y + t b) - tanh(t Y)\ndiscretise {}(h = 0.1)\n"
# Splittings, and schemes made of others: name -> spec, text of the scheme, times.
COMPOSITE_SCHEMES = {
    "strang": (SPLIT_SUM, STRANG, ["t", "t + h/2", "t", "t + h", "t + h/2", "t + h"]),
    "composed": (
        FIRST_ORDER, "scheme composed = compose(euler(h/4), heun(3 h/4))\n", ["t", "t + h/4", "t + h"],
    ),
    "back": (PAIR, "scheme back = adjoint(verlet)\n", ["t", "t + h"]),
    "twice": (SPLIT_SUM, STRANG + "scheme twice = compose(strang(h/2), strang(h/2))\n", [
        "t", "t + h/4", "t", "t + h/2", "t + h/4", "t + h/2",
        "t + h/2", "t + 3 h/4", "t + h/2", "t + h", "t + 3 h/4", "t + h",
    ]),
    "pair": (FIRST_ORDER, "scheme pair = coupled(heun)\n", ["t", "t + h", "t + h", "t"]),
}  # fmt: skip


def derivation_of(name, text):
    """The derivation of the spec `text` with a scheme of the library or of USER_SCHEMES."""
    blocks = re.finditer(r"^scheme (\w+).*?^}$", USER_SCHEMES, re.M | re.S)
    user_schemes = {block[1]: block[0] for block in blocks}
    scheme_text = "" if name in library_names() else user_schemes[name]
    return odenet.loads(text.format(name) + scheme_text + "\n").derivation


def evaluation_times(derivation):
    """The times of all evaluations in a step, in the order of the lines."""
    shown = scheme_notation(derivation.scheme)
    evaluations = [
        node for update in derivation.forward for node in update.value.walk()
        if type(node).__name__ == "Rate"
    ]  # fmt: skip
    return [shown.show(rate.time) for rate in evaluations]


@pytest.mark.parametrize("name", TIMES)
def test_stages_are_evaluated_where_the_literature_says(name):
    text, expected = TIMES[name]
    assert evaluation_times(derivation_of(name, text)) == expected


@pytest.mark.parametrize("name", COMPOSITE_SCHEMES)
def test_the_times_of_splittings_and_compositions_follow_from_those_of_their_parts(name):
    text, scheme_text, expected = COMPOSITE_SCHEMES[name]
    assert evaluation_times(odenet.loads(text.format(name) + scheme_text).derivation) == expected


def test_the_inverse_evaluates_right_hand_sides_at_the_same_times():
    derivation = derivation_of("stormer_verlet", PAIR)
    assert "Y[n] = Y[n+1] - h F(Z1, t + h/2)" in str(derivation)


def test_start_lines_are_at_time_zero():
    derivation = derivation_of("adams_bashforth2", FIRST_ORDER)
    ((_, value),) = derivation.scheme.starts
    assert scheme_notation(derivation.scheme).show(value).endswith("F(Y[n], 0)")
