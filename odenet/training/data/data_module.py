"""Lightning's data module: a loader for each split of a data set."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lightning.pytorch import LightningDataModule

from odenet.memory_limit import physical_memory
from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.training.data.batches import Batches, BatchPlan
from odenet.training.data.picture_reader import reading_processes
from odenet.training.data.samples import DataSet, Split, fraction_of, hold_out
from odenet.training.data.transforms import Transforms, build_transforms
from odenet.training.errors import RecipeConflict, UnreadableData

ORDER_BYTES = 3 * 8  # per sample of an epoch, whose order is joined, copied and cut: three arrays


def validation_name_of(recipe: Recipe) -> str:
    """The name of the split that is measured after each epoch: "val", or without one "test"."""
    return "val" if recipe.holdout else "test"


class SplitLoaders(LightningDataModule):
    """Loaders for the training, validation and test split of a data set.

    Args:
        data: the data set.
        recipe: gives batch, seed, augmentations, fraction and holdout.
        shape: the shape of a sample as the network takes it.
        transforms: applied to the samples; built from the training split if None.
        steps: the largest number of steps in an epoch; the recipe's `steps` if None.
    """

    def __init__(
        self,
        data: DataSet,
        recipe: Recipe,
        shape: Sequence[int],
        transforms: Transforms | None = None,
        steps: int | None = None,
    ):
        super().__init__()
        self._max_steps = recipe.steps if steps is None else steps
        train = fraction_of(data.train, recipe.fraction, recipe.seed)
        self.validation, self.validation_name = data.test, validation_name_of(recipe)
        if recipe.holdout:
            train, self.validation = hold_out(train, recipe.holdout, recipe.seed)
            if not len(train):
                raise RecipeConflict(
                    f"holdout = {recipe.holdout} leaves no sample of {data.name} to train on",
                    "choose a smaller share, as in --set holdout=0.1",
                )
        if not len(data.test):
            raise UnreadableData(
                f"the test split of {data.name} has no sample that can be read",
                "; ".join(data.damaged[:3]),
            )
        _require_memory_for_order(len(train), recipe)
        self.data_set = data
        self.train, self.test = train, data.test
        self.name = data.name
        self.classes = data.classes
        self.recipe = recipe
        self.label_info = data.label_info(train, recipe)
        self.transforms = transforms or build_transforms(
            train, shape, recipe.augment, data.standardise, len(data.classes)
        )
        if loss_kind(recipe.loss).needs_density:
            is_real = train.stored_dtype != "uint8"
            if is_real:  # the likelihood is that of the numbers as they are
                self.transforms = self.transforms.standardising_by([0.0], [1.0])
            spacing = () if is_real else self.transforms.pixel_spacing
            self.label_info = replace(self.label_info, numbers=math.prod(shape), grain=spacing)
        self._loaders: list[Batches] = []
        self._damaged = data.damaged

    def train_dataloader(self) -> Batches:
        """The training split, shuffled and augmented."""
        return self._batches(self.train, self._plan)

    def val_dataloader(self) -> Batches:
        """The split that chooses the best epoch: held-out samples, or else the test split."""
        plan = BatchPlan(len(self.validation), 2 * self.recipe.batch)  # twice, without gradients
        return self._batches(self.validation, plan)

    def test_dataloader(self) -> Batches:
        """The test split, in the order in which it is stored."""
        return self._batches(self.test, BatchPlan(len(self.test), 2 * self.recipe.batch))

    @property
    def damaged(self) -> list[str]:
        """A line for every picture that could not be read so far."""
        streamed = (line for loader in self._loaders for line in loader.damaged)
        return list(dict.fromkeys([*self._damaged, *streamed]))

    @property
    def measured_indices(self) -> list[int]:
        """The indices in their split of the samples that were measured last, in order."""
        return [index for part in self._loaders[-1].measured_indices for index in part.tolist()]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return -(-len(self._plan) // self.recipe.accumulate)

    @property
    def samples_per_epoch(self) -> int:
        """Training samples seen in an epoch."""
        return min(len(self._plan) * self.recipe.batch, self._plan.samples_per_epoch)

    @property
    def _plan(self) -> BatchPlan:
        """The plan of the training split, for a single process."""
        recipe = self.recipe
        max_batches = self._max_steps * recipe.accumulate  # a large text has many more per epoch
        plan = BatchPlan(len(self.train), recipe.batch, recipe.seed, shuffle=True)
        return replace(plan, repeat=recipe.repeat, max_batches=max_batches)

    def _batches(self, split: Split, plan: BatchPlan) -> Batches:
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("loaders belong to a Trainer")
        if plan.batch_size % trainer.world_size:
            raise RecipeConflict(
                f"batch = {self.recipe.batch} does not divide among {trainer.world_size} processes",
                f"choose a multiple of {trainer.world_size}, as in --set batch="
                f"{-(-self.recipe.batch // trainer.world_size) * trainer.world_size}",
            )
        plan.rank, plan.world_size = trainer.global_rank, trainer.world_size
        device = trainer.strategy.root_device
        workers = reading_processes(trainer.num_devices)
        loader = Batches(split, self.transforms, plan, device, workers)
        self._loaders.append(loader)
        return loader


def _require_memory_for_order(samples: int, recipe: Recipe) -> None:
    """Refuse an epoch whose order alone would fill the memory."""
    memory = physical_memory()
    epoch = samples * recipe.repeat
    if memory is not None and ORDER_BYTES * epoch > memory:
        raise RecipeConflict(
            f"repeat = {recipe.repeat} makes an epoch of {epoch:,} samples, whose order alone "
            "this machine cannot hold",
            "repeat less often, for more epochs",
        )
