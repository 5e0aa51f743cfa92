"""Random weights, states and inputs for numerical checks, of sizes that keep each check fast."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import exp, prod
from random import Random

from odenet.model.expressions.numbers import Width
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.tensors import Tensor
from odenet.model.typed.program import Model

MOST_ENTRIES = 16  # of all states together; a Jacobian of this size takes a few milliseconds
MOST_CHANNELS = 64  # numbers of channels up to this are tried until all widths are whole numbers


@dataclass(frozen=True)
class Point:
    """Weights, a state and an input. Feature maps have one spatial axis, and are flat lists.

    Args:
        channels: the number of channels of each state.
        cells: the number of grid points of each channel.
        weights: name of a tensor -> entries; for a norm N the names are `N.weight`, `N.bias`,
            `N.running_mean` and `N.running_var`.
        state: the entries of all states of the first-order system, one state after the other.
        input: the network's input `u`.
        rng: the random number generator, for further draws.
    """

    channels: int
    cells: int
    weights: Mapping[str, list[float]]
    state: list[float]
    input: list[float]
    rng: Random


def draw_point(model: Model, seed: int, nonnegative: Iterable[str] = ()) -> Point:
    """A random point.

    Args:
        model: the typed program.
        seed: for all random numbers; even and odd seeds give different sizes.
        nonnegative: names of parameters that have to be >= 0.
    """
    rng = Random(seed)
    channels, cells = _channels_and_cells(model, seed)
    weights: dict[str, list[float]] = {}
    scale = rng.choice([0.5, 1.0, 2.0])
    for p in model.parameters.values():
        is_nonnegative = p.name in nonnegative or p.options.get("positive") == "positive"
        channels_in, channels_out = channel_counts(p, channels)
        for key, tensor in p.kind.tensors(p.options, channels_in, channels_out, 1).items():
            name = f"{p.name}.{key}" if key else p.name
            weights[name] = _draw_entries(tensor, scale, is_nonnegative, rng)
    state_size = len(model.dynamics.system(order=1)) * channels * cells
    state = [rng.gauss(0, 1) for _ in range(state_size)]
    input_ = [rng.gauss(0, 1) for _ in range(channels * model.dynamics.input_parts * cells)]
    return Point(channels, cells, weights, state, input_, rng)


def channel_count(width: Width | None, channels: int) -> int:
    """The number of channels that a width means, for states of `channels` channels."""
    return int(width.channels(channels)) if width is not None else channels


def channel_counts(p: DeclaredParameter, channels: int) -> tuple[int, int]:
    """The numbers of channels that an operator reads and gives."""
    return channel_count(p.width_in, channels), channel_count(p.width_out, channels)


def _channels_and_cells(model: Model, seed: int) -> tuple[int, int]:
    """Channels and cells: two channels and two cells for even seeds, if possible.

    For odd seeds three cells, or else more channels, unless the system gets too large.
    """
    states = len(model.dynamics.system(order=1))
    has_convolution = any(p.kind.mixes_places for p in model.parameters.values())
    valid_counts = (c for c in range(1, MOST_CHANNELS + 1) if _has_whole_widths(model, c))
    smallest = list(islice(valid_counts, 3)) or [1]
    few = next((c for c in smallest if c > 1), smallest[0])
    if seed % 2 == 0:
        return few, 2 if has_convolution and 2 * few * states <= MOST_ENTRIES else 1
    if has_convolution and 3 * smallest[0] * states <= MOST_ENTRIES:
        return smallest[0], 3
    more = next((c for c in smallest if c > few), few)
    return (more if more * states <= MOST_ENTRIES else few), 1


def _has_whole_widths(model: Model, channels: int) -> bool:
    """Whether all widths are whole numbers, and divisible by the groups of convolutions."""
    parameters = model.parameters.values()
    widths = [(w, p.groups) for p in parameters for w in (p.width_in, p.width_out) if w]
    counts = ((w.channels(channels), groups) for w, groups in widths)
    return all(count >= 1 and count % groups == 0 for count, groups in counts)


def _draw_entries(tensor: Tensor, scale: float, is_nonnegative: bool, rng: Random) -> list[float]:
    """Random entries of a tensor; gains and weights have any sign unless they have to be >= 0."""
    entries = [rng.gauss(0, 1) for _ in range(prod(tensor.shape))]
    if tensor.distribution == "variance" or (tensor.distribution == "gain" and is_nonnegative):
        return [exp(x) for x in entries]
    if tensor.distribution == "weight":
        return [scale * (abs(x) if is_nonnegative else x) for x in entries]
    return entries
