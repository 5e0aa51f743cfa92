"""Batches of an epoch, on the training device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odenet.runtime.passes.memory_format import in_convolution_order
from odenet.training.data.class_maps import ClassMaps
from odenet.training.data.lazy_samples import LazySamples
from odenet.training.data.picture_reader import PictureReader
from odenet.training.data.pictures import Pictures
from odenet.training.data.samples import RandomStream, Split, random_generator
from odenet.training.data.transforms import Draws, Transforms
from odenet.training.data.windows import Windows

Batch = tuple[Tensor, Tensor]  # inputs as the network takes them, labels or next tokens


@dataclass
class BatchPlan:
    """Which samples make up the batches of the current epoch, for one of several processes.

    Every process knows the order of the whole epoch and takes every `world_size`-th sample of each
    batch, so that the batches of all processes together are those of a single process.

    Args:
        count: samples in the split.
        batch_size: samples per step, over all processes.
        seed: the seed of the order.
        shuffle: whether every epoch has a new order, and leaves out an incomplete last batch; else
            all samples are in the order in which they are stored.
        repeat: how often an epoch goes through all samples, each time in a new order.
        rank: the rank of this process.
        world_size: the number of processes.
        epoch: the current epoch; Lightning sets it.
        max_batches: batches in an epoch at most; 0 for all.
    """

    count: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    repeat: int = 1
    rank: int = 0
    world_size: int = 1
    epoch: int = 0
    max_batches: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        complete, left_over = divmod(self.samples_per_epoch, self.batch_size)
        count = max(1, complete) if self.shuffle else complete + (left_over > 0)
        return min(count, self.max_batches or count)

    @property
    def samples_per_epoch(self) -> int:
        """How many samples the order of an epoch has, repetitions counted."""
        return self.count * self.repeat

    def order(self) -> np.ndarray:
        """The indices of all samples in the order of the epoch."""
        if not self.shuffle:
            return np.arange(self.count)
        rng = random_generator(RandomStream.ORDER, self.seed, self.epoch)
        return np.concatenate([rng.permutation(self.count) for _ in range(self.repeat)])

    def positions(self, first: int = 0) -> Iterator[np.ndarray]:
        """This process's positions in the order, one array per batch from the `first` on."""
        for number in range(first, len(self)):
            stop = min((number + 1) * self.batch_size, self.samples_per_epoch)
            yield np.arange(number * self.batch_size + self.rank, stop, self.world_size)


class Batches:
    """The batches of a split, epoch after epoch; can be stopped and resumed inside an epoch.

    Args:
        split: the samples; tensors are moved to the device once.
        transforms: applied to each batch.
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
        # Lightning reads both, as attributes of a DataLoader, and calls `sampler.set_epoch`.
        self.sampler, self.batch_sampler = plan, None
        self.damaged: dict[str, None] = {}  # lines on damaged pictures, in order, each once
        self.measured_indices: list[Tensor] = []  # of the samples, per batch that is measured
        self._transforms = transforms.to(device)
        maps = split.labels if isinstance(split.labels, ClassMaps) else None
        self._labels = None if isinstance(split.labels, ClassMaps) else split.labels.to(device)
        self._device = device
        inputs = split.inputs
        self._source: Tensor | Windows | LazySamples | PictureReader
        if isinstance(inputs, Pictures):
            self._source = PictureReader(inputs, workers, device.type == "cuda", maps)
        else:
            self._source = inputs.to(device) if isinstance(inputs, Tensor) else inputs
        self._served = 0  # batches of this epoch so far
        self._resume_at = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        plan = self.sampler
        self._served, self._resume_at = self._resume_at, 0
        self.measured_indices = []
        if isinstance(self._source, Windows):
            yield from self._texts(self._source)
            return
        draws: Draws = ()
        if plan.shuffle:
            drawn = self._transforms.draw(plan.seed, plan.epoch, plan.samples_per_epoch)
            draws = tuple(numbers.to(self._device) for numbers in drawn)
        for inputs, labels, indices, positions in self._fetch(plan.order()):
            self._served += 1
            if not plan.shuffle:
                self.measured_indices.append(indices)
            rows = tuple(numbers[positions] for numbers in draws)
            if not labels.is_floating_point():
                labels = labels.long()  # maps of classes are kept in bytes
            batch, labels = self._transforms.with_labels(inputs, labels, rows)
            if self._device.type == "cuda":  # once here, and not around every flow
                batch = in_convolution_order(batch)
            yield batch, labels

    def state_dict(self) -> dict[str, Any]:
        """How far the epoch is; Lightning puts it into checkpoints."""
        return {"served": self._served}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next epoch where the saved one stopped."""
        self._resume_at = state["served"] % len(self)

    def _texts(self, source: Windows) -> Iterator[Batch]:
        """Batches of windows of a text, each with the same windows moved on by one token."""
        plan = self.sampler
        rng = random_generator(RandomStream.WINDOWS, plan.seed, plan.epoch)
        offset = int(rng.integers(source.size)) if plan.shuffle else 0
        order = plan.order()
        for positions in plan.positions(self._served):
            self._served += 1
            windows = source.read(order[positions], offset).to(self._device, non_blocking=True)
            yield windows[:, :-1], windows[:, 1:]

    def _fetch(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Per batch, on the device: stored inputs and labels, their indices, their positions.

        The indices are those in the split, the positions those in the order.
        """
        order_on_device = torch.from_numpy(order).to(self._device)
        on_host = list(self.sampler.positions(self._served))
        # All in one copy: the host waits for the device in each copy from ordinary memory.
        all_positions = torch.from_numpy(np.concatenate(on_host)).to(self._device)
        pairs = zip(on_host, all_positions.split(list(map(len, on_host))), strict=True)
        source = self._source
        assert not isinstance(source, Windows)
        if not isinstance(source, PictureReader):
            for host_positions, positions in pairs:
                indices = order_on_device[positions]
                if isinstance(source, Tensor):
                    inputs = source[indices]
                else:
                    inputs = source.read(order[host_positions]).to(self._device)
                yield inputs, self._labels_of(indices), indices, positions
            return
        batches = [order[host_positions].tolist() for host_positions in on_host]
        for (host_positions, positions), read in zip(pairs, source.read(batches), strict=True):
            self.damaged.update((line, None) for line in read.damaged)
            if read.damaged:
                positions = torch.from_numpy(host_positions[read.readable]).to(self._device)
            if len(read.images):
                images = read.images.to(self._device, non_blocking=True)
                indices = order_on_device[positions]
                if read.companions is None:
                    yield images, self._labels_of(indices), indices, positions
                else:
                    maps = read.companions.to(self._device, non_blocking=True)
                    yield images, maps, indices, positions

    def _labels_of(self, indices: Tensor) -> Tensor:
        """The labels of the samples with some indices, which are on the device."""
        assert self._labels is not None
        return self._labels[indices]
