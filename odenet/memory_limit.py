"""Refusal of networks that exceed the memory of this machine, before anything is allocated."""

import os
from math import prod

from odenet.compiler import Program
from odenet.diagnostics import Span, SpecError
from odenet.model.typed.network_size import flow_parameter_count, network_size

FLOAT32, FLOAT64 = 4, 8  # bytes of a number


def require_memory(program: Program, batch: int) -> None:
    """Refuse a network whose weights, or one layer's activations, exceed the physical memory.

    Args:
        program: a program with a `net`.
        batch: samples per batch.

    Raises:
        SpecError: if they do; says how much memory they need.
    """
    size = network_size(program.model)
    weights, activations = size.parameters * FLOAT32, size.widest_values * FLOAT32 * batch
    _require(weights, "parameters", "make it narrower, or less deep", size.heaviest.span)
    samples = f"{batch} samples" if batch > 1 else "one sample"
    contents = f"values for {samples} in this layer"
    _require(activations, contents, "make it smaller", size.widest.span)


def require_memory_for_flow(program: Program, shape: tuple[int, ...], steps: int) -> None:
    """The same as `require_memory` for a flow without its network, in double precision.

    It is for the small flow on which `odenet check` measures laws.

    Args:
        program: a program with a `discretise` line.
        shape: the shape of the flow's input: (batch, channels, *space).
        steps: number of steps.
    """
    parameters = flow_parameter_count(program.model, shape[1], steps, len(shape) - 2)
    span = program.model.discretisation.span
    _require(parameters * FLOAT64, "parameters even when small", "make it narrower", span)
    _require(prod(shape) * FLOAT64, "values even when small", "make it narrower", span)


def _require(size: int, contents: str, help_: str, span: Span | None) -> None:
    """Refuse what needs more bytes than the machine has; `contents` says what the bytes hold."""
    memory = physical_memory()
    if memory is not None and size > memory:
        needed, present = _format_bytes(size), _format_bytes(memory)
        message = f"this network needs {needed} of {contents}, and this machine has {present}"
        raise SpecError.of("no-memory", message, span, help_)


def physical_memory() -> int | None:
    """Bytes of memory of the machine; None where the operating system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _format_bytes(count: int) -> str:
    """A number of bytes with a unit, from MB to EB."""
    for unit, name in ((10**18, "EB"), (10**15, "PB"), (10**12, "TB"), (10**9, "GB")):
        if count >= unit:
            return f"{round(count / unit):,} {name}"
    return f"{count / 10**6:.0f} MB"
