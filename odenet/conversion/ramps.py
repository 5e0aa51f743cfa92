"""A scheduler of ramps: scheme constants that training moves linearly from one number to another.

With γ = 0 a momentum flow is the pretrained network; with γ = 0.9 it is reversible. A ramp
leads from one to the other while the network is fine-tuned, as in Dr²Net (Zhao et al. 2024, arXiv
2401.04105).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from odenet.analyse.scheme_on_dynamics import estimate_round_trip
from odenet.conversion.module_flow import ModuleFlow
from odenet.conversion.reversible import compile_flow
from odenet.runtime import Ramp
from odenet.runtime.learned.constants import RampedConstant
from odenet.sequences import DIVISIONS, interpolate
from odenet.visible_drift import VISIBLE_DRIFT

PROGRESS_POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class RampPrediction:
    """How exactly the longest flow of a model rebuilds its states, at some progress of its ramps.

    Attributes:
        progress: the fraction of the ramps that is done, from 0 to 1.
        values: the constants that move, by name.
        is_original: whether the network is the original there, to the last bit.
        stores_activations: whether flows store activations there, since rebuilt states would be too
            wrong.
        error: estimated relative error of the rebuilt first state in float32; None where nothing
            is rebuilt, or no estimate is known.
    """

    progress: float
    values: dict[str, float]
    is_original: bool
    stores_activations: bool
    error: float | None

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {value:g}" for name, value in self.values.items())
        if self.is_original:
            outcome = "the original network, activations stored"
        elif self.stores_activations:
            outcome = "activations stored, since undoing would be too coarse"
        elif self.error is None:
            outcome = "rebuilt, with an error that is not known"
        elif not self.error <= VISIBLE_DRIFT:
            outcome = f"rebuilt to an estimated {self.error:.1e} in float32, too coarse to train by"
        else:
            outcome = f"rebuilt to an estimated {self.error:.1e} in float32"
        return f"{self.progress:4.0%} of the way, {values}: {outcome}"


class Ramps:
    """Moves the ramps of a model, as a learning-rate scheduler moves the learning rate.

    Ramps in progress resume where they are: to a thousandth of their length, since that is what the
    constants of the model keep, or with ``load_state_dict`` at the exact step.

    Args:
        model: a model with flows whose constants are ``Ramp``s.
        steps_per_epoch: optimizer steps per epoch, for ramps whose length is given in epochs.

    Attributes:
        step_count: optimizer steps since the start of the ramps.

    Raises:
        ValueError: if the model has no ramp, or one in epochs and ``steps_per_epoch`` is missing,
            or if no single number of steps has all ramps where they are.

    Example:
        ::

            model = odenet.convert(model, gamma=Ramp(0, 0.9, steps=1000))
            ramps = Ramps(model)
            print(ramps)  # how exactly states are rebuilt, from start to end
            for batch in batches:
                loss(model, batch).backward()
                optimizer.step()
                ramps.step()
    """

    def __init__(self, model: nn.Module, steps_per_epoch: int | None = None):
        # The constants with ramps, and the flows that have such constants.
        self._ramped = [module for module in model.modules() if isinstance(module, RampedConstant)]
        self._flows = [
            flow
            for flow in model.modules()
            if isinstance(flow, ModuleFlow) and flow.ramped_constants()
        ]
        self.steps_per_epoch = steps_per_epoch
        if not self._ramped:
            raise ValueError(
                f"{type(model).__name__} has no constant that moves: convert it with "
                "gamma=odenet.runtime.Ramp(0, 0.9, steps=1000), say"
            )
        self._lengths = [self._length_in_steps(ramped.ramp) for ramped in self._ramped]
        self.step_count = self._infer_step_count()

    def _infer_step_count(self) -> int:
        """The least number of optimizer steps after which the ramps are where they are now."""
        pairs = list(zip(self._ramped, self._lengths, strict=True))
        count = max(math.ceil(ramped.thousandths * length / DIVISIONS) for ramped, length in pairs)
        if any(r.thousandths > r.in_thousandths(count / length) for r, length in pairs):
            count += 1  # the division above rounds
        for ramped, length in pairs:
            if ramped.thousandths != (expected := ramped.in_thousandths(count / length)):
                raise ValueError(
                    f"the ramp of {ramped.name} is {ramped.thousandths / DIVISIONS:.1%} of its "
                    f"way, and where the others are it would be at {expected / DIVISIONS:.1%}: "
                    "make Ramps of each part of the model"
                )
        return count

    def _length_in_steps(self, ramp: Ramp) -> float:
        if ramp.steps is not None:
            return ramp.steps
        if self.steps_per_epoch is None or not self.steps_per_epoch > 0:
            raise ValueError(
                f"a ramp takes {ramp.epochs:g} epochs: say Ramps(model, steps_per_epoch=…), how "
                "many steps of the optimizer an epoch has, at least 1"
            )
        return ramp.epochs * self.steps_per_epoch

    def step(self) -> None:
        """Moves all ramps on by one optimizer step; call it after ``optimizer.step()``."""
        self.at(self.step_count + 1)

    def at(self, step: int) -> None:
        """Moves all ramps to where they are after a number of optimizer steps."""
        self.step_count = step
        for ramped, length in zip(self._ramped, self._lengths, strict=True):
            ramped.move_to(step / length)

    def state_dict(self) -> dict[str, int]:
        """The number of steps, which the state_dict of the model does not have."""
        return {"count": self.step_count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Moves all ramps to where they were in a checkpoint."""
        self.at(state["count"])

    def predictions(self) -> list[RampPrediction]:
        """How exactly the longest flow rebuilds its states, at five points of the ramps."""
        if not self._flows:
            return []
        flow = max(self._flows, key=lambda flow: flow.steps)
        return [_predict(flow, progress) for progress in PROGRESS_POINTS]

    def __str__(self) -> str:
        return "\n".join(map(str, self.predictions()))


def _predict(flow: ModuleFlow, progress: float) -> RampPrediction:
    """The estimate that `odenet compile` prints, for constants at a progress of the ramps."""
    settings = flow.settings
    assert settings is not None, "every flow of modules has them"
    constants = settings.chosen.merge_constants(settings.constants)
    numerator = int(DIVISIONS * progress)
    values = {
        name: interpolate(ramp.start, ramp.end, numerator)
        for name, ramp in constants.items()
        if isinstance(ramp, Ramp)
    }
    fixed_settings = replace(settings, constants={**constants, **values}, v0=None)
    probe = flow.shallow_copy()
    for name, value in values.items():
        probe.__dict__["_modules"] = {k: m for k, m in probe._modules.items() if k != name}
        probe.__dict__[name] = (value,) * flow.steps
    is_original, stores_activations = probe.is_original(), not probe.is_invertible_in(torch.float32)
    if is_original or stores_activations:
        return RampPrediction(progress, values, is_original, stores_activations, error=None)
    program, _ = compile_flow(fixed_settings, flow.steps)
    round_trip = estimate_round_trip(program.model, program.derivation, flow.steps)
    error = None if round_trip is None else round_trip.error.estimate
    return RampPrediction(progress, values, is_original, stores_activations, error)
