"""The first gradient of a weight becomes its sum uncopied, unless its memory is used elsewhere.

`Address(0, None)` and `WeightPart(0, None)` are the whole of the first weight.
"""

import pytest
import torch

from odenet.runtime.passes.flow_weights import Address, WeightPart
from odenet.runtime.passes.gradient_sums import GradientSums, storages


def test_a_gradient_at_the_address_of_a_freed_cotangent_is_not_copied():
    cotangent = torch.ones(4)
    sums = GradientSums([torch.zeros(4)], [cotangent])
    del cotangent
    for gradient in [torch.ones(4) for _ in range(100)]:  # one of them gets its address
        sums.add(Address(0, None), gradient)
        assert sums.take(WeightPart(0, None)) is gradient


@pytest.mark.parametrize(
    "sharing",
    [
        "with the weight",
        "with a cotangent",
        "with another tensor",
        "with a larger tensor",
        "with another gradient",
    ],
)
def test_a_gradient_that_shares_its_memory_is_copied(sharing):
    weight, cotangent, other = torch.zeros(4), torch.ones(4), torch.ones(4)
    sums = GradientSums([weight, torch.zeros(4)], [cotangent])
    gradient = {
        "with the weight": weight, "with a cotangent": cotangent, "with another tensor": other,
        "with a larger tensor": torch.ones(8)[:4], "with another gradient": torch.ones(4),
    }[sharing]  # fmt: skip
    if sharing == "with another gradient":
        sums.add(Address(1, None), gradient)
    sums.add(Address(0, None), gradient, storages([other]))
    result = sums.take(WeightPart(0, None))
    assert torch.equal(result, gradient) and result.data_ptr() != gradient.data_ptr()
