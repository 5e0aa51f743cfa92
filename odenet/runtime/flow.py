"""The base class of generated flows: N steps of one scheme as a torch module."""

from __future__ import annotations

import math
import warnings
from typing import Any, NoReturn, Self, overload

import torch
from torch import Tensor, nn

from odenet.runtime.backward_mode import BackwardMode
from odenet.runtime.bounds import Bounded
from odenet.runtime.drift import LastDrift
from odenet.runtime.layers.tokens import reads_tokens
from odenet.runtime.learned.knots import Knotted
from odenet.runtime.learned.slices import put_together, taken_apart
from odenet.runtime.memory import all_steps, plain_steps
from odenet.runtime.passes.compiled_steps import CompiledSteps, compiled_steps
from odenet.runtime.passes.fixed_point import Fixed
from odenet.runtime.passes.memory_format import as_before, channels_innermost, tokens_apart
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.recomputation import exact_steps, exact_steps_undone, undo_steps
from odenet.runtime.passes.shear import Registers, like
from odenet.runtime.passes.torch_settings import single_under_autocast
from odenet.runtime.passes.volume import Volume
from odenet.runtime.refinement import refined
from odenet.runtime.repetition.context import NOTHING, Context
from odenet.runtime.repetition.replica_pool import ReplicaPools
from odenet.runtime.spectra import jacobian_spectrum
from odenet.runtime.tracing import as_node, refuse_script


