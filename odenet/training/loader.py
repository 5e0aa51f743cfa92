"""Batches of an epoch, on the training device."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Recipe
from odenet.room import physical_memory
from odenet.runtime.memory_format import channels_innermost
from odenet.training.augment import Draws, Transforms, build_transforms
from odenet.training.class_maps import Maps
from odenet.training.errors import RecipeConflict, UnreadableData
from odenet.training.pictures import PictureReader, Pictures, reading_processes
from odenet.training.samples import DataSet, Split, Stream, generator, hold_out, part
from odenet.training.stored import Stored
from odenet.training.windows import Windows

ORDER_BYTES = 3 * 8  # of a place in the order of an epoch: it is joined, copied, and divided
Batch = tuple[Tensor, Tensor]  # inputs as the network takes them, labels or next tokens


@dataclass
class BatchPlan:
    """Which samples make up the batches of the current epoch, for one of `world` processes.

    Every process knows the whole epoch's order and takes every `world`-th sample of each batch, so
    that the batches, put together, are those of a single process.

    Args:
        count: samples in the split.
        batch: samples per step, over all processes.
        seed: of the order.
        shuffle: a new order every epoch without an incomplete last batch; else all, as stored.
        repeat: how often an epoch goes through all samples, each time in a new order.
        rank: this process.
        world: the number of processes.
        epoch: the current epoch; Lightning sets it.
        most: batches in an epoch at most; 0 for all.
    """

    count: int
    batch: int
    seed: int = 0
    shuffle: bool = False
    repeat: int = 1
    rank: int = 0
    world: int = 1
    epoch: int = 0
    most: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole = self.samples // self.batch
        count = max(1, whole) if self.shuffle else -(-self.samples // self.batch)
        return min(count, self.most or count)

    @property
    def samples(self) -> int:
        """Places in the order of an epoch."""
        return self.count * self.repeat

    def order(self) -> np.ndarray:
        """All samples, in the order of the epoch."""
        if not self.shuffle:
            return np.arange(self.count)
        rng = generator(Stream.ORDER, self.seed, self.epoch)
        return np.concatenate([rng.permutation(self.count) for _ in range(self.repeat)])

    def places(self, first: int = 0) -> Iterator[np.ndarray]:
        """This process's positions in the order, one array per batch from the `first` on."""
        for number in range(first, len(self)):
            stop = min((number + 1) * self.batch, self.samples)
            yield np.arange(number * self.batch + self.rank, stop, self.world)


class Batches:
    """The batches of a split, epoch after epoch; can be stopped and resumed inside an epoch.

    Args:
        split: the samples; tensors are moved to the device once.
        transforms: what happens to them.
        plan: which samples, in which order.
        device: where the network is.
        workers: processes that decode pictures left on disk.
    """

    def __init__(
        self,
        split: Split,
        transforms: Transforms,
        plan: BatchPlan,
        device: torch.device,
        workers: int = 0,
    ):
        self.sampler = plan  # where Lightning looks for `set_epoch`,
        self.batch_sampler = None  # and here, as a DataLoader has both
        self.damaged: dict[str, None] = {}
        self.measured: list[Tensor] = []  # the places of the samples of each batch that measures
        self._transforms = transforms.to(device)
        maps = split.labels if isinstance(split.labels, Maps) else None
        self._labels = None if isinstance(split.labels, Maps) else split.labels.to(device)
        self._device = device
        inputs = split.inputs
        self._source: Tensor | Windows | Stored | PictureReader
        if isinstance(inputs, Pictures):
            self._source = PictureReader(inputs, workers, device.type == "cuda", maps)
        else:
            self._source = inputs.to(device) if isinstance(inputs, Tensor) else inputs
        self._served = 0
        self._resume_at = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        plan = self.sampler
        self._served, self._resume_at = self._resume_at, 0
        self.measured = []
        if isinstance(self._source, Windows):
            yield from self._texts(self._source)
            return
        draws: Draws = ()
        if plan.shuffle:
            drawn = self._transforms.draw(plan.seed, plan.epoch, plan.samples)
            draws = tuple(numbers.to(self._device) for numbers in drawn)
        for inputs, labels, samples, places in self._fetch(plan.order()):
            self._served += 1
            if not plan.shuffle:
                self.measured.append(samples)
            rows = tuple(numbers[places] for numbers in draws)
            if not labels.is_floating_point():
                labels = labels.long()  # maps of classes are kept in bytes
            batch, labels = self._transforms.with_labels(inputs, labels, rows)
            if self._device.type == "cuda":  # once here, and not around every flow
                batch = channels_innermost(batch)
            yield batch, labels

    def state_dict(self) -> dict[str, Any]:
        """How far the epoch is; Lightning puts it into checkpoints."""
        return {"served": self._served}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next epoch where the saved one stopped."""
        self._resume_at = state["served"] % len(self)

    def _texts(self, source: Windows) -> Iterator[Batch]:
        """Windows of a text, and for each of their tokens the one that follows it."""
        plan = self.sampler
        drawn = generator(Stream.WINDOWS, plan.seed, plan.epoch)
        offset = int(drawn.integers(source.size)) if plan.shuffle else 0
        order = plan.order()
        for places in plan.places(self._served):
            self._served += 1
            windows = source.read(order[places], offset).to(self._device, non_blocking=True)
            yield windows[:, :-1], windows[:, 1:]

    def _fetch(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Stored inputs and labels, their indices in the split, and their places in the order."""
        everywhere = torch.from_numpy(order).to(self._device)
        positions = list(self.sampler.places(self._served))
        # In one go: a device is waited for whenever numbers go to it from ordinary memory.
        together = torch.from_numpy(np.concatenate(positions)).to(self._device)
        parts = zip(positions, together.split(list(map(len, positions))), strict=True)
        if isinstance(self._source, Tensor):
            for _, places in parts:
                samples = everywhere[places]
                yield self._source[samples], self._known(samples), samples, places
            return
        assert not isinstance(self._source, Windows)
        batches = [order[position].tolist() for position in positions]
        if not isinstance(self._source, PictureReader):
            for (_, places), batch in zip(parts, batches, strict=True):
                samples = everywhere[places]
                inputs = self._source.read(batch).to(self._device)
                yield inputs, self._known(samples), samples, places
            return
        for (position, places), read in zip(parts, self._source.read(batches), strict=True):
            self.damaged.update((line, None) for line in read.damaged)
            if read.damaged:
                places = torch.from_numpy(position[read.good]).to(self._device)
            if len(read.images):
                images = read.images.to(self._device, non_blocking=True)
                samples = everywhere[places]
                if read.beside is None:
                    yield images, self._known(samples), samples, places
                else:
                    maps = read.beside.to(self._device, non_blocking=True)
                    yield images, maps, samples, places

    def _known(self, samples: Tensor) -> Tensor:
        """The labels of some samples, which are on the device."""
        assert self._labels is not None
        return self._labels[samples]


