"""Assertions for tests: laws that a flow and its operators obey.

Needs the ``test`` extra for hypothesis.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from odenet.extras import require
from odenet.measures import LinearMap, adjoint_gap, output_and_gradients, relative_error
from odenet.runtime import Flow

require("test", "odenet.testing")
from hypothesis import strategies as st  # noqa: E402


@st.composite
def maps(
    draw: st.DrawFn,
    channels: int | st.SearchStrategy[int],
    space: int = 2,
    *,
    batch: st.SearchStrategy[int] | None = None,
    size: st.SearchStrategy[int] | None = None,
) -> Tensor:
    """Feature maps ``(batch, channels, *space)`` in double precision, normally distributed.

    Args:
        draw: given by hypothesis.
        channels: a number or a strategy for it.
        space: number of spatial axes.
        batch: strategy for the number of samples, by default 1 to 3.
        size: strategy for the length of each axis, by default 1 to 6.
    """
    count = channels if isinstance(channels, int) else draw(channels)
    samples = draw(batch or st.integers(1, 3))
    sizes = [draw(size or st.integers(1, 6)) for _ in range(space)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    return torch.randn(samples, count, *sizes, dtype=torch.float64, generator=generator)


def assert_adjoint(
    operator: LinearMap, adjoint: LinearMap, x: Tensor, y: Tensor, *, tolerance: float = 1e-12
) -> None:
    """Assert <K x, y> = <x, K^T y>, up to rounding.

    Args:
        operator: x -> K x.
        adjoint: y -> K^T y.
        x: a tensor that K takes.
        y: a tensor that K^T takes.
        tolerance: relative to |K x| |y| + |x| |K^T y|.
    """
    gap = adjoint_gap(operator, adjoint, x, y)
    assert gap <= tolerance, f"<Kx, y> and <x, K^T y> differ by {gap:.1e}"


@torch.no_grad()
def assert_invertible(flow: Flow, u: Tensor, *, tolerance: float | None = None) -> None:
    """Assert that undoing a step gives the state before it, and undoing all of them the first one.

    Args:
        flow: a reversible flow.
        u: an input.
        tolerance: the largest relative error, by default 1e5 times the machine epsilon.
    """
    states = flow.trajectory(u)
    bound = tolerance or 1e5 * torch.finfo(u.dtype).eps
    for step, (before, after) in enumerate(itertools.pairwise(states)):
        error = relative_error(flow.retreat(after, step), before)
        assert error <= bound, f"step {step} is undone with relative error {error:.1e}"
    error = relative_error(flow.inverse(states[-1]), states[0])
    assert error <= bound, f"{flow.steps} steps are undone with relative error {error:.1e}"


@torch.no_grad()
def assert_exact(flow: Flow, u: Tensor) -> None:
    """Assert that in exact arithmetic all steps and their inverse give the first state exactly."""
    start = flow.encode(u)
    back = flow.inverse_exactly(flow.evolve_exactly(start))
    assert back.equal(start), f"{flow.steps} steps in exact arithmetic do not come back"


def assert_gradients(flow: Flow, u: Tensor, *, tolerance: float | None = None) -> None:
    """Assert that the memory mode of a flow gives the gradients of plain autograd.

    Args:
        flow: any flow; its memory mode is the one that is tested.
        u: an input.
        tolerance: relative to the norm of each gradient, by default 1e5 times the machine epsilon.
    """
    mode, bound = flow.memory, tolerance or 1e5 * torch.finfo(u.dtype).eps
    actual = output_and_gradients(flow, u, mode)
    for name, gradient in output_and_gradients(flow, u, "stored").items():
        error = relative_error((actual[name],), (gradient,))
        assert error <= bound, f"{name} has relative error {error:.1e} under memory={mode!r}"
