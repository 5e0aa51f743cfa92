"""The exponential moving average of the weights, which is what gets measured and kept."""

from collections import defaultdict
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(WeightAveraging):
    """Lightning's averaging with a decay, all tensors in one go, and without waiting for a GPU.

    Args:
        decay: of the old average, per step.
    """

    def __init__(self, decay: float):
        super().__init__()
        self._mix = get_ema_multi_avg_fn(decay)
        self._begun = False  # the count of torch's average as the host knows it

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the precision of the weights, which they were given after the averages were made."""
        dtype = next(pl_module.parameters()).dtype
        self.average.to(dtype=dtype)

    @property
    def average(self) -> nn.Module:
        """The task with the averaged weights."""
        return self._averaged.module

    @property
    def _averaged(self) -> AveragedModel:
        if self._average_model is None:
            raise RuntimeError("averages exist while training")
        return self._average_model

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the average where the weights are going to be, which is not where they are yet."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        self._begun = False
        if self._average_model is not None:
            self._average_model.update_parameters = self._update

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the average and its count back."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if self._average_model is not None:
            self._begun = bool(self._average_model.n_averaged > 0)

    @torch.no_grad()
    def _update(self, model: nn.Module) -> None:
        """What torch's average does; that looks at its count in every step, on the device."""
        alike: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
        for mine, new in zip(_tensors(self.average), _tensors(model), strict=True):
            if not self._begun:
                mine.copy_(new)
            averages, values = alike[mine.dtype]
            averages.append(mine.detach())
            values.append(new.detach())
        if self._begun:
            for averages, values in alike.values():
                self._mix(averages, values, self._averaged.n_averaged)
        self._averaged.n_averaged += 1
        self._begun = True


def averages(trainer: Trainer) -> list[nn.Module]:
    """The tasks with averaged weights that a trainer keeps: one or none."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return [callback.average for callback in callbacks if isinstance(callback, MovingAverage)]


def _tensors(module: nn.Module) -> chain[Tensor]:
    return chain(module.parameters(), module.buffers())