def watched_split(recipe: Recipe) -> str:
    """The name of the split that is measured after each epoch."""
    return "val" if recipe.holdout else "test"


class Data(LightningDataModule):
    """The splits of a data set as loaders for Lightning.

    Args:
        data: the data set.
        recipe: batch, seed, augmentations, fraction and holdout.
        shape: what the network takes.
        transforms: what happens to the samples; made from the training split if None.
        steps: that an epoch has at most; as `steps` of the recipe if None.
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
        self._most = recipe.steps if steps is None else steps
        train = part(data.train, recipe.fraction, recipe.seed)
        self.watched, self.watched_name = data.test, watched_split(recipe)
        if recipe.holdout:
            train, self.watched = hold_out(train, recipe.holdout, recipe.seed)
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
        _require_room(len(train), recipe)
        self.whole = data
        self.train, self.test = train, data.test
        self.name = data.name
        self.classes = data.classes
        self.recipe = recipe
        self.labels = data.labels_of(train, recipe)
        self.transforms = transforms or build_transforms(
            train, shape, recipe.augment, data.scaled, len(data.classes)
        )
        if loss_kind(recipe.loss).needs_density:
            real = train.stored_as != "uint8"
            if real:  # the likelihood is that of the numbers as they are
                self.transforms = self.transforms.standardising_by([0.0], [1.0])
            grain = () if real else self.transforms.grain
            self.labels = replace(self.labels, numbers=math.prod(shape), grain=grain)
        self._loaders: list[Batches] = []
        self._damaged = data.damaged

    def train_dataloader(self) -> Batches:
        """The training split, shuffled and augmented."""
        return self._batches(self.train, self._plan)

    def val_dataloader(self) -> Batches:
        """What the best epoch is chosen by: the held-out samples, without any the test split."""
        return self._batches(self.watched, BatchPlan(len(self.watched), 2 * self.recipe.batch))

    def test_dataloader(self) -> Batches:
        """The test split, in the order in which it is stored."""
        return self._batches(self.test, BatchPlan(len(self.test), 2 * self.recipe.batch))

    @property
    def damaged(self) -> list[str]:
        """A line for every picture that could not be read so far."""
        streamed = (line for loader in self._loaders for line in loader.damaged)
        return list(dict.fromkeys([*self._damaged, *streamed]))

    @property
    def measured(self) -> list[int]:
        """The places in their split of the samples that were measured last, in order."""
        return [place for part in self._loaders[-1].measured for place in part.tolist()]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return -(-len(self._plan) // self.recipe.accumulate)

    @property
    def samples_per_epoch(self) -> int:
        """Training samples seen in an epoch."""
        return min(len(self._plan) * self.recipe.batch, self._plan.samples)

    @property
    def _plan(self) -> BatchPlan:
        """Of the training split, in a single process."""
        recipe = self.recipe
        most = self._most * recipe.accumulate  # a pass over a large text takes many more
        plan = BatchPlan(len(self.train), recipe.batch, recipe.seed, True, recipe.repeat)
        return replace(plan, most=most)

    def _batches(self, split: Split, plan: BatchPlan) -> Batches:
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("loaders belong to a Trainer")
        if plan.batch % trainer.world_size:
            raise RecipeConflict(
                f"batch = {self.recipe.batch} does not divide among {trainer.world_size} processes",
                f"choose a multiple of {trainer.world_size}, as in --set batch="
                f"{-(-self.recipe.batch // trainer.world_size) * trainer.world_size}",
            )
        plan.rank, plan.world = trainer.global_rank, trainer.world_size
        device = trainer.strategy.root_device
        workers = reading_processes(trainer.num_devices)
        loader = Batches(split, self.transforms, plan, device, workers)
        self._loaders.append(loader)
        return loader


def _require_room(samples: int, recipe: Recipe) -> None:
    """Refuse an epoch whose order alone would fill the memory."""
    memory = physical_memory()
    places = samples * recipe.repeat
    if memory is not None and ORDER_BYTES * places > memory:
        raise RecipeConflict(
            f"repeat = {recipe.repeat} makes an epoch of {places:,} samples, whose order alone "
            "this machine cannot hold",
            "repeat less often, for more epochs",
        )
