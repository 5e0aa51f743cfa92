"""Schemes whose coefficients contain h or constants of the file: what `compile` and `check` say."""

import re
import sys

import pytest

from odenet import cli
from odenet.derive import Derivation, Order
from odenet.derive.order import HIGHEST_ORDER

SPEC_TEMPLATE = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
net = input(3, 8, 8) -> conv(3, 4) -> flow(4) -> mean -> dense(10)
discretise {use}
{claims}
scheme s{constants} {{
    for Y' = F(Y)
    {lines}
}}
"""
DAMPED_STEP = "aux V\nstart V[0] = 0\nV[n+1] = (1 - h) V[n] + h F(Y[n])\nY[n+1] = Y[n] + h V[n+1]"
MOMENTUM_STEP = "aux v\nstart v[0] = 0\nv[n+1] = γ v[n] + (1 - γ) F(Y[n])\nY[n+1] = Y[n] + v[n+1]"
UNEQUAL_GROUPS = """state X, Y, Z
param K1, K2, K3 : conv(3)
X' = tanh(K1 Z)
Y' = tanh(K2 Z)
Z' = -tanh(K3 X + Y)
discretise s(h = 0.1)
scheme s {
    for A' = F(B), B' = G(A)
    A[n+1] = A[n] + h B[n] + h F(B[n])
    B[n+1] = B[n] + h G(A[n+1])
}
"""


@pytest.fixture
def odenet(monkeypatch, capsys, tmp_path):
    """A function that runs a command on a text: gives its exit code and, in a line, all its output."""
    monkeypatch.chdir(tmp_path)

    def run(command, text, *options):
        (tmp_path / "a.ode").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["odenet", command, "a.ode", *options])
        try:
            cli.main()
            code = 0
        except SystemExit as system_exit:
            code = system_exit.code or 0
        out, err = capsys.readouterr()
        return code, re.sub(r"\s+", " ", out + err)

    return run


def spec(use, lines, *claims, constants=""):
    """The text of a file: how scheme s is used, its lines, and what is claimed.

    `constants` are those of s with their defaults, such as (γ = 0).
    """
    required = "\n".join(f"require {claim}" for claim in claims)
    return SPEC_TEMPLATE.format(use=use, claims=required, constants=constants, lines=lines)


@pytest.mark.slow
def test_volume_and_order_are_those_at_the_step_size_of_the_file(odenet):
    text = spec("s(h = 0.1)", DAMPED_STEP, "volume_preserving", "order(1)", "reversible")
    code, shown = odenet("compile", text, "--proof")
    assert code == 0 and "volume times |h - 1| per value" in shown and "order 0" in shown
    assert "0.152 here" in shown  # log2(1 / 0.9) bits for each value and step
    code, shown = odenet("check", text)
    assert code == 1
    assert "volume_preserving: refuted: a step changes volume by 0.9 per value" in shown
    assert "reversible: proved" in shown and "order(1): refuted: s has order 0" in shown


def test_a_factor_that_vanishes_at_the_step_size_of_the_file_is_not_undone(odenet):
    code, shown = odenet("check", spec("s(h = 1)", DAMPED_STEP, "reversible"))
    assert code == 1 and "reversible: refuted: it has an inverse only where h - 1 ≠ 0" in shown
    lines = DAMPED_STEP.replace("1 - h", "1 - γ h")
    for gamma, proved in ((10, False), (9, True)):  # 1 - γ h is 0 for γ = 10
        text = spec(f"s(h = 0.1, γ = {gamma})", lines, "reversible", constants="(γ = 0)")
        code, shown = odenet("check", text, "--no-numeric")
        assert ("reversible: proved" in shown) is proved


def test_volume_is_open_where_the_step_size_follows_from_the_depth(odenet):
    text = spec("s(T = 1)", DAMPED_STEP, "volume_preserving")
    code, shown = odenet("check", text, "--no-numeric")
    assert code == 1 and "volume_preserving: open: a step changes volume by |h - 1|" in shown


def test_exact_steps_count_the_bits_of_the_constants_of_the_file(odenet):
    text = spec("s(γ = 0.9) exact", MOMENTUM_STEP, "exact", "order(1)", constants="(γ = 0)")
    code, shown = odenet("compile", text)
    assert code == 0 and "0.152 bits per value and step kept: 1 after 4 steps" in shown
    code, shown = odenet("check", text)
    assert "exact: proved: integer shears are undone bit for bit, 0.152 bits per value" in shown
    assert "order(1): refuted: s has no order: the scheme has no step size h" in shown


def test_a_step_that_changes_the_state_without_right_hand_sides_is_reported(odenet):
    text = spec("s(h = 0.1)", "start Y[-1] = Y[0]\nY[n+1] = 2 h Y[n-1]", "order(1)")
    assert odenet("compile", text)[0] == 0
    code, shown = odenet("check", text)
    assert code == 1 and "a step changes Y even where all right-hand sides are 0" in shown


@pytest.mark.parametrize("command", ["compile", "check"])
def test_groups_of_different_sizes_cannot_be_added(odenet, command):
    code, shown = odenet(command, UNEQUAL_GROUPS)
    assert code == 1
    assert "s adds a value of Z to one of X and Y" in shown and "a.ode:9:23" in shown


def test_a_replaced_start_is_the_one_that_is_judged(odenet):
    text = "state Y\nparam K : conv(3)\nY'' = -K^T tanh(K Y)\nrequire order(2)\ndiscretise "
    shown = odenet("compile", text + "leapfrog(h = 0.1) start Y[-1] = Y[0]")[1]
    assert "with `start Y[-1] = Y[0]` the equation's solution is followed to order 1 only" in shown
    shown = odenet("compile", text + "leapfrog(h = 0.1) start Y[-1] = Y[0] + h^2/2 F(Y[0])")[1]
    assert "order 2, symmetric (leapfrog, h = 0.1) limit" in shown
    learned = "param b : bias\n" + text + "leapfrog(h = 0.1) start Y[-1] = b"
    code, shown = odenet("check", learned, "--no-numeric")
    assert code == 0 and "nothing is known of the start from `b`" in shown


def test_a_refuted_order_names_the_violated_condition(odenet):
    lines = "Y[n+1] = Y[n] + h F(Y[n])"
    code, shown = odenet("check", spec("s(h = 0.1)", lines, "order(2)"), "--no-numeric")
    assert code == 1
    assert "refuted: s has order 1; the condition of order 2 for F'(F) is off by 1/2" in shown


def test_an_order_beyond_those_searched_is_open_and_not_refuted(odenet, monkeypatch):
    order_at = Derivation.order_at
    # The order for the constants of the file is replaced; that of the scheme alone is not.
    monkeypatch.setattr(
        Derivation,
        "order_at",
        lambda self, values: Order(HIGHEST_ORDER) if values else order_at(self, {}),
    )
    text = spec("s(h = 0.1)", "Y[n+1] = Y[n] + h F(Y[n])", "order(9)", "order(8)")
    code, shown = odenet("check", text, "--no-numeric")
    assert code == 1 and "order(8): proved" in shown
    assert "order(9): open: s has at least order 8; not searched beyond 8" in shown
