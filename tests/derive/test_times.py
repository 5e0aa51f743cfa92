"""When each right-hand side is evaluated: the abscissae that the literature prints beside a scheme."""

import re

import pytest

import odenet
from odenet.derive.scheme_notation import scheme_notation
from odenet.model.elaboration.library import library_names
from tests.derive.numeric import USER_SCHEMES

ONE = "state Y\nparam b : bias\nY' = tanh(Y + t b)\ndiscretise {}(h = 0.1)\n"
PAIR = (
    "state Y, Z\nparam b : bias\nY' = tanh(Z + t b)\nZ' = -tanh(Y + t b)\ndiscretise {}(h = 0.1)\n"
)
SECOND = "state Y\nparam b : bias\nY'' = -tanh(Y + t b)\ndiscretise {}(h = 0.1)\n"
DAMPED = (
    "state Y, Z\nparam b : bias\nY' = tanh(Z + t b)\nZ' = -tanh(Y + t b) - 0.3 Z\n"
    "discretise {}(h = 0.1)\n"
)

# Hairer, Nørsett & Wanner 1993, II.1, Tables 1.2 and 5.2, for the c of the tableaux; partitioned
# schemes see the time that the other half of the step has reached.
TIMES = {
    "heun": (ONE, ["t", "t + h"]),
    "rk4": (ONE, ["t", "t + h/2", "t + h/2", "t + h"]),
    "bosh3": (ONE, ["t", "t + h/2", "t + 3 h/4"]),
    "dopri5": (ONE, ["t", "t + h/5", "t + 3 h/10", "t + 4 h/5", "t + 8 h/9", "t + h"]),
    "kutta3": (ONE, ["t", "t + h/2", "t + h"]),
    "midpoint": (ONE, ["t"]),
    "adams_bashforth2": (ONE, ["t", "t - h"]),
    "asynchronous_leapfrog": (ONE, ["t + h/2"]),
    "coupled_rk4": (ONE, ["t", "t + h/2", "t + h/2", "t + h", "t + h", "t + h/2", "t + h/2", "t"]),
    "verlet": (PAIR, ["t", "t + h"]),
    "stormer_verlet": (PAIR, ["t", "t + h/2", "t + h"]),
    "ruth3": (PAIR, ["t", "t + 7 h/24", "t + 2 h/3", "t + 25 h/24", "t", "t + h"]),
    "leapfrog": (SECOND, ["t"]),
    "velocity_verlet": (SECOND, ["t", "t + h"]),
    "nystrom4": (SECOND, ["t", "t + h/2", "t + h"]),
    "quinlan": (SECOND, ["t", "t - h", "t - 2 h"]),
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
SUM = "state Y\nparam b : bias\nY' = tanh(Y + t b) - tanh(t Y)\ndiscretise {}(h = 0.1)\n"
# Of what is made of others, or takes a right-hand side apart: (scheme, its text).
MADE = {
    "strang": (SUM, STRANG, ["t", "t + h/2", "t", "t + h", "t + h/2", "t + h"]),
    "composed": (
        ONE, "scheme composed = compose(euler(h/4), heun(3 h/4))\n", ["t", "t + h/4", "t + h"],
    ),
    "back": (PAIR, "scheme back = adjoint(verlet)\n", ["t", "t + h"]),
    "twice": (SUM, STRANG + "scheme twice = compose(strang(h/2), strang(h/2))\n", [
        "t", "t + h/4", "t", "t + h/2", "t + h/4", "t + h/2",
        "t + h/2", "t + 3 h/4", "t + h/2", "t + h", "t + 3 h/4", "t + h",
    ]),
    "pair": (ONE, "scheme pair = coupled(heun)\n", ["t", "t + h", "t + h", "t"]),
}  # fmt: skip


def timed(name, text):
    blocks = re.findall(r"^scheme (\w+).*?^}$", USER_SCHEMES, re.M | re.S)
    own = dict(zip(blocks, re.findall(r"^scheme .*?^}$", USER_SCHEMES, re.M | re.S), strict=True))
    block = "" if name in library_names() else own[name]
    return odenet.loads(text.format(name) + block + "\n").derivation


def times_of(derivation):
    shown = scheme_notation(derivation.scheme)
    rates = [
        node for update in derivation.forward for node in update.value.walk()
        if type(node).__name__ == "Rate"
    ]  # fmt: skip
    return [shown.show(rate.time) for rate in rates]


@pytest.mark.parametrize("name", TIMES)
def test_stages_are_evaluated_where_the_literature_says(name):
    text, expected = TIMES[name]
    assert times_of(timed(name, text)) == expected


@pytest.mark.parametrize("name", MADE)
def test_parts_and_compositions_go_on_where_the_lines_before_end(name):
    text, block, expected = MADE[name]
    assert times_of(odenet.loads(text.format(name) + block).derivation) == expected


def test_the_inverse_evaluates_them_at_the_same_times():
    derivation = timed("stormer_verlet", PAIR)
    assert "Y[n] = Y[n+1] - h F(Z1, t + h/2)" in str(derivation)


def test_start_lines_are_at_time_zero():
    derivation = timed("adams_bashforth2", ONE)
    ((_, value),) = derivation.scheme.starts
    assert scheme_notation(derivation.scheme).show(value).endswith("F(Y[n], 0)")
