"""A counterexample to a statement about the spectrum, with all that is needed to reproduce it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray
from odenet.counted import counted


@dataclass(frozen=True, kw_only=True)
class Witness:
    """Weights and a state at which an eigenvalue of the Jacobian contradicts a statement.

    Args:
        eigenvalue: the eigenvalue.
        seed: the seed of the search.
        trial: the number of the random start from which it was found, from 0.
        channels: channels of each state.
        space: length of each spatial axis; empty for plain vectors.
        weights: canonical parameter name -> tensor of one step. Layers of maps and norms carry
            the names of torch's state dictionaries: `f.0.weight`, `N1.running_var`.
        state: name of the unknown -> tensor (channels, *space); `Y'` is the derivative of Y.
        input: the flow's input `u`, (channels, *space).
    """

    eigenvalue: complex
    seed: int
    trial: int
    channels: int
    space: tuple[int, ...]
    weights: Mapping[str, "ndarray"] = field(repr=False, compare=False)
    state: Mapping[str, "ndarray"] = field(repr=False, compare=False)
    input: "ndarray" = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"eigenvalue {complex_text(self.eigenvalue)} at seed {self.seed}"

    @property
    def size_text(self) -> str:
        """`2 channels on a 3 x 3 grid`."""
        channels = counted(self.channels, "channel")
        grid = " x ".join(map(str, self.space))
        return f"{channels} on a {grid} grid" if grid else channels

    def lines(self) -> Iterator[str]:
        """The eigenvalue that was found, and the call that finds it again."""
        eigenvalue = complex_text(self.eigenvalue)
        yield f"eigenvalue {eigenvalue} of the Jacobian, {self.size_text} per state"
        call = f"search_witness(model, trials={self.trial + 1}, seed={self.seed})"
        yield f"reproduced by odenet.analyse.{call}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "eigenvalue": [self.eigenvalue.real, self.eigenvalue.imag],
            "seed": self.seed,
            "trial": self.trial,
            "channels": self.channels,
            "space": list(self.space),
            "weights": {name: tensor.tolist() for name, tensor in self.weights.items()},
            "state": {name: tensor.tolist() for name, tensor in self.state.items()},
            "input": self.input.tolist(),
        }


def complex_text(value: complex) -> str:
    """`0.83 + 0i`."""
    sign = "-" if value.imag < 0 else "+"
    return f"{value.real:.3g} {sign} {abs(value.imag):.3g}i"
