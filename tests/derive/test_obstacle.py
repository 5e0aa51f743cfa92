"""Steps without an explicit inverse: the message names the unknown that prevents it, and its place."""

import pytest

from odenet.derive import derive
from odenet.derive.scheme_notation import scheme_notation
from odenet.diagnostics import SpecError
from tests.derive.numeric import SCHEMES, read_scheme

ONE_UNKNOWN = "for Y' = F(Y)"
TWO_UNKNOWNS = "for Y' = F(Z), Z' = G(Y)"

# name -> lines of a scheme, message, the unknown that it names, the place that it points to
CASES = {
    "an unknown also inside its own rate": (
        f"{ONE_UNKNOWN}\nY[n+1] = Y[n] + h F(Y[n])",
        "Y[n] also appears inside F(Y[n]), in the line that would have to give it",
        "Y[n]", "F(Y[n])",
    ),
    "an unknown only inside a rate": (
        f"{ONE_UNKNOWN}\nY[n+1] = h F(Y[n])",
        "Y[n] appears only inside F(Y[n]): no line gives it back",
        "Y[n]", "F(Y[n])",
    ),
    "two unknowns that wait for each other": (
        f"{TWO_UNKNOWNS}\nY[n+1] = Y[n] + h F(Z[n])\nZ[n+1] = Z[n] + h G(Y[n])",
        "Y[n] appears inside G(Y[n]), and the line that would give Y[n] needs F(Z[n]), "
        "which is not known either",
        "Y[n]", "G(Y[n])",
    ),
    "a stage inside a rate": (
        f"{ONE_UNKNOWN}\nk = F(Y[n])\nm = F(k)\nY[n+1] = Y[n] + h m",
        "k appears only inside F(k): no line gives it back",
        "k", "F(k)",
    ),
    "a rate in the other line": (
        f"{TWO_UNKNOWNS}\nY[n+1] = Y[n] + Z[n]\nZ[n+1] = Z[n] + h G(Y[n])",
        "Y[n] appears inside G(Y[n]), but solving for Y[n] needs G(Y[n]) first",
        "Y[n]", "G(Y[n])",
    ),
    "a history value inside a rate": (
        f"{ONE_UNKNOWN}\nstart Y[-1] = 0\nY[n+1] = Y[n] + h F(Y[n-1])",
        "Y[n-1] appears only inside F(Y[n-1]): no line gives it back",
        "Y[n-1]", "F(Y[n-1])",
    ),
    "a value nobody reads": (
        f"{ONE_UNKNOWN}\naux v\nstart v[0] = 0\nv[n+1] = Y[n]\nY[n+1] = Y[n] + v[n+1]",
        "v[n] is forgotten: after the step nothing depends on it",
        "v[n]", "v[n+1] = Y[n]",
    ),
    "two values that run together": (
        f"{TWO_UNKNOWNS}\nY[n+1] = Y[n] + Z[n]\nZ[n+1] = 2 Y[n] + 2 Z[n] + h G(Y[n+1])",
        "Y[n] and Z[n] cannot be told apart after the step: it keeps only some sums of them",
        "Y[n]", "Y[n+1] = Y[n] + Z[n]",
    ),
    "a factor that is equal to zero": (
        f"{ONE_UNKNOWN}\naux v\nstart v[0] = 0\nlet a = 2 - 2\n"
        "v[n+1] = a v[n] + F(Y[n])\nY[n+1] = Y[n] + v[n+1]",
        "v[n] is forgotten: after the step nothing depends on it",
        "v[n]", "v[n+1] = a v[n] + F(Y[n])",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_obstacle_names_the_unknown_and_the_place(case):
    lines, message, unknown, place = CASES[case]
    text = f"scheme s {{\n{lines}\n}}"
    scheme = read_scheme(text)
    derivation = derive(scheme)
    obstacle = derivation.obstacle
    assert not derivation.reversible
    assert derivation.shears is None and derivation.inverse is None and derivation.volume is None
    assert obstacle.message == message == str(obstacle)
    assert scheme_notation(scheme).show(obstacle.unsolved) == unknown
    line_start = text.rfind("\n", 0, obstacle.span.start)
    assert place in text[line_start : obstacle.span.end + 2]  # 2: parentheses that are closed later
    assert not derivation.symmetric


def test_the_last_evaluation_of_a_runge_kutta_step_is_the_obstacle():
    obstacle = derive(SCHEMES["rk4"]).obstacle
    assert obstacle.message.startswith("Y[n] also appears inside F(Y[n] + h k3)")
    assert obstacle.span.line == 6
    assert obstacle.span.text == "Y[n]"


def test_a_division_by_an_irrational_zero_is_an_obstacle():
    text = f"scheme s {{\n{ONE_UNKNOWN}\naux v\nstart v[0] = 0\nlet a = (2^(1/2))^2 - 2\n"
    text += "v[n+1] = a v[n] + F(Y[n])\nY[n+1] = Y[n] + v[n+1]\n}"
    assert derive(read_scheme(text)).obstacle.message == "the inverse divides by 0"


@pytest.mark.parametrize(
    "line, message",
    [
        ("Y[n+1] = Y[n] * Y[n]", "adds values and multiplies them by numbers"),
        ("Y[n+1] = Y[n] / (h - h)", "divides by zero"),
    ],
)
def test_what_is_not_a_linear_combination_is_an_error(line, message):
    with pytest.raises(SpecError, match=message):
        derive(read_scheme(f"scheme s {{\n{ONE_UNKNOWN}\n{line}\n}}"))
