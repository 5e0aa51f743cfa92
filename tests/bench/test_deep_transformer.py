"""What a layer costs in a very deep transformer, at a small size."""

import pytest

from bench.deep_transformer import CHECKPOINTS, IN_BACKWARD, PLAIN, REVERSIBLE, Job, measure, table


def test_a_layer_costs_its_weights_and_the_optimizers_state_alone():
    depths = 4, 12
    found = {
        (way, layers): measure(Job(way, layers, width=12, tokens=8, batch=1))
        for way in (PLAIN, CHECKPOINTS, REVERSIBLE, IN_BACKWARD)
        for layers in depths
    }
    less, most = (found[IN_BACKWARD, layers] for layers in depths)
    assert most.peak - less.peak == pytest.approx(
        8 * (most.layer_weights + most.layer_state), rel=0.02
    )
    gradients = found[REVERSIBLE, 12].peak - found[REVERSIBLE, 4].peak - (most.peak - less.peak)
    assert gradients == pytest.approx(8 * most.layer_weights, rel=0.02)
    losses = [found[way, 12].losses for way in (PLAIN, CHECKPOINTS, REVERSIBLE, IN_BACKWARD)]
    assert all(one == pytest.approx(losses[0], rel=1e-5) for one in losses)
    assert losses[2] == losses[3]
    assert f"| {IN_BACKWARD} |" in table(depths, found)
