"""Random weights, states and inputs, small enough for every check to be fast."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import exp, prod
from random import Random

from odenet.model.expressions.numbers import Width
from odenet.model.tables.tensors import Tensor
from odenet.model.typed.program import Model

MOST_UNKNOWNS = 16  # a Jacobian of this size takes a few milliseconds
MOST_CHANNELS = 64


@dataclass(frozen=True)
class Point:
    """Weights, a state and an input at one size. Maps have one axis; fields are flat lists.

    Args:
        channels: of each state.
        cells: points of the map.
        weights: canonical name -> entries; `N.weight`, `N.bias`, `N.running_mean` and
            `N.running_var` for a norm N.
        state: all unknowns of the first-order system, one after the other.
        input: `u`.
        rng: the generator, for further draws.
    """

    channels: int
    cells: int
    weights: Mapping[str, list[float]]
    state: list[float]
    input: list[float]
    rng: Random


def draw(model: Model, seed: int, positive: Iterable[str] = ()) -> Point:
    """A random point.

    Args:
        model: the typed program.
        seed: of all random numbers; even and odd seeds give different sizes.
        positive: parameters that are taken to be >= 0, by canonical name.
    """
    rng = Random(seed)
    channels, cells = _size(model, seed)
    weights: dict[str, list[float]] = {}
    scale = rng.choice([0.5, 1.0, 2.0])
    for p in model.parameters.values():
        taken = p.name in positive or p.options.get("positive") == "positive"
        reads, gives = count(p.width_in, channels), count(p.width_out, channels)
        for key, tensor in p.kind.tensors(p.options, reads, gives, 1).items():
            name = f"{p.name}.{key}" if key else p.name
            weights[name] = _drawn(tensor, scale, taken, rng)
    unknowns = len(model.dynamics.system(1)) * channels * cells
    state = [rng.gauss(0, 1) for _ in range(unknowns)]
    input_ = [rng.gauss(0, 1) for _ in range(channels * model.dynamics.input_parts * cells)]
    return Point(channels, cells, weights, state, input_, rng)


def count(width: Width | None, channels: int) -> int:
    """A width as a number, for states of `channels` channels."""
    return int(width.channels(channels)) if width is not None else channels


def _size(model: Model, seed: int) -> tuple[int, int]:
    """Channels and cells: two channels on two cells, or three where that is small enough."""
    states = len(model.dynamics.system(1))
    convolved = any(p.kind.mixes_places for p in model.parameters.values())
    whole = (c for c in range(1, MOST_CHANNELS + 1) if _whole(model, c))
    fitting = list(islice(whole, 3)) or [1]
    least = next((c for c in fitting if c > 1), fitting[0])
    if seed % 2 == 0:
        return least, 2 if convolved and 2 * least * states <= MOST_UNKNOWNS else 1
    if convolved and 3 * fitting[0] * states <= MOST_UNKNOWNS:
        return fitting[0], 3
    larger = next((c for c in fitting if c > least), least)
    return (larger if larger * states <= MOST_UNKNOWNS else least), 1


def _whole(model: Model, channels: int) -> bool:
    """Whether all widths are whole, and divisible by their groups."""
    parameters = model.parameters.values()
    widths = [(w, p.groups) for p in parameters for w in (p.width_in, p.width_out) if w]
    return all(
        w.channels(channels) >= 1 and w.channels(channels) % groups == 0 for w, groups in widths
    )


def _drawn(tensor: Tensor, scale: float, positive: bool, rng: Random) -> list[float]:
    """Entries; gains and weights are of either sign where nobody takes them to be >= 0."""
    entries = [rng.gauss(0, 1) for _ in range(prod(tensor.shape))]
    if tensor.distribution == "variance" or (tensor.distribution == "gain" and positive):
        return [exp(x) for x in entries]
    if tensor.distribution == "weight":
        return [scale * (abs(x) if positive else x) for x in entries]
    return entries
