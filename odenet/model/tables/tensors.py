"""The tensors that a parameter or a layer has, and how numeric checks draw them.

Rows also hold the function itself for numeric checks, as plain array code: `kernel @ x`, `d * x`,
`x.mean(0)`. It is handed values with their derivatives (odenet/analyse/dual_numbers.py), so that
neither numpy nor torch is needed to read a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Draw = Literal["weight", "shift", "gain", "variance"]
Array = Any  # a numpy array
Dual = Any  # odenet.analyse.dual_numbers.Jet, a field (channels, cells) with its derivative
Space = tuple[int, ...]  # the sizes of a map's axes


@dataclass(frozen=True)
class Tensor:
    """A tensor of one step.

    Args:
        shape: its shape in the generated module.
        draw: its random values: "weight" is normal at the scale of the trial, "shift" normal,
            "gain" and "variance" are positive.
        learned: whether it is a parameter, not a statistic of the data.
    """

    shape: tuple[int, ...]
    draw: Draw = "weight"
    learned: bool = True

    @property
    def positive(self) -> bool:
        """Whether its values are above 0."""
        return self.draw in ("gain", "variance")


Tensors = Mapping[str, Tensor]
