"""Warnings about names that nothing reads; the shipped specifications have none."""

from pathlib import Path

import pytest

import odenet

ROOT = Path(__file__).parents[3]
SHIPPED = sorted([*(ROOT / "specs").glob("*.ode"), *(ROOT / "bench").rglob("*.ode")])
SPEC = """state x
map f = conv(3) -> σ
let σ = tanh
let k = 2
let w = 2 k
let rate = 0.1
let scale = 3
let unread = 4
let apart = unread
x' = scale f(x)
discretise euler(h = 0.1)
net = input(1, 8, 8) -> conv(3, w) -> flow(1) -> mean -> dense(10)
train { optimizer = sgd(lr = rate) }
"""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_specs_give_no_warnings(path):
    assert odenet.load(path).model.warnings == ()


def test_a_let_counts_as_used_wherever_it_is_read():
    messages = [warning.message for warning in odenet.loads(SPEC).model.warnings]
    assert [message.split("`")[1] for message in messages] == ["unread", "apart"]
