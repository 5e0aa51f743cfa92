"""Gradients of momentum networks by depth; momentumnet is the reference at small depth."""

import pytest
import torch

from bench import momentum

pytestmark = pytest.mark.slow


def test_exact_arithmetic_is_as_good_as_stored_activations_at_any_depth():
    names = ["plain autograd", "odenet", "odenet, exact"]
    plain, rounded, exact = momentum.errors(depth=200, gamma=0.5, names=names)
    assert not rounded < 1  # rounding errors grow by 2^200; the error may also be NaN
    assert exact < 2 * plain < 1e-5


def test_shallow_networks_agree_with_momentumnet():
    pytest.importorskip("momentumnet", reason="pip install '.[bench]' for it")
    torch.manual_seed(0)
    functions, x = momentum.blocks(depth=5), torch.randn(4, momentum.WIDTH)
    builders = (momentum.floating_point, momentum.momentumnet)
    outputs = [build(functions, gamma=0.99)(x) for build in builders]
    torch.testing.assert_close(*outputs)
    gradients = [momentum.gradient(build, functions, gamma=0.99, x=x) for build in builders]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_the_table_has_a_row_for_every_depth(capsys):
    results = momentum.main(["--depths", "2", "3", "--gammas", "0.9"])
    assert list(results) == [(0.9, 2), (0.9, 3)]
    assert "odenet, exact" in capsys.readouterr().out
