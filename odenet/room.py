"""Refuses what no memory of this machine could hold, before anything is allocated."""

import os
from math import prod

from odenet.compiler import Program
from odenet.diagnostics import Diagnostic, SpecError
from odenet.model.size import flow_size, network_size

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
    _require(program, size.parameters * SINGLE, "parameters", "make it narrower, or less deep")
    values = size.widest * SINGLE * batch
    _require(program, values, f"values in one layer on {batch} samples", "take a smaller batch")


def require_room_for_flow(program: Program, shape: tuple[int, ...], steps: int) -> None:
    """As `require_room`, for the flow alone in double precision.

    Args:
        program: with a `discretise` line.
        shape: of its input, with the samples: (batch, channels, *space).
        steps: how many.
    """
    numbers = flow_size(program.model, shape[1], steps, len(shape) - 2)
    _require(program, numbers * DOUBLE, "parameters even when small", "make it narrower")
    _require(program, prod(shape) * DOUBLE, "values even when small", "make it narrower")


def _require(program: Program, needed: int, what: str, help_: str) -> None:
    memory = physical_memory()
    if memory is not None and needed > memory:
        message = (
            f"this network needs {_size(needed)} of {what}, and this machine has {_size(memory)}"
        )
        raise SpecError([Diagnostic(message, help=help_, file=program.model.source.name)])


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
            return (
                f"{count // unit:,} {name}" if count >= 10 * unit else f"{count / unit:.1f} {name}"
            )
    return f"{count / 10**6:.0f} MB"
