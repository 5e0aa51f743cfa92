"""How much of the stability limit the steps use while training, and a cap on it.

That is h ω, the step size times the spectral radius, as a share of the scheme's limit.

A flow that is proved stable in continuous time is stable as a network only if its steps are short
enough for its weights, and weights grow in training. They can also lose the signs that the proof
assumes.
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console
from torch import nn

from odenet.runtime.flow import Flow
from odenet.training.callbacks import run_callback
from odenet.training.callbacks.run_callback import EpochWatcher, warn
from odenet.training.errors import BadOption
from odenet.training.flows import ROUGH_ITERATIONS, flows, stability
from odenet.training.learning.task import Task

EXACT_ITERATIONS = 200  # of the power method for ω, if weights are rescaled by its result
TARGET_SHARE = 0.98  # h ω over its limit, after rescaling
MAX_ROUNDS = 12  # of rescaling; one is enough where ω is quadratic in the operators


class StabilityGuard(EpochWatcher):
    """After the last step of each epoch measures h ω / limit, and warns or rescales the operators.

    It warns once of each condition of the proof that the weights no longer satisfy. What it does
    depends on the weights alone, so that a resumed run does the same.

    Args:
        rescale: bring steps beyond the limit back below it; else warn once.
        console: where to warn.
    """

    def __init__(self, rescale: bool, console: Console):
        self.rescale = rescale
        self.console = console
        self._warned = False
        self._broken_conditions: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to rescale what cannot be measured."""
        if self.rescale:
            run_callback.require_whole_weights(trainer, "--guard rescale", "--guard warn")
        if self.rescale and isinstance(pl_module, Task) and stability(pl_module.network, 1) is None:
            message = "--guard rescale: no stability limit is known for a flow of this network"
            raise BadOption(message, "`odenet check` says why; use --guard warn")

    def on_epoch_trained(self, trainer: Trainer, task: Task) -> None:
        """Check the weights, before they are validated."""
        if not run_callback.has_whole_weights(trainer):
            return
        self._warn_of_conditions(task.network, trainer.current_epoch + 1)
        if self.rescale:
            rescale(task.network)
        limit_share = stability(task.network, ROUGH_ITERATIONS)
        if limit_share is None:
            return
        task.callback_values["stability"] = limit_share
        if not limit_share <= 1 and not self._warned:
            self._warned = True
            option = "" if self.rescale else ", or keep it below by --guard rescale"
            problem = f"h·ω is {limit_share:.3g} times its limit; shorten h{option}"
            when = f"after epoch {trainer.current_epoch + 1}"
            warn(self.console, f"{when} the steps are too long for the weights: {problem}")

    def _warn_of_conditions(self, network: nn.Module, epoch: int) -> None:
        """Warn of conditions of the certificate that do not hold, once of each."""
        conditions = [pair for flow in flows(network).values() for pair in flow.conditions()]
        broken = dict.fromkeys(text for text, holds in conditions if not holds)
        new = [text for text in broken if text not in self._broken_conditions]
        self._broken_conditions.update(new)
        if new:
            problem = "the proof about the spectrum does not hold for the weights"
            conditions_text = " and ".join(new)
            warn(self.console, f"after epoch {epoch} {problem}: it rests on {conditions_text}")


def rescale(network: nn.Module) -> None:
    """Scale the operators of every step whose h ω is above its limit, until it is below."""
    for flow in flows(network).values():
        for _ in range(MAX_ROUNDS):
            shares = flow.stability(EXACT_ITERATIONS)
            beyond = (shares > 1) & shares.isfinite()  # no factor brings an infinite one back
            if not beyond.any():
                break
            _scale(flow, torch.where(beyond, (TARGET_SHARE / shares).sqrt(), 1.0))


@torch.no_grad()
def _scale(flow: Flow, factors: torch.Tensor) -> None:
    """Multiply the operators of each step by its factor; shared ones by the smallest."""
    for name in flow.operators:
        stack = getattr(flow, name)
        scales = factors.amin(0, keepdim=True) if name in flow.shared else factors
        stack.mul_(scales.to(stack).view(-1, *(1,) * (stack.ndim - 1)))
