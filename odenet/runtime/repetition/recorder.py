"""Replay: what surrounds an evaluation of a right-hand side, restored for its repetition.

A right-hand side is evaluated again to undo a step. The second evaluation has to be the first one
over: the same random numbers, and every module as its snapshot has it, on a replica from a pool
(`replica_pool`), so that the module itself does not notice. The settings of torch around both are
those of `torch_settings`.
"""

from __future__ import annotations

import _random
import ctypes
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from odenet.runtime.repetition.context import NOTHING, Context
from odenet.runtime.repetition.replica_pool import PooledReplica, ReplicaPools
from odenet.runtime.repetition.snapshot import Snapshot

_OBJECT = object.__basicsize__  # bytes that every object of CPython begins with
_MT19937 = 4 * (624 + 1)  # bytes: Matsumoto & Nishimura 1998, and the place within them


class RandomStates(NamedTuple):
    """The states of the global random streams: torch's, Python's and numpy's.

    Attributes:
        cpu: of torch's generator.
        accelerator: of that of the device, if it is another.
        python: as `random` gives it.
        numpy: as `numpy.random` gives it.
        memory: of the generators; None where that cannot be read, or does not tell the whole.
    """

    cpu: Tensor
    accelerator: Tensor | None
    python: Any
    numpy: Any
    memory: tuple | None

    @classmethod
    def read(cls, device: torch.device, before: RandomStates | None = None) -> RandomStates:
        """Where they are now.

        Args:
            device: of the accelerator's stream.
            before: an earlier reading, which is given again where nothing was drawn since.

        Raises:
            RuntimeError: while a CUDA graph is captured.
        """
        cpu, accelerator = torch.default_generator.get_state(), None
        # Without one, tensors that say they are on it have no values, and nothing draws.
        if device.type not in ("cpu", "meta") and torch.get_device_module(device).is_available():
            if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise RuntimeError(
                    "steps that may draw random numbers cannot be captured in a CUDA graph: its "
                    "replays would not go back to where the forward pass drew. Capture the flow "
                    'with flow.memory = "stored", or do not capture it'
                )
            accelerator = torch.get_device_module(device).get_rng_state(device)
        memory = _memory(cpu, accelerator)
        if before is not None and memory is not None and memory == before.memory:
            return before
        numpy: Any = np.random.get_state()
        put_aside = numpy[3]  # a normal number, for the next draw, which memory does not show
        memory = None if put_aside else memory
        return cls(cpu, accelerator, random.getstate(), numpy, memory)

    def restore(self, device: torch.device) -> None:
        """Sets the random streams back to these states."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            torch.get_device_module(device).set_rng_state(self.accelerator, device)
        random.setstate(self.python)
        np.random.set_state(self.numpy)

    def same(self, other: RandomStates) -> bool:
        """Whether nothing was drawn between two readings."""
        return self is other or (
            _equal(self.cpu, other.cpu)
            and _equal(self.accelerator, other.accelerator)
            and self.python == other.python
            and all(map(np.array_equal, self.numpy, other.numpy))
        )


def _memory(cpu: Tensor, accelerator: Tensor | None) -> tuple | None:
    """What the generators of all streams hold, to see whether they have moved.

    To look there takes a tenth of the time of reading the states of Python's and numpy's.
    """
    python = random.getstate.__self__
    numpy = np.random.get_bit_generator()  # pyright: ignore[reportAttributeAccessIssue]
    followed = torch._C._len_torch_dispatch_stack()  # operations without values: all may have moved
    known = type(python) is random.Random and type(numpy) is np.random.MT19937
    if followed or not known or sys.implementation.name != "cpython":
        return None
    return (
        cpu.numpy().tobytes(),
        None if accelerator is None else accelerator.numpy().tobytes(),
        ctypes.string_at(id(python) + _OBJECT, _random.Random.__basicsize__ - _OBJECT),
        python.gauss_next,  # pyright: ignore[reportAttributeAccessIssue]
        ctypes.string_at(numpy.ctypes.state_address, _MT19937),
    )


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    # Where operations are only followed, without values, the states may have moved.
    return not torch._C._len_torch_dispatch_stack() and torch.equal(one, other)


_turn = threading.RLock()  # the streams are one for all threads


@contextmanager
def random_states_preserved(device: torch.device) -> Iterator[RandomStates]:
    """Leaves the global random streams as if nothing had been drawn within."""
    with _turn:
        before = RandomStates.read(device)
        try:
            yield before
        finally:
            before.restore(device)


@dataclass(slots=True)
class EvaluationRecord:
    """What one evaluation of a right-hand side found, in addition to the state and the parameters.

    Attributes:
        modules: snapshots of the modules it called, in their order.
        random: the states of the random streams before it, if it drew from them.
        context: the further inputs.
    """

    modules: tuple[Snapshot, ...]
    random: RandomStates | None
    context: Context = NOTHING

    def replicas(self) -> tuple[PooledReplica, ...]:
        """Copies of the modules, as they were before."""
        return tuple(snapshot.replica() for snapshot in self.modules)


_latest: dict[str, RandomStates] = {}  # readings that the first one of a pass is compared with


class Recorder:
    """Records the evaluations of a forward pass in their order.

    Args:
        device: of the state.
        stochastic: whether evaluations may draw random numbers.
        pools: of replicas of the modules that are called.
    """

    def __init__(self, device: torch.device, stochastic: bool, pools: ReplicaPools):
        self.device = device
        self.evaluations: list[EvaluationRecord] = []
        self._stochastic = stochastic
        self._pools = pools
        self._random: RandomStates | None = None  # after the last evaluation

    def before(self, modules: list[nn.Module]) -> EvaluationRecord:
        """To be called before an evaluation that calls these modules."""
        if self._stochastic and self._random is None:
            self._random = RandomStates.read(self.device, _latest.get(self.device.type))
            _latest[self.device.type] = self._random
        return EvaluationRecord(tuple(Snapshot(self._pools.of(m)) for m in modules), None)

    def after(self, evaluation: EvaluationRecord) -> None:
        """To be called after it."""
        if self._random is not None:
            # Nothing draws between two evaluations, so that one reading serves both.
            before = self._random
            self._random = RandomStates.read(self.device, before)
            if not before.same(self._random):
                evaluation.random = before
        for snapshot in evaluation.modules:
            snapshot.settle()
        self.evaluations.append(evaluation)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module and all within in evaluation mode."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True
