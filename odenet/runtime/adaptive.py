"""Flows whose steps are solved to a tolerance, by torchdiffeq."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from odenet.extras import require
from odenet.runtime.flow import Flow
from odenet.runtime.learned.knots import Knotted
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.step_weights import OneStep
from odenet.runtime.passes.torch_settings import Autocast
from odenet.runtime.tracing import tracing

require("adaptive", "a flow with adaptive steps")
from torchdiffeq import odeint, odeint_adjoint  # noqa: E402


class AdaptiveFlow(Flow):
    """A flow whose every step of length h is as many steps of a solver as the tolerances ask for.

    Its memory is "adjoint" by default: the backward solves the adjoint equation from the end, and
    stores nothing (Chen et al. 2018). Its gradient is that of the equation, as exact as the
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
        self._counts = {"steps": 0, "evaluations": 0}  # shared with the views of calls
        self._mode: Literal["adjoint", "stored", "checkpoint"] = "adjoint"

    @property
    def steps_taken(self) -> int:
        """Accepted steps of the solver in the last call, over all steps of the flow."""
        return self._counts["steps"]

    @property
    def evaluations(self) -> int:
        """Evaluations of the right-hand sides in the last call, without those of its backward."""
        return self._counts["evaluations"]

    def count(self, what: str) -> None:
        """Called by the solver."""
        self._counts[what] += 1

    @property
    def memory(self) -> Any:
        """What the backward works from: "adjoint", "stored" or "checkpoint"."""
        return self._mode

    @memory.setter
    def memory(self, memory: Any) -> None:
        if memory not in ("adjoint", "stored", "checkpoint"):
            raise ValueError(
                f'memory of an adaptive flow is "adjoint", "stored" or "checkpoint", not {memory!r}'
            )
        self._mode = memory

    def evolve(self, state: State) -> State:
        """All steps, with gradients as ``memory`` says."""
        if torch.compiler.is_exporting() or tracing():
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
        """One step of length h, to the tolerances."""
        times = torch.tensor([0.0, self.h], dtype=state[0].dtype, device=state[0].device)
        options: dict[str, Any] = {"rtol": self.rtol, "atol": self.atol, "method": self.method}
        rate = _Rate(self, step, Autocast.current(state[0].device))
        if self.memory == "adjoint" and torch.is_grad_enabled():
            ends = odeint_adjoint(rate, state, times, adjoint_params=rate.learned(), **options)
        else:
            ends = odeint(rate, state, times, **options)
        return tuple(end[-1] for end in ends)


class _Rate:
    """The right-hand sides at a step, on the very tensors that their gradient is asked for."""

    def __init__(self, flow: AdaptiveFlow, step: int, autocast: Autocast):
        self._flow = flow.view()
        self._step = step
        self._autocast = autocast
        names = [name for name in flow._parameters if flow._parameters[name] is not None]
        names += [name for name, m in flow._modules.items() if isinstance(m, Knotted)]
        self._values = {name: _at(getattr(flow, name), step) for name in names}
        self._flow.__dict__.update({name: OneStep(value) for name, value in self._values.items()})

    def learned(self) -> tuple[Tensor, ...]:
        """What the rates are differentiated by."""
        modules = [m for m in self._flow._modules.values() if isinstance(m, nn.ModuleList)]
        inner = [p for stack in modules for p in _at(stack, self._step).parameters()]
        return tuple(t for t in (*self._values.values(), *inner) if t.requires_grad)

    def __call__(self, time: Tensor, state: State) -> State:
        """One tensor per stored value; an input that the rates read stays as it is."""
        flow = self._flow
        if not torch.is_grad_enabled() or flow.memory != "adjoint":
            flow.count("evaluations")
        with self._autocast.entered():
            rates = flow.field(state, self._step, **({"since": time} if flow.timed else {}))
        rates = tuple(rate.to(y.dtype) for rate, y in zip(rates, state, strict=False))
        return (*rates, *(torch.zeros_like(y) for y in state[len(rates) :]))

    def callback_accept_step(self, *_: Any) -> None:
        """Counts a step; torchdiffeq calls this after each that it accepts."""
        self._flow.count("steps")


def _at(stack: Any, step: int) -> Any:
    return stack[step if len(stack) > 1 else 0]
