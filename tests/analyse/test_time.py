"""Verdicts on equations that read the time t hold at each fixed t; an energy must not read t."""

import numpy as np
import pytest
import torch

import odenet
from odenet.analyse import search_witness
from odenet.emit.printing import as_latex

DECLARATIONS = "state Y\nparam K : dense\nparam b : bias\n"
# equations -> verdict, whether there is an energy
TIME_DEPENDENT = {
    "Y' = -K^T tanh(K Y + t b)": ("real", False),
    "Y' = t (K - K^T) tanh(Y) + b": ("imaginary", False),
    "Y' = t (K - K^T) tanh(Y)": ("imaginary", True),
    "Y' = -t K^T tanh(K Y)": ("real", True),
    "Y' = tanh((K - K^T) Y + t b)": ("imaginary", False),
    "Y' = -K^T tanh(t K Y)": ("real", False),
    "let s = t^2\nY' = -K^T tanh(K Y + s b)": ("real", False),
    "Y' = softplus(t b) * ((K - K^T) tanh(Y))": ("imaginary", False),  # E would divide by the gate
    "Y'' = -K^T(softplus(t b) * (K Y))": ("imaginary", False),  # a spring that stiffens does work
    "Y' = -(softplus(t b) * tanh(Y)) + (K - K^T) tanh(Y)": ("stable", True),  # E = 1ᵀΨ(Y)
}


@pytest.mark.parametrize("text", TIME_DEPENDENT)
def test_the_verdict_is_about_the_jacobian_at_a_fixed_time(text):
    declarations = DECLARATIONS if " b" in text else DECLARATIONS.replace("param b : bias\n", "")
    verdict, has_energy = TIME_DEPENDENT[text]
    certificate = odenet.loads(declarations + text + "\n").certificate
    assert certificate.verdict == verdict
    assert (certificate.energy is not None) == has_energy
    assert "t is fixed: the Jacobian is that at one time" in str(certificate)


def test_the_spectrum_at_every_step_of_a_flow_is_as_proved():
    flow = odenet.loads(DECLARATIONS + "Y' = -K^T tanh(K Y + t b)\ndiscretise euler(h = 0.5)\n")
    flow = flow.flow(4, 6, space=0).double()
    for step in range(6):
        values = flow.spectrum(torch.randn(1, 4, dtype=torch.float64), step).numpy()
        assert np.abs(values.imag).max() < 1e-8 and values.real.max() < 1e-8


def test_no_verdict_assumes_a_negative_time():
    program = odenet.loads(DECLARATIONS.replace("param b : bias\n", "") + "Y' = t K^T tanh(K Y)\n")
    assert program.certificate.verdict == "refuted"


def test_a_learned_number_called_t_is_not_the_time():
    text = DECLARATIONS + "param t : scalar\nY' = -K^T tanh(K Y + t b)\n"
    certificate = odenet.loads(text).certificate
    assert certificate.energy is not None and "fixed" not in str(certificate)


def test_latex_prints_t_and_a_counterexample_is_found_at_some_t():
    text = DECLARATIONS + "Y' = K^T tanh(K Y + t b)\ndiscretise rk4(h = 0.1)\n"
    program = odenet.loads(text)
    assert r"t\,b" in as_latex(program.facts) and "the time" not in as_latex(program.facts)
    assert search_witness(program.model, trials=2) is not None
