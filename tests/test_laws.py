"""The laws that `odenet check` measures: they hold of what is right, and not of what is wrong."""

import pytest

import odenet
from odenet import laws
from odenet.runtime import Flow

HAMILTONIAN = """state Y, Z
param K1, K2 : {operator}
Y' = K1^T tanh(K1 Z)
Z' = -K2^T tanh(K2 Y)
discretise yoshida4(h = 0.1)
net = input({shape}) -> flow(2) -> mean
"""
DROPOUT = """state x
map f = gn(2) -> relu -> dropout(0.3) -> conv(3)
x' = f(x)
discretise momentum(γ = 0.8)
"""


def measured(text):
    return {law.name: law for law in laws.measure(odenet.loads(text))}


@pytest.mark.parametrize(
    ("operator", "shape"),
    [("conv(3)", "4, 9"), ("conv(3, groups = 2)", "8, 6, 6"), ("depthwise(3)", "4, 4, 4, 4")],
)
def test_all_laws_hold_of_a_proved_system_in_any_dimension(operator, shape):
    found = measured(HAMILTONIAN.format(operator=operator, shape=shape))
    assert list(found) == ["adjoints", "round trip", "gradient", "energy", "spectrum"]
    assert all(law.holds for law in found.values())
    assert found["energy"].measured == pytest.approx(4, abs=0.5)


def test_both_gradients_are_taken_with_the_same_dropout():
    assert measured(DROPOUT)["gradient"].measured < 1e-12


def test_an_inverse_that_is_slightly_wrong_is_found(monkeypatch):
    right = Flow.inverse
    monkeypatch.setattr(
        Flow, "inverse", lambda self, end: [x * (1 + 1e-9) for x in right(self, end)]
    )
    assert not measured(DROPOUT)["round trip"].holds
