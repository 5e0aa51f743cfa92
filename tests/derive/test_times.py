"""When each right-hand side is evaluated: the abscissae that the literature prints beside a scheme."""

import re

import pytest

import odenet
from odenet.derive.text import notation
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


def timed(name, text):
    blocks = re.findall(r"^scheme (\w+).*?^}$", USER_SCHEMES, re.M | re.S)
    own = dict(zip(blocks, re.findall(r"^scheme .*?^}$", USER_SCHEMES, re.M | re.S), strict=True))
    block = "" if name in odenet_library() else own[name]
    return odenet.loads(text.format(name) + block + "\n").derivation


def odenet_library():
    from odenet.model.elaboration.schemes import library

    return library()


@pytest.mark.parametrize("name", TIMES)
def test_stages_are_evaluated_where_the_literature_says(name):
    text, expected = TIMES[name]
    derivation = timed(name, text)
    shown = notation(derivation.scheme)
    rates = [
        node for update in derivation.forward for node in update.value.walk()
        if type(node).__name__ == "Rate"
    ]  # fmt: skip
    assert [shown.show(rate.time) for rate in rates] == expected


def test_the_inverse_evaluates_them_at_the_same_times():
    derivation = timed("stormer_verlet", PAIR)
    assert "Y[n] = Y[n+1] - h F(Z1, t + h/2)" in str(derivation)


def test_start_lines_are_at_time_zero():
    derivation = timed("adams_bashforth2", ONE)
    ((_, value),) = derivation.scheme.starts
    assert notation(derivation.scheme).show(value).endswith("F(Y[n], 0)")
