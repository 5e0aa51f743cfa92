"""Weights, states and inputs drawn at random, at sizes at which everything is quick."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import exp
from random import Random

from odenet.model.numbers import Width
from odenet.model.parameters import CONVOLUTIONS, Learned
from odenet.model.program import Model

MOST_UNKNOWNS = 16  # a Jacobian of this size takes a few milliseconds
MOST_CHANNELS = 64
POSITIVE = ("weight", "running_var")  # of a norm


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
        rng: for whatever else is needed.
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
        if p.is_module:
            weights |= _norm(p, channels, rng, p.name in positive or _is_positive(p))
        else:
            entries = [rng.gauss(0, scale) for _ in range(_entries(p, channels))]
            weights[p.name] = [abs(x) for x in entries] if p.name in positive else entries
    unknowns = len(model.dynamics.system(1)) * channels * cells
    state = [rng.gauss(0, 1) for _ in range(unknowns)]
    input_ = [rng.gauss(0, 1) for _ in range(channels * model.dynamics.parts * cells)]
    return Point(channels, cells, weights, state, input_, rng)


def count(width: Width | None, channels: int) -> int:
    """Channels where a state has some."""
    return int(width.at(channels)) if width is not None else channels


def _is_positive(p: Learned) -> bool:
    return p.options.get("positive") == "positive"


def _size(model: Model, seed: int) -> tuple[int, int]:
    """Channels and cells: two channels on two cells, or three where that is small enough."""
    states = len(model.dynamics.system(1))
    convolved = any(p.type in CONVOLUTIONS for p in model.parameters.values())
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
    """Whether all widths and groups come out whole."""
    for p in model.parameters.values():
        for width in (p.width_in, p.width_out):
            if width is None:
                continue
            value = width.at(channels)
            if value < 1 or value.denominator != 1 or value % p.groups:
                return False
    return True


def _entries(p: Learned, channels: int) -> int:
    """How many numbers a parameter has, kernels on one axis."""
    out, inner = count(p.width_out, channels), count(p.width_in, channels)
    taps = int(p.options.get("k", 1))
    match p.type:
        case "scalar":
            return 1
        case "bias" | "diag":
            return inner
        case "depthwise":
            return inner * taps
    return out * (inner // p.groups) * taps


def _norm(p: Learned, channels: int, rng: Random, positive: bool) -> dict[str, list[float]]:
    """Stored statistics and gains; a gain that nobody took to be >= 0 is of either sign."""
    width = count(p.width_in, channels)
    found = {
        f"{p.name}.{key}": [rng.gauss(0, 1) for _ in range(width)]
        for key in ("weight", "bias", "running_mean", "running_var")
    }
    for key in POSITIVE[0 if positive else 1 :]:
        found[f"{p.name}.{key}"] = [exp(x) for x in found[f"{p.name}.{key}"]]
    return found
