"""A user's own schemes over modules: as file, text or program, with constants by keyword."""

import copy
import pickle

import pytest
import torch
from torch import nn

import odenet
from odenet.diagnostics import SpecError
from odenet.testing import assert_gradients, assert_invertible

DAMPED = """
scheme damped(a, b = 1) {             # midpoint(a): arXiv 2512.02056
    for Y' = F(Y)
    start Y[-1] = Y[0]
    Y[n+1] = (1 - a) Y[n] + a Y[n-1] + b h F(Y[n])
}
"""
KICKS = """
scheme kicks(γ = 1) {
    for Y' = F(Z), Z' = G(Y)
    Z1     = Z[n] + γ h/2 G(Y[n])
    Y[n+1] = Y[n] + h F(Z1)
    Z[n+1] = Z1 + γ h/2 G(Y[n+1])
}
"""


def blocks(count=4, width=3):
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(width, width), nn.Tanh()).double() for _ in range(count)]


def scheme_source(kind, tmp_path):
    """The scheme `damped` in one of the forms that `reversible` takes.

    The kinds "file" and "path" are the path of a file, as a str or a Path; "program" and "spec" are a
    whole spec that uses the scheme, compiled or as the path of its file.
    """
    if kind == "text":
        return DAMPED
    if kind in ("file", "path"):
        path = tmp_path / "mine.ode"
        path.write_text(DAMPED)
        return path if kind == "path" else str(path)
    text = "state Y\nY' = tanh(Y)\ndiscretise damped(h = 0.25, a = 0.5)\n" + DAMPED
    if kind == "program":
        return odenet.loads(text)
    path = tmp_path / "spec.ode"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["text", "file", "path", "program", "spec"])
def test_a_scheme_is_given_in_any_way_and_its_constants_by_keyword(kind, tmp_path):
    f, x = blocks(), torch.randn(2, 3, dtype=torch.float64)
    flow = odenet.reversible(f, scheme_source(kind, tmp_path), a=0.75, h=0.5, v0=0)
    previous, y = x, x
    for block in f:
        previous, y = y, 0.25 * y + 0.75 * previous + 0.5 * block(y)
    torch.testing.assert_close(flow(x), y, rtol=1e-12, atol=1e-12)
    assert_invertible(flow.eval(), x, tolerance=1e-9)
    assert_gradients(flow, x, tolerance=1e-9)


def test_keywords_replace_the_constants_of_a_program(tmp_path):
    f, x = blocks(), torch.randn(2, 3, dtype=torch.float64)
    program = scheme_source("program", tmp_path)
    flow = odenet.reversible(f, program)
    assert torch.equal(flow(x), odenet.reversible(f, DAMPED, a=0.5, h=0.25)(x))
    assert flow.h == 0.25 and odenet.reversible(f, program, T=2).h == 0.5
    assert torch.equal(odenet.reversible(f, program, b=2)(x),
                       odenet.reversible(f, DAMPED, a=0.5, b=2, h=0.25)(x))  # fmt: skip


def test_pairs_take_a_scheme_of_two_equations_and_greek_letters():
    f = list(zip(blocks(4, 2), blocks(4, 2)[::-1], strict=True))
    x = torch.randn(2, 4, dtype=torch.float64)
    flow = odenet.reversible(f, KICKS, h=0.5, **{"γ": 0.5})
    assert torch.equal(flow(x), odenet.reversible(f, KICKS, h=0.5, gamma=0.5)(x))
    assert_gradients(flow, x, tolerance=1e-10)
    assert torch.equal(pickle.loads(pickle.dumps(flow))(x), flow(x))


