"""A unit: steps of a scheme of which the first enters with other channels and another size.

Chang et al. 2018 (AAAI), section 4, and (ICLR), section 2.1: networks are units, or stages, of n
blocks, and the first block of a unit halves the map and widens it.
"""

from __future__ import annotations

import copy
from typing import ClassVar

from torch import Tensor, nn

from odenet.runtime.flow import Flow
from odenet.runtime.layers.feature_maps import Kind, Shortcut
from odenet.runtime.passes.equations import State
from odenet.runtime.passes.shear import like
from odenet.runtime.refinement import refined, with_half_the_step
from odenet.runtime.tracing import as_node


class Unit(nn.Module):
    """An entry, and the steps after it.

    Args:
        entry: gives the state after the first step.
        flow: the other steps, from there.
    """

    def __init__(self, entry: Entry | Coarsened, flow: Flow):
        super().__init__()
        self.entry = entry
        self.flow = flow

    @property
    def steps(self) -> int:
        """Number of steps, the entry among them."""
        return 1 + self.flow.steps

    def forward(self, u: Tensor) -> Tensor:
        """The unit of an input ``(batch, channels, *space)``."""
        if not isinstance(u, Tensor):
            return as_node(self, u)
        return self.flow(self.entry(u))

    def refine(self) -> Unit:
        """The same unit in time with twice as many steps of half the size.

        Every new step copies its left half, but for the second one: the weights of the first have
        the old shape, so that it copies the step after it (Chang et al. 2018, ICLR, appendix B).

        Raises:
            ValueError: if the scheme has no step size, or its steps do not refine.
        """
        self.flow.require_refinable()
        return Unit(self.entry.finer(), refined(self.flow, entered=True))


class Entry(nn.Module):
    """The first step of a unit, from the unit's input to the state after it.

    Generated classes give ``initial`` and ``forward``, with the old values brought to the new shape
    by ``shortcut``, each unknown by itself.

    Args:
        channels: of the input ``(batch, channels, *space)``.
        into: channels of each state after the step.
        stride: by how much the step coarsens the map.
        shortcut: how old values are brought to the new shape, see ``Shortcut``.
        parts: into how many equal parts, one for each state, the input falls.
        space: number of spatial axes.
    """

    h: float
    slots: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]]

    def __init__(
        self, channels: int, into: int, stride: int, shortcut: Kind, parts: int, space: int
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
        return shortened(self.initial(u), self.shortcut)

    def finer(self) -> Entry:
        """The step with half its size and the same weights."""
        shape = {"stride": self.stride, "shortcut": self.shortcut.kind}
        return with_half_the_step(self, (self.channels, self.into), shape)


class Coarsened(nn.Module):
    """A first step at the old shape, all values of which are brought to the new one after it.

    Args:
        flow: the one step.
        before: channels of each state.
        into: channels of each state after it.
        stride: by how much the map is coarsened.
        shortcut: how, see ``Shortcut``.
    """

    def __init__(
        self, flow: Flow, before: int, into: int, stride: int = 1, shortcut: Kind = "stride"
    ):
        super().__init__()
        self.flow = flow
        self.shortcut = Shortcut(before, into, stride, shortcut, flow.space)

    def initial(self, u: Tensor) -> State:
        """The state before the step."""
        return self.flow.initial(u)

    def forward(self, u: Tensor) -> State:
        """The state after the step, in the new shape."""
        return shortened(self.flow.evolve(self.flow.initial(u)), self.shortcut)

    def skipped(self, u: Tensor) -> State:
        """The state after the step if its right-hand sides were zero: the shortcuts alone."""
        return shortened(self.flow.initial(u), self.shortcut)

    def finer(self) -> Coarsened:
        """The step with half its size and the same weights."""
        finer = copy.deepcopy(self)
        finer.flow = with_half_the_step(self.flow, (self.flow.channels, 1))
        return finer


def shortened(state: State, shortcut: nn.Module) -> State:
    """Every value of a state through a shortcut."""
    return like(state, map(shortcut, state))
