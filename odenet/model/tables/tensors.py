"""The tensors of a parameter or a layer, and how the numeric checks draw them at random.

The rows of the tables also have the function itself for numeric checks, as plain array code such as
`kernel @ x`, `d * x` or `x.mean(0)`. It is called with dual numbers, values with their derivatives
(odenet/analyse/dual_numbers.py), so that the tables import neither numpy nor torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Distribution = Literal["weight", "shift", "gain", "variance"]
Array = Any  # a numpy array
Dual = Any  # odenet.analyse.dual_numbers.DualArray, a feature map and its derivative
Space = tuple[int, ...]  # the sizes of the spatial axes of a feature map


@dataclass(frozen=True)
class Tensor:
    """Shape and random distribution of one tensor, for one step of a flow.

    Args:
        shape: its shape in the generated module.
        distribution: how it is drawn: "weight" is normal, with a scale drawn for each trial,
            "shift" normal, "gain" and "variance" are positive.
        learned: whether it is trained, unlike a running statistic.
    """

    shape: tuple[int, ...]
    distribution: Distribution = "weight"
    learned: bool = True

    @property
    def positive(self) -> bool:
        """Whether its values are above 0."""
        return self.distribution in ("gain", "variance")


Tensors = Mapping[str, Tensor]
