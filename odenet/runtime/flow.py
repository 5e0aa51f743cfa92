"""The base class of generated flows: N steps of one scheme as a torch module."""

from __future__ import annotations

import math
import warnings
from typing import Any, NoReturn, Self, overload

import torch
from torch import Tensor, nn

from odenet.runtime.backward_mode import BackwardMode
from odenet.runtime.bounds import OperatorBounds
from odenet.runtime.drift import LastDrift
from odenet.runtime.layer_modules.tokens import reads_tokens
from odenet.runtime.learned.knots import Knotted
from odenet.runtime.learned.slices import restacked_attributes, sliced_attributes
from odenet.runtime.memory import run_all_steps, run_plain_steps
from odenet.runtime.passes.compiled_steps import CompiledSteps, compiled_steps
from odenet.runtime.passes.fixed_point import FixedPointRegisters
from odenet.runtime.passes.memory_format import in_convolution_order, in_token_order, restore_order
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.recomputation import run_exact_steps, undo_exact_steps, undo_steps
from odenet.runtime.passes.shear import Registers, state_like
from odenet.runtime.passes.torch_settings import float32_under_autocast
from odenet.runtime.passes.volume import Volume
from odenet.runtime.refinement import refined
from odenet.runtime.repetition.context import NO_CONTEXT, Context
from odenet.runtime.repetition.replica_pool import ReplicaPools
from odenet.runtime.spectra import jacobian_spectrum
from odenet.runtime.tracing import as_node, refuse_script


