"""Constants of converted models that move while training, from the original to a reversible net.

Dr²Net (Zhao et al. 2024, arXiv 2401.04105) fine-tunes pretrained networks this way: it begins with
the pretrained network itself, and its coefficients go over into those of a reversible one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from odenet.analyse.scheme_on_dynamics import undone
from odenet.conversion.module_flow import ModuleFlow
from odenet.conversion.reversible import compiled
from odenet.runtime import Ramp
from odenet.runtime.learned.constants import Moving
from odenet.sequences import PARTS, between
from odenet.visible_drift import VISIBLE_DRIFT

WAYS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Predicted:
    """How well the longest flow of a model is undone at a part of the way.

    Attributes:
        way: the part, from 0 to 1.
        values: of the constants that move, by name.
        original: whether the network is the original there, to the last bit.
        stored: whether flows store activations there, since rebuilt states would be too wrong.
        error: estimated relative error of the rebuilt first state in float32; None where nothing
            is rebuilt, or no estimate is known.
    """

    way: float
    values: dict[str, float]
    original: bool
    stored: bool
    error: float | None

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {value:g}" for name, value in self.values.items())
        if self.original:
            what = "the original network, activations stored"
        elif self.stored:
            what = "activations stored, since undoing would be too coarse"
        elif self.error is None:
            what = "rebuilt, with an error that is not known"
        elif not self.error <= VISIBLE_DRIFT:
            what = f"rebuilt to an estimated {self.error:.1e} in float32, too coarse to train by"
        else:
            what = f"rebuilt to an estimated {self.error:.1e} in float32"
        return f"{self.way:4.0%} of the way, {values}: {what}"


class Ramps:
    """Moves the ramps of a model, as a schedule moves the learning rate.

    Ramps in progress resume where they are: to the thousandth that a constant keeps, and to the
    very step by ``load_state_dict``.

    Args:
        model: with flows whose constants are ``Ramp``s.
        steps_per_epoch: of the optimizer; for ramps whose length is said in epochs.

    Raises:
        ValueError: if the model has no ramp, or one in epochs and nothing says how long these are,
            or if the places of its ramps do not belong to one number of steps.

    Example:
        ::

            model = odenet.convert(model, gamma=Ramp(0, 0.9, steps=1000))
            ramps = Ramps(model)
            print(ramps)  # how exactly the steps are undone, over the way
            for batch in batches:
                loss(model, batch).backward()
                optimizer.step()
                ramps.step()
    """

    def __init__(self, model: nn.Module, steps_per_epoch: int | None = None):
        self._moving = [module for module in model.modules() if isinstance(module, Moving)]
        self._flows = [
            flow for flow in model.modules() if isinstance(flow, ModuleFlow) and flow.moving()
        ]
        self.steps_per_epoch = steps_per_epoch
        if not self._moving:
            raise ValueError(
                f"{type(model).__name__} has no constant that moves: convert it with "
                "gamma=odenet.runtime.Ramp(0, 0.9, steps=1000), say"
            )
        self._lengths = [self._length(moving.ramp) for moving in self._moving]
        self.count = self._found()

    def _found(self) -> int:
        """The least number of steps that has the ramps where they are."""
        pairs = list(zip(self._moving, self._lengths, strict=True))
        count = max(math.ceil(moving.part * length / PARTS) for moving, length in pairs)
        if any(moving.part > moving.place(count / length) for moving, length in pairs):
            count += 1  # the division above rounds
        for moving, length in pairs:
            if moving.part != (there := moving.place(count / length)):
                raise ValueError(
                    f"the ramp of {moving.name} is {moving.part / PARTS:.1%} of its way, and where "
                    f"the others are it would be at {there / PARTS:.1%}: make Ramps of each part "
                    "of the model"
                )
        return count

    def _length(self, ramp: Ramp) -> float:
        if ramp.steps is not None:
            return ramp.steps
        if self.steps_per_epoch is None or not self.steps_per_epoch > 0:
            raise ValueError(
                f"a ramp takes {ramp.epochs:g} epochs: say Ramps(model, steps_per_epoch=…), how "
                "many steps of the optimizer an epoch has, at least 1"
            )
        return ramp.epochs * self.steps_per_epoch

    def step(self) -> None:
        """After a step of the optimizer: moves all ramps on."""
        self.at(self.count + 1)

    def at(self, step: int) -> None:
        """Moves all ramps to where they are after this number of steps of the optimizer."""
        self.count = step
        for moving, length in zip(self._moving, self._lengths, strict=True):
            moving.move(step / length)

    def state_dict(self) -> dict[str, int]:
        """How many steps were taken; the state_dict of the model does not have that."""
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on from a checkpoint."""
        self.at(state["count"])

    def predicted(self) -> list[Predicted]:
        """How exactly the longest flow is undone, over the way."""
        if not self._flows:
            return []
        flow = max(self._flows, key=lambda flow: flow.steps)
        return [_predicted(flow, way) for way in WAYS]

    def __str__(self) -> str:
        return "\n".join(map(str, self.predicted()))


def _predicted(flow: ModuleFlow, way: float) -> Predicted:
    """The estimate that `odenet compile` prints, with the constants as they are at a part of it."""
    settings = flow.settings
    assert settings is not None, "every flow of modules has them"
    constants = settings.scheme.with_constants(settings.constants)
    part = int(PARTS * way)
    values = {
        name: between(ramp.start, ramp.end, part)
        for name, ramp in constants.items()
        if isinstance(ramp, Ramp)
    }
    at = replace(settings, constants={**constants, **values}, v0=None)
    probe = flow.view()
    for name, value in values.items():
        probe.__dict__["_modules"] = {k: m for k, m in probe._modules.items() if k != name}
        probe.__dict__[name] = (value,) * flow.steps
    original, stored = probe.is_original(), not probe.undoes(torch.float32)
    if original or stored:
        return Predicted(way, values, original, stored, None)
    program, _ = compiled(at, flow.steps)
    found = undone(program.model, program.derivation, flow.steps)
    return Predicted(way, values, False, False, None if found is None else found.error.estimate)
