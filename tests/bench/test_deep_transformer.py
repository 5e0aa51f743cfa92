"""What a layer costs in a very deep transformer: peaks at two depths, at a small size."""

import pytest

from bench.deep_transformer import CHECKPOINTS, IN_BACKWARD, PLAIN, REVERSIBLE, Job, measure, table


def test_a_layer_costs_its_weights_and_the_optimizers_state_alone():
    depths = 4, 12
    runs = {
        (way, layers): measure(Job(way, layers, width=12, tokens=8, batch=1))
        for way in (PLAIN, CHECKPOINTS, REVERSIBLE, IN_BACKWARD)
        for layers in depths
    }
    shallow, deep = (runs[IN_BACKWARD, layers] for layers in depths)
    growth = deep.peak - shallow.peak
    assert growth == pytest.approx(8 * (deep.layer_weights + deep.layer_state), rel=0.02)
    gradients = runs[REVERSIBLE, 12].peak - runs[REVERSIBLE, 4].peak - growth
    assert gradients == pytest.approx(8 * deep.layer_weights, rel=0.02)
    losses = [runs[way, 12].losses for way in (PLAIN, CHECKPOINTS, REVERSIBLE, IN_BACKWARD)]
    assert all(loss == pytest.approx(losses[0], rel=1e-5) for loss in losses)
    assert losses[2] == losses[3]
    assert f"| {IN_BACKWARD} |" in table(depths, runs)
