"""What a layer costs in a very deep transformer: peaks at two depths, at a small size."""

import pytest

from bench.deep_transformer import IN_BACKWARD, METHODS, PLAIN, REVERSIBLE, Job, measure, table


def test_a_layer_costs_its_weights_and_the_optimizers_state_alone():
    depths = 4, 12
    more_layers = 12 - 4
    runs = {
        (method, layers): measure(Job(method, layers, width=12, tokens=8, batch=1))
        for method in METHODS
        for layers in depths
    }
    shallow, deep = (runs[IN_BACKWARD, layers] for layers in depths)
    growth = deep.peak - shallow.peak
    assert growth == pytest.approx(more_layers * (deep.layer_weights + deep.layer_state), rel=0.02)
    gradients = runs[REVERSIBLE, 12].peak - runs[REVERSIBLE, 4].peak - growth
    assert gradients == pytest.approx(more_layers * deep.layer_weights, rel=0.02)
    losses = {method: runs[method, 12].losses for method in METHODS}
    assert all(loss == pytest.approx(losses[PLAIN], rel=1e-5) for loss in losses.values())
    assert losses[REVERSIBLE] == losses[IN_BACKWARD]
    assert f"| {IN_BACKWARD} |" in table(depths, runs)
