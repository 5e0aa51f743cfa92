"""Exponentials of numbers in schemes: derived facts against numbers, and the step against torch."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
import torch

import odenet
from odenet.derive import derive
from odenet.derive.coefficients import CoefficientField
from tests.derive.numeric import Network, constant_values, read_scheme, step, step_back, step_matrix

LAWSON_MIDPOINT = """scheme lawson_midpoint {
    for Y' = F(Y) - γ Y
    start Y[-1] = 0
    Y[n+1] = exp(-2 γ h) Y[n-1] + 2 h exp(-γ h) F(Y[n])
}"""


def scheme_text(*lines):
    body = "\n".join(f"    {line}" for line in lines)
    return f"scheme s(a = 1/2, b = 1/3) {{\n    for Y' = F(Y)\n{body}\n}}"


def read_number(text):
    """A number of a scheme, as an element of the field that its coefficients are in."""
    scheme = read_scheme(scheme_text(f"Y[n+1] = Y[n] + h F(Y[n]) + ({text}) Y[n]"))
    _, _, (_, last_term) = scheme.updates[0].value.terms
    return CoefficientField(scheme, expand_lets=True).read(last_term.left)


@pytest.mark.parametrize(
    "zero",
    ["exp(-a h) exp(a h) - 1", "exp(-a h/2) exp(-a h/2) - exp(-a h)",
     "exp(a h + b) - exp(a h) exp(b)", "(exp(a h/2))^2 - exp(a h)", "exp(0) - 1",
     "exp(a h/(1 + h)) exp(-a h/(1 + h)) - 1", "exp(1/2) exp(1/2) - exp(1)",
     "exp((a + b) h) - exp(h b) exp(h a)"],
)  # fmt: skip
def test_a_number_that_is_zero_is_known_to_be_zero(zero):
    assert read_number(zero) == 0


@pytest.mark.parametrize("number", ["exp(a h) - exp(b h)", "exp(a h) - 1 - a h", "exp(1) - 1"])
def test_a_number_that_is_not_zero_is_not_taken_for_zero(number):
    assert read_number(number) != 0


def test_the_inverse_is_symbolic_and_undoes_the_step():
    scheme = read_scheme(LAWSON_MIDPOINT)
    derivation = derive(scheme)
    assert derivation.symmetric and derivation.conditions == ()
    g, h = sympy.symbols("gamma h")
    assert derivation.volume == sympy.exp(-2 * g * h)
    network = Network(scheme)
    state, numbers = network.state(scheme), constant_values(scheme, 0.3)
    after = step(scheme, state, network.rates(), numbers)
    back = step_back(derivation, after, network.rates(), numbers)
    for slot, value in state.items():
        np.testing.assert_allclose(back[slot], value, rtol=1e-13)


def test_a_division_that_can_fail_is_a_condition():
    line = "Y[n+1] = (1 - exp(a h)) Y[n-1] + 2 h F(Y[n])"
    scheme = read_scheme(scheme_text("start Y[-1] = 0", line))
    assert [str(c) for c in derive(scheme).conditions] == ["exp(a*h) - 1"]


@pytest.mark.parametrize("γ", [Fraction(1, 2), Fraction(7, 3)])
def test_the_stability_limits_are_those_of_the_step_matrix(γ):
    scheme = read_scheme(LAWSON_MIDPOINT)
    h = 0.25
    found = derive(scheme).stability_at({"gamma": γ, "h": Fraction(1, 4)})
    for axis, direction in ((found.imaginary_axis, 1j), (found.real_axis, -1)):
        for factor, stable in ((0.999, True), (1.001, False)):
            rates = {"F": (direction * axis.limit * factor / h,)}
            roots = np.linalg.eigvals(step_matrix(scheme, rates, h, gamma=float(γ)))
            assert (max(abs(roots)) <= 1 + 1e-9) == stable
    w = float(γ) * h
    assert found.imaginary_axis.limit == pytest.approx(np.cosh(w))
    assert found.real_axis.limit == pytest.approx(np.sinh(w))


def test_an_essential_singularity_has_no_order():
    order = derive(read_scheme(scheme_text("Y[n+1] = Y[n] + h exp(-a/h) F(Y[n])"))).accuracy
    assert order.value is None and "grows beyond all powers" in order.reason


def test_an_exponential_in_a_factor_tends_to_one_with_h():
    order = derive(read_scheme(scheme_text("Y[n+1] = Y[n] + h (1 + exp(-a h)) F(Y[n])"))).accuracy
    assert (order.value, order.solved_equations) == (0, "Y' = 2 F(Y), to order 1")


def test_the_module_steps_as_plain_torch_does():
    spec = f"""state Y
    param K : dense
    Y' = tanh(K Y) - 2 Y
    discretise lawson_midpoint(h = 0.125)
    {LAWSON_MIDPOINT}"""
    torch.manual_seed(0)
    flow = odenet.loads(spec).flow(3, 5, space=0).double()
    flow.memory = "reversible"
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    y = flow(x)
    y.square().sum().backward()
    K, u = flow.K.detach().clone().requires_grad_(), x.detach().clone().requires_grad_()
    E, old, new = torch.exp(torch.tensor(-0.25, dtype=torch.float64)), torch.zeros_like(u), u
    # E = exp(-γ h) with γ = 2 and h = 1/8
    for k in K:
        old, new = new, E**2 * old + 0.25 * E * torch.tanh(new @ k.T)
    new.square().sum().backward()
    torch.testing.assert_close(y, new, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(x.grad, u.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(flow.K.grad, K.grad, rtol=1e-10, atol=1e-12)