def test_a_network_is_converted_by_a_scheme_of_the_user():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    x = torch.randn(2, 5, 8)
    converted = odenet.convert(copy.deepcopy(model), scheme=DAMPED, a=0.5, v0=0)
    previous, y = x, x
    for block in model.layers:
        previous, y = y, 0.5 * y + 0.5 * previous + (block(y) - y)
    torch.testing.assert_close(converted(x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", ["reversible_heun", "coupled_heun", "coupled_rk4"])
def test_schemes_that_keep_a_copy_of_the_state_start_both_from_the_input(scheme):
    f, x = blocks(1), torch.randn(2, 3, dtype=torch.float64)
    flow = odenet.reversible(f, scheme, h=1e-3)  # so short a step is one of Euler's, up to h²
    torch.testing.assert_close(flow(x), x + 1e-3 * f[0](x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=f"{scheme} has no initial speed"):
        odenet.reversible(f, scheme, v0=0)


REFUSED = {  # scheme, constants, message
    "unknown constant": (DAMPED, {"a": 1, "c": 2}, "damped has no constant c: it takes a, b, h, T"),
    "missing constant": (DAMPED, {}, "damped needs a value for a: say a=…"),
    "constant given twice": (
        DAMPED.replace("b", "γ"), {"a": 1, "γ": 1, "gamma": 1}, "constant gamma of damped is given",
    ),
    "single modules for pairs": (KICKS, {}, r"kicks takes a pair of modules \(f, g\) per step"),
    "unknown name": ("mine", {}, "there is no scheme 'mine'; known: .*or give a file"),
    "spec without a scheme": ("state Y\nY' = tanh(Y)\n", {}, "scheme.ode has no scheme, and one is wanted"),
    "two schemes": (DAMPED + KICKS, {}, "scheme.ode has the schemes damped, kicks, and one"),
    "function of several unknowns": (
        "scheme s {\nfor Y' = F(Y, Z), Z' = G(Y)\nY[n+1] = Y[n] + h F(Y[n], Z[n])\n"
        "Z[n+1] = Z[n] + h G(Y[n+1])\n}", {}, "s takes no module: F reads several unknowns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_scheme_or_constants_that_do_not_fit_are_refused(case):
    scheme, constants, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        odenet.reversible(blocks(), scheme, **constants)


@pytest.mark.parametrize(
    ("text", "message"),
    [("scheme s {\nfor Y' = F(Y)\nY[n+1] = Y[n] + G(Y[n])\n}", "scheme.ode:3"),
     ("scheme euler {\nfor Y' = F(Y)\nY[n+1] = Y[n] + h F(Y[n])\n}", "ships with odenet"),
     ("scheme s {\nfor Y' = F(Y)\n", "scheme.ode:")],
)  # fmt: skip
def test_an_error_in_the_text_of_a_scheme_is_shown_with_its_place(text, message):
    with pytest.raises(SpecError, match=message):
        odenet.reversible(blocks(), text)


def test_a_missing_file_is_named():
    with pytest.raises(SpecError, match=r"nowhere\.ode"):
        odenet.reversible(blocks(), "nowhere.ode")


COUPLED = "state Y\nparam b : bias\nY' = tanh(Y + b)\ndiscretise coupled(heun)(h = 0.5, λ = 0.9)\n"


@pytest.mark.parametrize(
    "scheme, constants",
    [
        ("coupled(heun)", {"h": 0.5, "λ": 0.9}),
        ("scheme mine(λ = 0.9) = coupled(heun)\n", {"h": 0.5}),
        (COUPLED, {}),
        (odenet.loads(COUPLED), {}),
    ],
    ids=["expression", "scheme", "spec", "program"],
)
def test_a_coupled_scheme_may_be_given_in_any_form(scheme, constants):
    """`coupled(heun)` is the scheme that ships as `coupled_heun`."""
    x = torch.randn(2, 3, dtype=torch.float64)
    expected = odenet.reversible(blocks(), "coupled_heun", h=0.5, λ=0.9)(x)
    torch.testing.assert_close(odenet.reversible(blocks(), scheme, **constants)(x), expected)


def test_a_scheme_over_modules_may_read_the_step_number():
    text = """scheme friction {
    for Y' = F(Y)
    aux V
    start V[0] = 0
    V[n+1] = (n + 1)/(n + 4) V[n] + h F(Y[n])
    Y[n+1] = Y[n] + h V[n+1]
}"""
    flow = odenet.reversible(blocks(), text, h=0.5)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    Y, V = x, torch.zeros_like(x)
    for n, block in enumerate(blocks()):
        V = (n + 1) / (n + 4) * V + 0.5 * block(Y)
        Y = Y + 0.5 * V
    torch.testing.assert_close(flow(x), Y, rtol=1e-12, atol=1e-12)
    actual, expected = (torch.autograd.grad((out**3).sum(), x) for out in (flow(x), Y))
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