class Flow(Volume, BackwardMode, Bounded):
    """u -> initial -> advance, N times -> readout.

    Args:
        channels: of the input u, ``(batch, channels, *space)``.
        steps: number of steps N.
        space: number of spatial axes, 0 to 3.

    Attributes:
        anchors: keep the true state every ``anchors`` steps, for the reversible backward to start
            again from where rebuilding drifts; 0 keeps the first and the last one only.
        warns_of_drift: warn once where rebuilt states were visibly off, at the next forward pass.
        context: further inputs of a call, read by every right-hand side.
        collected: further results that right-hand sides gave in the last call, summed over its
            evaluations, by name.
        compiled: one step forward and one back, compiled.
        step_bytes: what autograd stores of a step, by kind of input.
        replica_pools: replicas of its modules, kept from one pass to the next.
        slices: set by an optimizer that acts in the backward pass, see `in_backward`.

    Raises:
        ValueError: if a count is out of range.
    """

    compiled: CompiledSteps | None = None

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
        self.warns_of_drift = True
        self.step_bytes = {}
        self.replica_pools = ReplicaPools()
        self.collected = {}

    def width(self, parts: int) -> int:
        """Channels of each of ``parts`` equal parts of the input.

        Raises:
            ValueError: if they do not divide.
        """
        if self.channels % parts:
            raise ValueError(
                f"{type(self).__name__} splits its channels into {parts} equal parts, "
                f"which {self.channels} do not"
            )
        return self.channels // parts

    def view(self) -> Self:
        """As that of all flows; the times are those of this one's steps, whatever h it is given."""
        twin = super().view()
        if self.timed and "h" in self.varying:
            twin.__dict__["time_before"] = self.time_before
        return twin

    def __prepare_scriptable__(self) -> NoReturn:
        """Called by torch.jit.script, also for a network that the flow is in."""
        refuse_script(self)

    # The passes over all steps.

    def forward(self, u: Tensor | State) -> Tensor:
        """The flow of an input ``(batch, channels, *space)``, or from a state of its own."""
        if isinstance(u, tuple):
            return self._called(u)
        if not isinstance(u, Tensor):
            return as_node(self, u)
        if u.ndim != 2 + self.space or u.shape[1] != self.channels:
            raise ValueError(
                f"{type(self).__name__} takes (batch, {self.channels}"
                f"{', size' * self.space}), but got {tuple(u.shape)}{self._other_axes(u)}"
            )
        return self._called(u)

    def _other_axes(self, u: Tensor) -> str:
        space = u.ndim - 2
        if space == self.space or not 0 <= space <= 3:
            return ""
        kind = ("vectors", "sequences", "images", "volumes")[space]
        return f"; for {kind} make it with program.flow({u.shape[1]}, {self.steps}, space={space})"

    def begin(self, u: Tensor | State) -> State:
        """The state before the first step: that of an input, or the one that is given."""
        return u if isinstance(u, tuple) else self.initial(u)

    def _called(self, u: Tensor | State, context: Context = NOTHING) -> Tensor:
        """The flow of an input and its context, on a view of the flow that is this call's own."""
        call = self.with_fixed_constants().view()
        call.context, call.collected = context, {}
        ends = call
        if self.slices is not None and torch.is_grad_enabled():  # the ends read weights too
            ends = call.view()
            ends.__dict__.update(taken_apart(call, self.slices))
        end = call.evolve(ends.begin(u))
        out = ends.readout(end)
        if any(out is tensor for tensor in end) and out.requires_grad:
            # The backward begins from the last state, which no layer after this one may change.
            out = out.clone()
        self.collected = call.collected
        return out

    def evolve(self, state: State) -> State:
        """All steps, with gradients as ``memory`` says."""
        if self.warns_of_drift and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._drift.tell(type(self).__name__, self.steps)
        state = single_under_autocast(state)
        ordered = like(state, map(self._ordered, state))
        end = all_steps(self, ordered, self._memory_now(state[0].dtype))
        return like(state, map(as_before, end, state, ordered))

    def _ordered(self, x: Tensor) -> Tensor:
        """A map in the order in which its layers read it as it lies."""
        return tokens_apart(x) if reads_tokens(self) else channels_innermost(x)

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
            return self._undone(end)
        return self.readout(self._undone(self._only_state(end)))

    def _undone(self, end: State) -> State:
        if not self.reversible:
            raise NotImplementedError(self._irreversible())
        if obstacle := self.not_undone():
            raise NotImplementedError(f"{type(self).__name__} is not undone now: {obstacle}")
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            for step in reversed(range(self.steps)):
                end = self.retreat(end, step)
            return end
        state = Registers(self.slots, tuple(end))
        undo_steps(self, state, range(self.steps))
        return like(end, state.tensors())

    def trajectory(self, u: Tensor | State) -> list[State]:
        """The N + 1 states from the first to the last."""
        states = [single_under_autocast(self.begin(u))]
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

    # Depth and spectra.

    def compile(self, **options: Any) -> None:
        """Compiles one step, forward and back, for the reversible backward to use for all.

        Flows that differ in their weights alone share what is compiled.

        Args:
            options: of ``torch.compile``.

        Raises:
            ValueError: if they ask for a CUDA graph of each step.

        Warns:
            UserWarning: if it has no effect, since the steps are not undone by compiled ones.
        """
        if not (obstacle := self._obstacle_to_compiling()):
            self.compiled = compiled_steps(self, options)
            return
        warnings.warn(
            f"flow.compile() has no effect: {obstacle}. Steps with stored activations can be "
            'compiled: flow.memory = "stored", then torch.compile(flow)',
            stacklevel=2,
        )

    def refine(self) -> Flow:
        """The same flow in time with steps of half the size, each new one copying its left half.

        Raises:
            ValueError: if the scheme has no step size, or its steps do not refine.
        """
        self.require_refinable()
        return refined(self)

    def require_refinable(self) -> None:
        """Raise ValueError where steps of half the size would not solve the same equation."""
        if not hasattr(self, "h"):
            raise ValueError(f"{type(self).__name__} has no step size h to halve")
        if self.unrefinable:
            raise ValueError(f"{type(self).__name__} cannot be refined: {self.unrefinable}")

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"channels={self.channels}, steps={self.steps}, memory={self.memory!r}"

    def spectrum(self, u: Tensor | State, step: int = 0, count: int = 6) -> Tensor:
        """Eigenvalues of the Jacobian of ``field`` by the unknowns, at a step's state.

        Args:
            u: an input or a first state, of which one sample is enough.
            step: where on the trajectory.
            count: how many of largest modulus, where they are too many to give all.

        Returns:
            Complex numbers, the largest modulus first.
        """
        state = single_under_autocast(self.begin(u))
        return jacobian_spectrum(self, plain_steps(self, state, range(step)), step, count)

    def smoothness(self) -> Tensor:
        """As of every flow; its gradient is by slices where these are moved one by one."""
        if self.slices is None or not torch.is_grad_enabled():
            return super().smoothness()
        call = self.view()
        call.__dict__.update(put_together(self, self.slices))
        return super(Flow, call).smoothness()

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins without what the last call left behind."""
        left = {"collected": {}, "step_bytes": {}, "replica_pools": ReplicaPools(), "slices": None}
        return {**self.__dict__, **left, "_drift": LastDrift()}

    def learned(self) -> tuple[str, ...]:
        """The attributes that hold stacked parameters, or a module per step."""
        if self.reversible:
            constants = [math.nan] * len(self.varying)  # which no name depends on
            every = ((*s.exponents, *s.terms) for s in self.shears(*constants))
            names = (name for terms in every for term in terms for name in term.params)
            return tuple(dict.fromkeys((*self.varying, *names)))
        stacks = [name for name, _ in self.named_parameters(recurse=False)]
        own = (nn.ModuleList, Knotted)
        modules = [n for n, m in self.named_children() if isinstance(m, own)]
        computed = getattr(self, "parametrizations", {})
        return (*self.varying, *stacks, *computed, *modules)

    def _only_state(self, out: Tensor) -> State:
        state = self.initial(out)
        whole = sum(t.numel() for t in state) == out.numel()
        if not whole or not torch.equal(self.readout(state), out):
            raise ValueError(
                f"an output of {type(self).__name__} does not hold its whole last state "
                f"({', '.join(self.slots)}): give the state to invert from"
            )
        return state
