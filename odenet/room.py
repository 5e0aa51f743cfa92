"""Refuses what no memory of this machine could hold, before anything is allocated."""

import os
from math import prod

from odenet.compiler import Program
from odenet.diagnostics import Span, SpecError
from odenet.model.typed.network_size import flow_size, network_size

SINGLE, DOUBLE = 4, 8  # bytes of a number


def require_room(program: Program, batch: int) -> None:
    """Refuse a network whose weights, or one layer's values, are more than the whole memory.

    Args:
        program: with a `net`.
        batch: samples that go through it at once.

    Raises:
        SpecError: says how much it needs.
    """
    size = network_size(program.model)
    parameters, values = size.parameters * SINGLE, size.values * SINGLE * batch
    _require(parameters, "parameters", "make it narrower, or less deep", size.heaviest.span)
    samples = f"{batch} samples" if batch > 1 else "one sample"
    _require(values, f"values for {samples} in this layer", "make it smaller", size.widest.span)


def require_room_for_flow(program: Program, shape: tuple[int, ...], steps: int) -> None:
    """As `require_room`, for the flow alone in double precision.

    Args:
        program: with a `discretise` line.
        shape: of its input, with the samples: (batch, channels, *space).
        steps: how many.
    """
    numbers = flow_size(program.model, shape[1], steps, len(shape) - 2)
    place = program.model.discretisation.span
    _require(numbers * DOUBLE, "parameters even when small", "make it narrower", place)
    _require(prod(shape) * DOUBLE, "values even when small", "make it narrower", place)


def _require(needed: int, what: str, help_: str, place: Span | None) -> None:
    memory = physical_memory()
    if memory is not None and needed > memory:
        message = (
            f"this network needs {_size(needed)} of {what}, and this machine has {_size(memory)}"
        )
        raise SpecError.of("no-memory", message, place, help_)


def physical_memory() -> int | None:
    """Bytes of memory that the machine has; None where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _size(count: int) -> str:
    """Bytes as people write them, of any size."""
    for unit, name in ((10**18, "EB"), (10**15, "PB"), (10**12, "TB"), (10**9, "GB")):
        if count >= unit:
            return f"{round(count / unit):,} {name}"
    return f"{count / 10**6:.0f} MB"
