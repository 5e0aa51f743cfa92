"""Flows whose steps are solved to a tolerance by the adaptive solvers of torchdiffeq."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from odenet.extras import require
from odenet.runtime.flow import Flow
from odenet.runtime.learned.knots import Knotted
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.step_weights import OneStepStack
from odenet.runtime.passes.torch_settings import Autocast
from odenet.runtime.tracing import is_tracing

require("adaptive", "a flow with adaptive steps")
from torchdiffeq import odeint, odeint_adjoint  # noqa: E402


class AdaptiveFlow(Flow):
    """A flow in which an adaptive solver integrates each step of length h.

    Its memory is "adjoint" by default: the backward pass solves the adjoint equation from the end,
    and stores nothing (Chen et al. 2018). Its gradient is that of the equation, up to the
    tolerances; "stored" and "checkpoint" differentiate the solver's own steps.

    Attributes:
        method: torchdiffeq's name of the solver.
        rtol: relative tolerance.
        atol: absolute tolerance.
    """

    method: ClassVar[str]
    rtol: float
    atol: float

    def __init__(self, channels: int, steps: int, space: int = 2):
        super().__init__(channels, steps, space)
        self._counts = {"steps": 0, "evaluations": 0}  # shared with shallow copies
        self._mode: Literal["adjoint", "stored", "checkpoint"] = "adjoint"

    @property
    def steps_taken(self) -> int:
        """Accepted steps of the solver in the last call, over all steps of the flow."""
        return self._counts["steps"]

    @property
    def evaluations(self) -> int:
        """Evaluations of the right-hand sides in the last call, without those of its backward."""
        return self._counts["evaluations"]

    def count(self, name: str) -> None:
        """Adds 1 to the counter "steps" or "evaluations"."""
        self._counts[name] += 1

    @property
    def memory(self) -> Any:
        """The memory mode: "adjoint", "stored" or "checkpoint"."""
        return self._mode

    @memory.setter
    def memory(self, memory: Any) -> None:
        if memory not in ("adjoint", "stored", "checkpoint"):
            raise ValueError(
                f'memory of an adaptive flow is "adjoint", "stored" or "checkpoint", not {memory!r}'
            )
        self._mode = memory

    def evolve(self, state: State) -> State:
        """The last state, from the first; its gradients are computed as ``memory`` says."""
        if torch.compiler.is_exporting() or is_tracing():
            raise NotImplementedError(
                f"{type(self).__name__} cannot be exported: how many steps its solver takes "
                "depends on the input; leave rtol out, for steps of a fixed size"
            )
        self._counts.update(steps=0, evaluations=0)
        if self.memory != "adjoint":
            return super().evolve(state)
        for step in range(self.steps):
            state = self.advance(state, step)
        return state

    def solve(self, state: State, step: int) -> State:
        """The state after a step of length h, up to the tolerances."""
        times = torch.tensor([0.0, self.h], dtype=state[0].dtype, device=state[0].device)
        options: dict[str, Any] = {"rtol": self.rtol, "atol": self.atol, "method": self.method}
        rate = _RightHandSide(self, step, Autocast.current(state[0].device))
        if self.memory == "adjoint" and torch.is_grad_enabled():
            values = odeint_adjoint(rate, state, times, adjoint_params=rate.parameters(), **options)
        else:
            values = odeint(rate, state, times, **options)
        return tuple(value[-1] for value in values)  # each has its start and its end


class _RightHandSide:
    """The right-hand sides in a step, as torchdiffeq calls them.

    They read the tensors in ``parameters()`` themselves, so that `odeint_adjoint` can differentiate
    with respect to these.
    """

    def __init__(self, flow: AdaptiveFlow, step: int, autocast: Autocast):
        self._flow = flow.shallow_copy()
        self._step = step
        self._autocast = autocast
        names = [name for name in flow._parameters if flow._parameters[name] is not None]
        names += [name for name, m in flow._modules.items() if isinstance(m, Knotted)]
        self._values = {name: _value_at(getattr(flow, name), step) for name in names}
        self._flow.__dict__.update({n: OneStepStack(v) for n, v in self._values.items()})

    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors that the right-hand sides are differentiated with respect to."""
        modules = [m for m in self._flow._modules.values() if isinstance(m, nn.ModuleList)]
        inner = [p for stack in modules for p in _value_at(stack, self._step).parameters()]
        return tuple(t for t in (*self._values.values(), *inner) if t.requires_grad)

    def __call__(self, time: Tensor, state: State) -> State:
        """The derivatives of all slots; zero for one that only holds an input."""
        flow = self._flow
        if not torch.is_grad_enabled() or flow.memory != "adjoint":
            flow.count("evaluations")
        with self._autocast.activate():
            rates = flow.field(state, self._step, **({"since": time} if flow.timed else {}))
        rates = tuple(rate.to(y.dtype) for rate, y in zip(rates, state, strict=False))
        return (*rates, *(torch.zeros_like(y) for y in state[len(rates) :]))

    def callback_accept_step(self, *_: Any) -> None:
        """Counts a step; torchdiffeq calls this after each that it accepts."""
        self._flow.count("steps")


def _value_at(stack: Any, step: int) -> Any:
    return stack[step if len(stack) > 1 else 0]
