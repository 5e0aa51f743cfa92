"""A unit, or stage, of a network: steps of a scheme, the first of which changes the shape.

Chang et al. 2018 (AAAI), section 4, and (ICLR), section 2.1: networks consist of units of n blocks,
and the first block of a unit halves the size of the map and widens it.
"""

from __future__ import annotations

import copy
from typing import ClassVar

from torch import Tensor, nn

from odenet.runtime.flow import Flow
from odenet.runtime.layer_modules.feature_maps import Shortcut, SkipKind
from odenet.runtime.passes.equations import State
from odenet.runtime.passes.shear import state_like
from odenet.runtime.refinement import refined, with_half_the_step
from odenet.runtime.tracing import as_node


class Unit(nn.Module):
    """A unit of a network: the first step, called its entry, and a flow of the other steps.

    Args:
        entry: gives the state after the first step, in the new shape.
        flow: the other steps.
    """

    def __init__(self, entry: Entry | Coarsened, flow: Flow):
        super().__init__()
        self.entry = entry
        self.flow = flow

    @property
    def steps(self) -> int:
        """Number of steps, including the entry."""
        return 1 + self.flow.steps

    def forward(self, u: Tensor) -> Tensor:
        """The output for an input ``(batch, channels, *space)``."""
        if not isinstance(u, Tensor):
            return as_node(self, u)
        return self.flow(self.entry(u))

    def refine(self) -> Unit:
        """A unit over the same time with twice as many steps of half the size.

        Both halves of a step have its weights. Only the second half of the entry does not, whose
        weights have the old shape: it copies the next step (Chang et al. 2018, ICLR, appendix B).

        Raises:
            ValueError: if the scheme has no step size, or its steps cannot be halved.
        """
        self.flow.require_refinable()
        return Unit(self.entry.with_half_the_step(), refined(self.flow, after_entry=True))


class Entry(nn.Module):
    """The first step of a unit, from the unit's input to the state after it.

    Generated classes define ``initial`` and ``forward``. The latter brings each slot of the old
    state, that is each of its tensors, to the new shape by ``shortcut``.

    Args:
        channels: number of channels of the input ``(batch, channels, *space)``.
        into: number of channels of each slot of the state after the step.
        stride: the factor by which the step shrinks the map.
        shortcut: how old values are brought to the new shape, see the kinds of ``Shortcut``.
        parts: number of equal parts into which the channels of the input are split, one per slot.
        space: number of spatial axes.
    """

    h: float
    slots: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]]

    def __init__(
        self, channels: int, into: int, stride: int, shortcut: SkipKind, parts: int, space: int
    ):
        super().__init__()
        self.channels = channels
        self.into = into
        self.stride = stride
        self.shortcut = Shortcut(channels // parts, into, stride, shortcut, space)

    def initial(self, u: Tensor) -> State:
        """The state before the step."""
        raise NotImplementedError

    def skipped(self, u: Tensor) -> State:
        """The state after the step if its right-hand sides were zero: the shortcuts alone."""
        return through_shortcut(self.initial(u), self.shortcut)

    def with_half_the_step(self) -> Entry:
        """The step with half its size and the same weights."""
        options = {"stride": self.stride, "shortcut": self.shortcut.kind}
        return with_half_the_step(self, (self.channels, self.into), options)


class Coarsened(nn.Module):
    """A first step of a unit in the old shape, whose result is then brought to the new shape.

    Args:
        flow: a flow of one step.
        before: number of channels of each slot of the flow's state.
        into: number of channels of each slot in the new shape.
        stride: the factor by which the map shrinks.
        shortcut: how the shape is changed, see the kinds of ``Shortcut``.
    """

    def __init__(
        self, flow: Flow, before: int, into: int, stride: int = 1, shortcut: SkipKind = "stride"
    ):
        super().__init__()
        self.flow = flow
        self.shortcut = Shortcut(before, into, stride, shortcut, flow.space)

    def initial(self, u: Tensor) -> State:
        """The state before the step."""
        return self.flow.initial(u)

    def forward(self, u: Tensor) -> State:
        """The state after the step, in the new shape."""
        return through_shortcut(self.flow.evolve(self.flow.initial(u)), self.shortcut)

    def skipped(self, u: Tensor) -> State:
        """The state after the step if its right-hand sides were zero: the shortcuts alone."""
        return through_shortcut(self.flow.initial(u), self.shortcut)

    def with_half_the_step(self) -> Coarsened:
        """The step with half its size and the same weights."""
        entry = copy.deepcopy(self)
        entry.flow = with_half_the_step(self.flow, (self.flow.channels, 1))
        return entry


def through_shortcut(state: State, shortcut: nn.Module) -> State:
    """A state whose tensors have each passed through a shortcut."""
    return state_like(state, map(shortcut, state))
