"""What is trained: the network with its loss, metrics, optimizer and schedule."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from odenet.diagnostics import shell_quoted
from odenet.model.tables.recipe import Recipe
from odenet.runtime.optimizer_in_backward import OptimizerInBackward
from odenet.runtime.passes.fixed_point import Inexact
from odenet.training.data.batches import Batch
from odenet.training.data.samples import LabelInfo, RandomStream, random_generator
from odenet.training.errors import Diverged, UnreadableData
from odenet.training.flows import ROUGH_ITERATIONS, flows, stability
from odenet.training.learning.details import Details
from odenet.training.learning.divergence import divergence_of
from odenet.training.learning.losses import objective_of
from odenet.training.learning.optim import build_optimizer, rate_factor
from odenet.training.learning.scores import Scores, is_score

PROGRESS_NAMES = {  # the names in the progress bar of columns of metrics.csv
    "samples_per_second": "samples/s",
    "tokens_per_second": "tokens/s",
    "stability": "h·ω/limit",
    "drift": "drifted by",
    "memory": "MiB",
}


class Task(LightningModule):
    """A network trained by the loss of its recipe, with the recipe's penalties.

    Args:
        network: maps inputs to what the loss takes.
        recipe: how to train it.
        label_info: kind and statistics of the labels.
        validation_name: the name of the split that is measured after each epoch.
        level: how often the flows have been refined.

    Attributes:
        clipping_in_backward: how gradients are clipped by an optimizer that acts in the backward
            pass, "exact" or "last"; None for one that acts after it.
        details: collects details of every measured sample; None if they are not asked for.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        label_info: LabelInfo,
        validation_name: str = "test",
        level: int = 0,
    ):
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.objective = objective_of(recipe, label_info)
        self.validation_name = validation_name
        self.level = level
        self.clipping_in_backward: Any = None
        self.details: Details | None = None
        self.callback_values: dict[str, float] = {}  # more columns for the row of an epoch
        self.first_loss: Tensor | None = None  # of the very first batch
        self.seconds = 0.0  # spent on training batches, validation not counted
        self.train_scores = Scores(self.objective)
        self.test_scores = Scores(self.objective)
        self._validation_scores: dict[str, Tensor] = {}
        self._clock_start = 0.0
        self._samples_since_start = 0  # samples since the epoch began, or was resumed
        self._speed = 0.0  # samples per second in the last epoch
        self._sample_tokens = 0  # tokens in a sample of a text; 0 for other data
        self._random_states: dict[str, Tensor] = {}
        self._in_backward: OptimizerInBackward | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """The network's output, (batch, …)."""
        return self.network(inputs)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """The loss of one batch, penalties included."""
        inputs, labels = batch
        output = self._network_output(inputs)
        objective = self.objective
        loss = objective.training_loss(output, labels)
        compared = objective.metric_inputs(output, labels)
        reported = objective.reported_loss(loss)
        if self.first_loss is None and self.global_step == self.current_epoch == 0:
            self.first_loss = reported.detach()
        self.train_scores.update(reported, len(inputs), compared, finite_only=True)
        self._samples_since_start += len(inputs)
        self._sample_tokens = inputs.shape[1] if objective.kind.labels == "tokens" else 0
        return loss + self.penalty() if self.recipe.smooth else loss

    def penalty(self) -> Tensor | float:
        """The weighted roughness of the weights in time (Chang et al. 2018, AAAI, Eq. 22)."""
        return self.recipe.smooth * sum(flow.smoothness() for flow in flows(self.network).values())

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Measure one batch; the loss is that without smoothing or weights of classes."""
        inputs, labels = batch
        output = self._network_output(inputs)
        loss = self.objective.loss(output, labels)
        self.test_scores.update(loss, len(inputs), self.objective.metric_inputs(output, labels))
        if self.details is not None:
            self.details.update(output, labels)

    def on_validation_epoch_end(self) -> None:
        """Keep the scores for the row that `on_train_epoch_end` logs."""
        self._validation_scores = self._collect_measured(self.validation_name)

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Log the scores, for `evaluate`."""
        self.log_dict(self._collect_measured("test"))

    def _collect_measured(self, split: str) -> dict[str, Tensor]:
        if self.trainer.world_size == 1 and not self.test_scores.loss.weight.any():
            raise UnreadableData(f"no sample of the {split} split could be read")
        return self.test_scores.collect(split)

    def on_train_start(self) -> None:
        """Restore the random state of an interrupted run; with several processes, seed each."""
        if self.trainer.world_size > 1:
            key = (self.recipe.seed, self.trainer.global_rank, self.global_step)
            torch.manual_seed(int(random_generator(RandomStream.DROPOUT, *key).integers(2**32)))
        elif self._random_states:
            torch.set_rng_state(self._random_states["cpu"].cpu())
            if "cuda" in self._random_states and self.device.type == "cuda":
                torch.cuda.set_rng_state(self._random_states["cuda"].cpu(), self.device)
        self._follow_recipe()
        self._clock_start = time.perf_counter()

    def _follow_recipe(self) -> None:
        """Set the optimizer's numbers to the recipe's, which may have changed before a resume."""
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        new_groups = build_optimizer(self.network, self.recipe.optimizer).param_groups
        for group, new in zip(optimizer.param_groups, new_groups, strict=True):
            group.update({k: v for k, v in new.items() if k not in ("params", "lr")})
            group["initial_lr"] = new["lr"]
        schedule.base_lrs = [group["lr"] for group in new_groups]
        for group, factor in zip(optimizer.param_groups, schedule.lr_lambdas, strict=True):
            group["lr"] = group["initial_lr"] * factor(schedule.last_epoch)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's clock."""
        self._samples_since_start = 0
        self._clock_start = time.perf_counter()

    def on_validation_start(self) -> None:
        """Stop the epoch's clock."""
        self._stop_clock()

    def on_train_epoch_end(self) -> None:
        """Log the epoch's row; raise if its losses are not finite."""
        row = self.train_scores.collect("train") | self._validation_scores
        for split in ("train", self.validation_name):
            loss = row[f"{split}_loss"].item()
            if not math.isfinite(loss):
                after = f"after epoch {self.current_epoch + 1}"
                raise self.divergence(f"the mean loss on the {split} split is {loss} {after}")
        columns = {"samples_per_second": self._speed, **self.callback_values}
        if self._sample_tokens:
            columns["tokens_per_second"] = self._speed * self._sample_tokens
        if self.device.type == "cuda":
            columns["memory"] = torch.cuda.max_memory_allocated(self.device) / 2**20
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log_dict({**row, "lr": rate, "seconds": self.seconds, **columns})
        metric, split = self.objective.metric_kinds[0], self.validation_name
        title = split if metric.name == "accuracy" else f"{split} {metric.title}"
        progress = {"loss": row["train_loss"], title: row[f"{split}_{metric.name}"]}
        if self._sample_tokens:
            del columns["samples_per_second"]
        progress |= {PROGRESS_NAMES[name]: value for name, value in columns.items()}
        self.log_dict(progress, prog_bar=True, logger=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimizer, its schedule moved on after every step.

        The data knows how many steps an epoch has. Asking the trainer would make it set up the
        loaders before it has read from a checkpoint how far they were.
        """
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        unfused = self.recipe.precision == "fp16" and self.recipe.clip > 0
        optimizer = build_optimizer(self.network, self.recipe.optimizer, unfused)
        if self.clipping_in_backward is not None:
            clip, by = self.recipe.clip, self.clipping_in_backward
            self._in_backward = OptimizerInBackward(self.network, optimizer, clip, by)
        schedule = LambdaLR(optimizer, rate_factor(self.recipe, data.steps_per_epoch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Back-propagate; an optimizer in the backward pass moves the weights meanwhile."""
        if self._in_backward is None:
            super().backward(loss, *args, **kwargs)
        else:
            self._in_backward.backward(loss)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know: refinements, the clock, and the random state."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        loss = None if self.first_loss is None else self.first_loss.item()
        entries = {"level": self.level, "seconds": self.seconds, "random": random}
        checkpoint["odenet"] = {**entries, "first_loss": loss}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added, apart from refinements.

        Sums of metrics that an older version did not have begin at 0.
        """
        for entry in ("state_dict", "current_model_state"):  # see `write_checkpoint`
            for name, value in self.state_dict().items():
                if entry in checkpoint and is_score(name):
                    checkpoint[entry].setdefault(name, value)
        self.seconds = checkpoint["odenet"]["seconds"]
        loss = checkpoint["odenet"]["first_loss"]
        self.first_loss = None if loss is None else torch.tensor(loss)
        self._random_states = checkpoint["odenet"]["random"]

    def divergence(self, what: str, inputs: Tensor | None = None, otherwise: str = "") -> Diverged:
        """The error to raise when numbers are no longer finite, with its likely causes.

        Args:
            what: what is not finite, and when.
            inputs: the inputs of the pass in which that happened, to find the flow and step by; if
                None these are not looked for.
            otherwise: the explanation to give if no flow and step are found.
        """
        with torch.no_grad():
            limit_share = stability(self.network, ROUGH_ITERATIONS)
            where = "" if inputs is None else divergence_of(self.network, inputs)
        why = where or otherwise
        message = f"{what}: {why}" if why else what
        rate = self.recipe.optimizer["lr"]
        option = f"--set lr={rate / 10:g}"
        help_ = f"lower the rate, as in {option}, add a warmup to the schedule, or set clip = 1"
        if limit_share is not None and not limit_share <= 1:
            message += f" (h·ω is {limit_share:.3g} times its limit of stability)"
            help_ = f"shorten h; {help_}"
        if self._trainer is None or self.trainer.state.fn != "fit":
            return Diverged(message, help_, 0, rate, None)
        run, what_next = str(self.trainer.default_root_dir), "no epoch was complete: start again"
        has_checkpoint = (Path(run) / "checkpoints" / "last.ckpt").is_file()
        if has_checkpoint:
            command = f"odenet train --resume {shell_quoted(run)} --set NAME=VALUE"
            what_next = f"from the last checkpoint on: {command}"
        epoch, help_ = self.current_epoch + 1, f"{help_}; {what_next}"
        return Diverged(message, help_, epoch, rate, run if has_checkpoint else None)

    def _network_output(self, inputs: Tensor) -> Any:
        """The output for a batch, as the loss takes it."""
        try:
            return self.objective.network_output(self.network, inputs)
        except Inexact as error:
            when = f"in epoch {self.current_epoch + 1}" if self.training else "while measuring"
            raise self.divergence(f"exact arithmetic fails {when}", inputs, str(error)) from error

    def _stop_clock(self) -> None:
        now = time.perf_counter()
        seconds = now - self._clock_start
        self._speed = self._samples_since_start * self.trainer.world_size / seconds
        self.seconds += seconds
        self._clock_start = now