class Flow(Volume, BackwardMode, OperatorBounds):
    """N steps of a scheme: ``initial(u)``, then N times ``advance``, then ``readout``.

    Args:
        channels: the channels of the input u, ``(batch, channels, *space)``.
        steps: number of steps N.
        space: number of spatial axes, 0 to 3.

    Attributes:
        anchors: the true state is kept every ``anchors`` steps, and replaces the rebuilt one, to
            limit the drift of the reversible backward; with 0 only the first and last are kept.
        warns_of_drift: warn once, at the next forward pass, if rebuilt states were visibly wrong.
        context: further inputs of a call, read by every right-hand side.
        collected: further results that right-hand sides gave in the last call, summed over its
            evaluations, by name.
        compiled: one step forward and one step backward, compiled.
        step_bytes: bytes that autograd stores for one step, by shape and type of the input.
        replica_pools: replicas of its modules, kept from one pass to the next.
        slices: the slices that an optimizer in the backward pass updates, see
            `optimizer_in_backward`; None without one.

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
            ValueError: if the number of channels is not a multiple of ``parts``.
        """
        if self.channels % parts:
            raise ValueError(
                f"{type(self).__name__} splits its channels into {parts} equal parts, "
                f"which {self.channels} do not"
            )
        return self.channels // parts

    def shallow_copy(self) -> Self:
        """The same flow with its own attributes; its times stay, even if it is given another h."""
        flow_copy = super().shallow_copy()
        if self.timed and "h" in self.varying:
            flow_copy.__dict__["time_before"] = self.time_before
        return flow_copy

    def __prepare_scriptable__(self) -> NoReturn:
        """Called by torch.jit.script, also for a network that contains the flow."""
        refuse_script(self)

    # The passes over all steps.

    def forward(self, u: Tensor | State) -> Tensor:
        """The output for an input ``(batch, channels, *space)``, or for a first state."""
        if isinstance(u, tuple):
            return self._run(u)
        if not isinstance(u, Tensor):
            return as_node(self, u)
        if u.ndim != 2 + self.space or u.shape[1] != self.channels:
            raise ValueError(
                f"{type(self).__name__} takes (batch, {self.channels}"
                f"{', size' * self.space}), but got {tuple(u.shape)}{self._hint_about_axes(u)}"
            )
        return self._run(u)

    def _hint_about_axes(self, u: Tensor) -> str:
        space = u.ndim - 2
        if space == self.space or not 0 <= space <= 3:
            return ""
        inputs = ("vectors", "sequences", "images", "volumes")[space]
        return (
            f"; for {inputs} make it with program.flow({u.shape[1]}, {self.steps}, space={space})"
        )

    def first_state(self, u: Tensor | State) -> State:
        """The state before the first step, of an input; a first state is returned as it is."""
        return u if isinstance(u, tuple) else self.initial(u)

    def _run(self, u: Tensor | State, context: Context = NO_CONTEXT) -> Tensor:
        """The output for an input and a context, by a copy of the flow for this call."""
        flow = self.with_fixed_constants().shallow_copy()
        flow.context, flow.collected = context, {}
        flow_at_ends = flow
        # `initial` and `readout` may have weights too, whose gradients have to reach the slices.
        if self.slices is not None and torch.is_grad_enabled():
            flow_at_ends = flow.shallow_copy()
            flow_at_ends.__dict__.update(sliced_attributes(flow, self.slices))
        last_state = flow.evolve(flow_at_ends.first_state(u))
        out = flow_at_ends.readout(last_state)
        if any(out is tensor for tensor in last_state) and out.requires_grad:
            # The backward pass needs the last state, which a later layer could change in place.
            out = out.clone()
        self.collected = flow.collected
        return out

    def evolve(self, state: State) -> State:
        """The last state, from the first; its gradients are computed as ``memory`` says."""
        if self.warns_of_drift and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._drift.warn_if_large(type(self).__name__, self.steps)
        state = float32_under_autocast(state)
        ordered_state = state_like(state, map(self._in_layer_order, state))
        end = run_all_steps(self, ordered_state, self._current_memory(state[0].dtype))
        return state_like(state, map(restore_order, end, state, ordered_state))

    def _in_layer_order(self, x: Tensor) -> Tensor:
        """A feature map in the memory order that the layers read without a copy."""
        return in_token_order(x) if reads_tokens(self) else in_convolution_order(x)

    @overload
    def inverse(self, end: Tensor) -> Tensor: ...

    @overload
    def inverse(self, end: State) -> State: ...

    def inverse(self, end: Tensor | State) -> Tensor | State:
        """The input that gives an output, or the first state that leads to a last state.

        Raises:
            ValueError: if the output does not determine the whole last state.
        """
        if not isinstance(end, Tensor):
            return self._inverse_of_state(end)
        return self.readout(self._inverse_of_state(self._state_from_output(end)))

    def _inverse_of_state(self, end: State) -> State:
        if not self.reversible:
            raise NotImplementedError(self._why_irreversible())
        if obstacle := self.obstacle_to_inverse():
            raise NotImplementedError(f"{type(self).__name__} has no inverse now: {obstacle}")
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            for step in reversed(range(self.steps)):
                end = self.retreat(end, step)
            return end
        state = Registers(self.slots, tuple(end))
        undo_steps(self, state, range(self.steps))
        return state_like(end, state.tensors())

    def trajectory(self, u: Tensor | State) -> list[State]:
        """The N + 1 states from the first to the last."""
        states = [float32_under_autocast(self.first_state(u))]
        for step in range(self.steps):
            states.append(self.advance(states[-1], step))
        return states

    def encode(self, u: Tensor) -> FixedPointRegisters:
        """The first state of an input, in exact arithmetic."""
        return FixedPointRegisters(self.slots, self.initial(u))

    def evolve_exactly(self, state: FixedPointRegisters) -> FixedPointRegisters:
        """The last state, from the first, in exact arithmetic."""
        return run_exact_steps(self, state)

    def inverse_exactly(self, state: FixedPointRegisters) -> FixedPointRegisters:
        """The first state, from the last, bit for bit what it was."""
        return undo_exact_steps(self, state)

    # Compilation, refinement and spectra.

    def compile(self, **options: Any) -> None:
        """Compiles one step, forward and backward, which the reversible mode uses for all steps.

        Flows that differ only in their weights share the compiled code.

        Args:
            options: the options of ``torch.compile``.

        Raises:
            ValueError: if they ask for a CUDA graph of each step.

        Warns:
            UserWarning: if it has no effect, since the backward pass cannot use compiled steps.
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
        """A flow over the same time, where two half steps with the same weights replace each step.

        Raises:
            ValueError: if the scheme has no step size, or its steps cannot be halved.
        """
        self.require_refinable()
        return refined(self)

    def require_refinable(self) -> None:
        """Raises ValueError if steps of half the size would not solve the same equation."""
        if not hasattr(self, "h"):
            raise ValueError(f"{type(self).__name__} has no step size h to halve")
        if self.unrefinable:
            raise ValueError(f"{type(self).__name__} cannot be refined: {self.unrefinable}")

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"channels={self.channels}, steps={self.steps}, memory={self.memory!r}"

    def spectrum(self, u: Tensor | State, step: int = 0, count: int = 6) -> Tensor:
        """Eigenvalues of the Jacobian of ``field`` at the state before a step.

        Args:
            u: an input or a first state, of which one sample is enough.
            step: the step.
            count: number of eigenvalues of largest modulus, if there are too many to compute all.

        Returns:
            Complex numbers, the largest modulus first.
        """
        state = float32_under_autocast(self.first_state(u))
        return jacobian_spectrum(self, run_plain_steps(self, state, range(step)), step, count)

    def smoothness(self) -> Tensor:
        """As in `OperatorBounds`; gradients arrive at the slices if an optimizer works on these."""
        if self.slices is None or not torch.is_grad_enabled():
            return super().smoothness()
        flow = self.shallow_copy()
        flow.__dict__.update(restacked_attributes(self, self.slices))
        return super(Flow, flow).smoothness()

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickle: without the results of the last call."""
        reset = {"collected": {}, "step_bytes": {}, "replica_pools": ReplicaPools(), "slices": None}
        return {**self.__dict__, **reset, "_drift": LastDrift()}

    def learned_names(self) -> tuple[str, ...]:
        """Names of the attributes that hold a stacked parameter, constants or a module per step."""
        if self.reversible:
            constants = [math.nan] * len(self.varying)  # the names depend on none of them
            terms_by_shear = ((*s.exponents, *s.terms) for s in self.shears(*constants))
            names = (name for terms in terms_by_shear for term in terms for name in term.params)
            return tuple(dict.fromkeys((*self.varying, *names)))
        stacks = [name for name, _ in self.named_parameters(recurse=False)]
        per_step = (nn.ModuleList, Knotted)
        modules = [n for n, m in self.named_children() if isinstance(m, per_step)]
        computed = getattr(self, "parametrizations", {})
        return (*self.varying, *stacks, *computed, *modules)

    def _state_from_output(self, out: Tensor) -> State:
        state = self.initial(out)
        is_complete = sum(t.numel() for t in state) == out.numel()
        if not is_complete or not torch.equal(self.readout(state), out):
            raise ValueError(
                f"an output of {type(self).__name__} does not hold its whole last state "
                f"({', '.join(self.slots)}): give the state to invert from"
            )
        return state
