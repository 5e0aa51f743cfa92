"""The exponential moving average of the weights, which is what gets measured and kept."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage(WeightAveraging):
    """Lightning's averaging with a decay, all tensors in one go.

    Args:
        decay: of the old average, per step.
    """

    def __init__(self, decay: float):
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the precision of the weights, which they were given after the averages were made."""
        dtype = next(pl_module.parameters()).dtype
        self.average.to(dtype=dtype)

    @property
    def average(self) -> nn.Module:
        """The averaged task."""
        if self._average_model is None:
            raise RuntimeError("averages exist while training")
        return self._average_model.module
