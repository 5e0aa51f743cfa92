"""Gradients of weights are kept without a copy unless their memory is shared."""

import pytest
import torch

from odenet.runtime.passes.flow_weights import Address, WeightPart
from odenet.runtime.passes.gradient_sums import GradientSums, storages


def test_what_is_made_in_the_place_of_a_freed_tensor_is_not_copied():
    cotangent = torch.ones(4)
    sums = GradientSums([torch.zeros(4)], [cotangent])
    del cotangent
    for gradient in [torch.ones(4) for _ in range(100)]:  # one of them has its address
        sums.add(Address(0, None), gradient)
        assert sums.take(WeightPart(0, None)) is gradient


@pytest.mark.parametrize("sharing", ["tensor", "cotangent", "other", "part", "twice"])
def test_what_shares_its_memory_is_copied(sharing):
    weight, cotangent, other = torch.zeros(4), torch.ones(4), torch.ones(4)
    sums = GradientSums([weight, torch.zeros(4)], [cotangent])
    gradient = {
        "tensor": weight, "cotangent": cotangent, "other": other, "part": torch.ones(8)[:4],
        "twice": torch.ones(4),
    }[sharing]  # fmt: skip
    if sharing == "twice":
        sums.add(Address(1, None), gradient)
    sums.add(Address(0, None), gradient, storages([other]))
    result = sums.take(WeightPart(0, None))
    assert torch.equal(result, gradient) and result.data_ptr() != gradient.data_ptr()
