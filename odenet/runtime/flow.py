"""The base class of generated flows: N steps of one scheme as a torch module."""

from __future__ import annotations

from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn

from odenet.runtime.ambient import Autocast
from odenet.runtime.chain import exact_steps, exact_steps_undone
from odenet.runtime.compiled import CompiledSteps
from odenet.runtime.exact import Fixed
from odenet.runtime.layout import as_before, channels_innermost
from odenet.runtime.memory import Memory, all_steps, plain_steps
from odenet.runtime.refinement import refined
from odenet.runtime.shear import Shear, like
from odenet.runtime.spectra import jacobian_spectrum, operator_norm

State = tuple[Tensor, ...]


class Flow(nn.Module):
    """u -> initial -> advance, N times -> readout.

    Generated classes give ``initial``, ``advance``, ``readout``, ``field``, and where the scheme is
    reversible ``retreat`` and ``shears``; everything else is here.

    Args:
        channels: of the input u, ``(batch, channels, *space)``.
        steps: number of steps N.
        space: number of spatial axes, 0 to 3.

    Attributes:
        anchors: keep the true state every so many steps, for the reversible backward to start
            again from where rebuilding drifts; 0 keeps the last one only.

    Raises:
        ValueError: if a count is out of range.
    """

    h: float  # the step size, of schemes that have one
    slots: ClassVar[tuple[str, ...]]  # the stored values of a state, in order
    states: ClassVar[tuple[str, ...]]  # the unknowns of the dynamics
    operators: ClassVar[tuple[str, ...]] = ()  # stacked linear operators
    shared: ClassVar[tuple[str, ...]] = ()  # attributes that hold one value for all steps
    relabel: ClassVar[dict[str, str]] = {}  # slot -> the slot its value is in after a step
    reversible: bool = True
    obstacle: str = ""  # why it is not
    stochastic: ClassVar[bool] = False  # some rate draws random numbers
    exact: bool = False  # reverse in exact arithmetic
    stability_limit: ClassVar[float | None] = None  # of h ω
    _iterations: int | None = None  # of a power iteration, while `stability` is given them

    def __init__(self, channels: int, steps: int, space: int = 2):
        super().__init__()
        if channels < 1 or steps < 1 or not 0 <= space <= 3:
            raise ValueError(
                f"a flow needs at least 1 channel, 1 step and 0 to 3 spatial axes, "
                f"not {channels}, {steps} and {space}"
            )
        self.channels = channels
        self.steps = steps
        self.space = space
        self.anchors = 0
        self._step_bytes: dict[tuple, int] = {}
        self._memory: Memory = "reversible" if self.reversible else "stored"
        self._compiled: CompiledSteps | None = None
        self._drift: Tensor | None = None
        self._directions: dict[tuple[str, int], Tensor] = {}

    def width(self, parts: int) -> int:
        """Channels of each of so many equal parts of the input.

        Raises:
            ValueError: if they do not divide.
        """
        if self.channels % parts:
            raise ValueError(
                f"{type(self).__name__} splits its channels into {parts} equal parts, "
                f"which {self.channels} do not"
            )
        return self.channels // parts

    def give_up_reversing(self, obstacle: str) -> None:
        """Called while being built with constants for which the scheme has no inverse."""
        self.reversible, self.obstacle, self._memory = False, obstacle, "stored"

    # What a generated class provides.

    def initial(self, u: Tensor) -> State:
        """The state before the first step."""
        raise NotImplementedError

    def advance(self, state: State, step: int = 0) -> State:
        """One step."""
        raise NotImplementedError

    def retreat(self, state: State, step: int = 0) -> State:
        """One step undone."""
        raise NotImplementedError(self._irreversible())

    def readout(self, state: State) -> Tensor:
        """What the flow hands on."""
        raise NotImplementedError

    def field(self, state: State, step: int = 0) -> State:
        """The right-hand sides of the equations, one per unknown."""
        raise NotImplementedError

    def shears(self) -> tuple[Shear, ...]:
        """One step as shears."""
        raise NotImplementedError(self._irreversible())

    def energy(self, state: State, step: int = 0) -> Tensor:
        """The quantity that the certificate proves conserved or decreasing, per sample."""
        raise NotImplementedError(f"no energy is certified for {type(self).__name__}")

    def conditions(self) -> list[tuple[str, bool]]:
        """What the certificate assumes of the weights, and whether it holds for these."""
        return []

    def frequency_bound(self, step: int = 0) -> Tensor:
        """An upper bound of the largest frequency ω of one step's field, from operator norms."""
        raise NotImplementedError(f"no bound of the spectrum is known for {type(self).__name__}")

    # The passes over all steps.

    def forward(self, u: Tensor) -> Tensor:
        """The flow of an input ``(batch, channels, *space)``."""
        if u.ndim != 2 + self.space or u.shape[1] != self.channels:
            raise ValueError(
                f"{type(self).__name__} takes (batch, {self.channels}"
                f"{', size' * self.space}), but got {tuple(u.shape)}"
            )
        return self.readout(self.evolve(self.initial(u)))

    def evolve(self, state: State) -> State:
        """All steps, with gradients as ``memory`` says."""
        state = self._settled(state)
        end = all_steps(self, like(state, map(channels_innermost, state)), self.memory)
        return like(state, map(as_before, end, state))

    @overload
    def inverse(self, end: Tensor) -> Tensor: ...

    @overload
    def inverse(self, end: State) -> State: ...

    def inverse(self, end: Tensor | State) -> Tensor | State:
        """The input that gives an output, or the first state that ends in a given last one.

        Raises:
            ValueError: if an output does not hold all of the last state.
        """
        if not isinstance(end, Tensor):
            for step in reversed(range(self.steps)):
                end = self.retreat(end, step)
            return end
        return self.readout(self.inverse(self._only_state(end)))

    def trajectory(self, u: Tensor) -> list[State]:
        """The N + 1 states from the first to the last."""
        states = [self._settled(self.initial(u))]
        for step in range(self.steps):
            states.append(self.advance(states[-1], step))
        return states

    def encode(self, u: Tensor) -> Fixed:
        """The first state, in exact arithmetic."""
        return Fixed(self.slots, self.initial(u))

    def evolve_exactly(self, state: Fixed) -> Fixed:
        """All steps in exact arithmetic."""
        return exact_steps(self, state)

    def inverse_exactly(self, state: Fixed) -> Fixed:
        """All steps undone, bit for bit what they were."""
        return exact_steps_undone(self, state)

    # Depth, memory and spectra.

    @property
    def memory(self) -> Memory:
        """What the backward works from: how time is traded for memory.

        "reversible" stores nothing and rebuilds states by undoing steps; "stored" is plain
        autograd; "checkpoint" stores one state per step; a number is a budget in bytes, filled with
        stored steps, the rest being reversed.
        """
        return self._memory

    @memory.setter
    def memory(self, memory: Memory) -> None:
        known = isinstance(memory, int) and not isinstance(memory, bool) and memory >= 0
        if not known and memory not in ("reversible", "stored", "checkpoint"):
            raise ValueError(
                f'memory is "reversible", "stored", "checkpoint" or a number of bytes, '
                f"not {memory!r}"
            )
        if not self.reversible and memory not in ("stored", "checkpoint"):
            raise ValueError(self._irreversible())
        self._memory = memory

    @property
    def drift(self) -> float | None:
        """By how much the last backward pass rebuilt a state wrongly, relative to its size.

        Measured on one sample, where the flow began and at each of the ``anchors``.
        """
        return None if self._drift is None else self._drift.item()

    def compile(self, **options: Any) -> None:
        """Compiles one step, forward and back, for the reversible backward to use for all.

        Args:
            options: of ``torch.compile``.
        """
        self._compiled = CompiledSteps(options)

    def smoothness(self) -> Tensor:
        """Σ_j h ||(K_{j+1} - K_j) / h||^2 over the operators (Chang et al. 2018, Eq. 22)."""
        stacks = (getattr(self, name) for name in self.operators)
        h = self._step_size()
        return sum((K.diff(dim=0).square().sum() / h for K in stacks), start=torch.zeros(()))

    def refine(self) -> Flow:
        """The same flow in time with steps of half the size, each new one copying its left half.

        Raises:
            ValueError: if the scheme has no step size.
        """
        if not hasattr(self, "h"):
            raise ValueError(f"{type(self).__name__} has no step size h to halve")
        return refined(self)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"channels={self.channels}, steps={self.steps}, memory={self.memory!r}"

    def stability(self, iterations: int | None = None) -> Tensor:
        """Per step, h ω / limit, from operator norms: below 1 the discrete flow is stable.

        Args:
            iterations: per norm, from a fixed start; None goes on from the last call till settled.

        Raises:
            ValueError: if no limit is known for this scheme on these dynamics.
        """
        if self.stability_limit is None:
            raise ValueError(f"no stability limit of h ω was derived for {type(self).__name__}")
        self._iterations = iterations
        bounds = [torch.as_tensor(self.frequency_bound(step)) for step in range(self.steps)]
        self._iterations = None
        return self._step_size() * torch.stack(bounds) / self.stability_limit

    def spectrum(self, u: Tensor, step: int = 0, count: int = 6) -> Tensor:
        """Eigenvalues of the Jacobian of ``field`` by the unknowns, at a step's state.

        Args:
            u: an input, of which one sample is enough.
            step: where on the trajectory.
            count: how many of largest modulus, where they are too many to give all.

        Returns:
            Complex numbers, the largest modulus first.
        """
        state = self._settled(self.initial(u))
        return jacobian_spectrum(self, plain_steps(self, state, range(step)), step, count)

    def norm(self, name: str, K: Tensor, step: int, **options: int) -> Tensor:
        """The norm of a step's operator; the next call for that name and step starts from there."""
        if self._iterations is not None:
            return operator_norm(K, None, limit=self._iterations, **options)[0]
        start = self._directions.get((name, step))
        norm, direction = operator_norm(K, start, **options)
        self._directions[name, step] = direction
        return norm

    def note_drift(self, drift: Tensor) -> None:
        """Called by the backward pass, with what ``drift`` reports."""
        self._drift = drift

    def _step_size(self) -> float:
        return getattr(self, "h", 1.0)

    def _irreversible(self) -> str:
        return (
            f"{type(self).__name__} cannot be reversed: {self.obstacle}; "
            'it trains with memory "stored" or "checkpoint"'
        )

    def _settled(self, state: State) -> State:
        """Under autocast the state stays in single precision: its rounding would add up."""
        low = Autocast.here(state[0].device).enabled
        return like(state, [t.float() if low and t.itemsize < 4 else t for t in state])

    def _only_state(self, out: Tensor) -> State:
        state = self.initial(out)
        whole = sum(t.numel() for t in state) == out.numel()
        if not whole or not torch.equal(self.readout(state), out):
            raise ValueError(
                f"an output of {type(self).__name__} does not hold its whole last state "
                f"({', '.join(self.slots)}): give the state to invert from"
            )
        return state
