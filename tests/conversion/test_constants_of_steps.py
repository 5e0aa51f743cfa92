"""Programs whose constants differ from step to step are not taken for one number."""

import pytest
from torch import nn

import odenet


@pytest.mark.parametrize("γ", ["[0.5, 0.6]", "learned(0.9)"])
def test_a_program_with_constants_for_each_step_is_refused(γ: str):
    program = odenet.loads(
        f"state Y\nparam b : bias\nY' = tanh(Y + b)\ndiscretise momentum(γ = {γ})\n"
    )
    with pytest.raises(ValueError, match="differs from step to step"):
        odenet.reversible([nn.Identity(), nn.Identity()], program)
