"""The exponential moving average of the weights, which is measured and saved in their place."""

from collections import defaultdict
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(WeightAveraging):
    """Lightning's weight averaging, for all tensors at once and without waiting for a GPU.

    Args:
        decay: the factor of the old average, per step.
    """

    def __init__(self, decay: float):
        super().__init__()
        self._average_into = get_ema_multi_avg_fn(decay)
        self._has_average = False  # so that torch's count is not read from the GPU

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the dtype of the weights, which was set after the average was created."""
        self.average.to(dtype=next(pl_module.parameters()).dtype)

    @property
    def average(self) -> nn.Module:
        """The task with the averaged weights."""
        return self._averaged.module

    @property
    def _averaged(self) -> AveragedModel:
        if self._average_model is None:
            raise RuntimeError("averages exist only in training")
        return self._average_model

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the average on the device that the weights are about to move to."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        self._has_average = False
        if self._average_model is not None:
            self._average_model.update_parameters = self._update

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the average and its count."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if self._average_model is not None:
            self._has_average = bool(self._average_model.n_averaged > 0)

    @torch.no_grad()
    def _update(self, model: nn.Module) -> None:
        """Replaces torch's update, which would read its count from the GPU in every step."""
        pairs: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
        for average, new in zip(_tensors(self.average), _tensors(model), strict=True):
            if not self._has_average:
                average.copy_(new)
            averages, values = pairs[average.dtype]
            averages.append(average.detach())
            values.append(new.detach())
        if self._has_average:
            for averages, values in pairs.values():
                self._average_into(averages, values, self._averaged.n_averaged)
        self._averaged.n_averaged += 1
        self._has_average = True


def averaged_tasks(trainer: Trainer) -> list[nn.Module]:
    """The averaged copies of the task that a trainer's callbacks keep: one or none."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return [callback.average for callback in callbacks if isinstance(callback, MovingAverage)]


def _tensors(module: nn.Module) -> chain[Tensor]:
    return chain(module.parameters(), module.buffers())
