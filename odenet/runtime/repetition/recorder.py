"""Records evaluations of right-hand sides, so that the backward pass can repeat them exactly.

A right-hand side is evaluated again to undo a step. The second evaluation has to draw the same
random numbers and to find every module as it was (`snapshot`). It runs on replicas of the modules
(`replica_pool`), so that the modules themselves do not change. The settings of torch for both are
in `torch_settings`.
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

from odenet.runtime.repetition.context import NO_CONTEXT, Context
from odenet.runtime.repetition.replica_pool import PooledReplica, ReplicaPools
from odenet.runtime.repetition.snapshot import Snapshot

_HEADER_BYTES = object.__basicsize__  # of every CPython object
_MT19937_BYTES = 4 * (624 + 1)  # of the state of this generator, with its position


class RandomStates(NamedTuple):
    """The states of the global random streams: torch's, Python's and numpy's.

    Attributes:
        cpu: state of torch's generator on the CPU.
        accelerator: state of the generator of the accelerator, if the device is one.
        python: what `random.getstate` returns.
        numpy: what `numpy.random.get_state` returns.
        state_bytes: the bytes of these states in memory, for a fast comparison; None if they cannot
            be read, or if numpy keeps a part of its state elsewhere.
    """

    cpu: Tensor
    accelerator: Tensor | None
    python: Any
    numpy: Any
    state_bytes: tuple | None

    @classmethod
    def read(cls, device: torch.device, earlier: RandomStates | None = None) -> RandomStates:
        """The present states.

        Args:
            device: the device whose random stream is read in addition to those of the host.
            earlier: a reading from before, which is returned if nothing was drawn since.

        Raises:
            RuntimeError: while a CUDA graph is captured.
        """
        cpu, accelerator = torch.default_generator.get_state(), None
        # If no accelerator is present, tensors of its device type have no values: nothing draws.
        if device.type not in ("cpu", "meta") and torch.get_device_module(device).is_available():
            if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise RuntimeError(
                    "steps that may draw random numbers cannot be captured in a CUDA graph: its "
                    "replays would not go back to where the forward pass drew. Capture the flow "
                    'with flow.memory = "stored", or do not capture it'
                )
            accelerator = torch.get_device_module(device).get_rng_state(device)
        state_bytes = _read_state_bytes(cpu, accelerator)
        if earlier is not None and state_bytes is not None and state_bytes == earlier.state_bytes:
            return earlier
        numpy: Any = np.random.get_state()
        has_spare_normal = numpy[3]  # not among the bytes that are read
        state_bytes = None if has_spare_normal else state_bytes
        return cls(cpu, accelerator, random.getstate(), numpy, state_bytes)

    def restore(self, device: torch.device) -> None:
        """Sets the random streams back to these states."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            torch.get_device_module(device).set_rng_state(self.accelerator, device)
        random.setstate(self.python)
        np.random.set_state(self.numpy)

    def equals(self, other: RandomStates) -> bool:
        """Whether nothing was drawn between two readings."""
        return self is other or (
            _equal(self.cpu, other.cpu)
            and _equal(self.accelerator, other.accelerator)
            and self.python == other.python
            and all(map(np.array_equal, self.numpy, other.numpy))
        )


def _read_state_bytes(cpu: Tensor, accelerator: Tensor | None) -> tuple | None:
    """The bytes of the states of all generators, to see whether something was drawn.

    Reading them takes a tenth of the time that `getstate` and `get_state` take.
    """
    python = random.getstate.__self__  # the generator behind the functions of `random`
    numpy = np.random.get_bit_generator()  # pyright: ignore[reportAttributeAccessIssue]
    is_symbolic = torch._C._len_torch_dispatch_stack()  # tensors may have no values, as fake ones
    is_readable = type(python) is random.Random and type(numpy) is np.random.MT19937
    if is_symbolic or not is_readable or sys.implementation.name != "cpython":
        return None
    return (
        cpu.numpy().tobytes(),
        None if accelerator is None else accelerator.numpy().tobytes(),
        ctypes.string_at(id(python) + _HEADER_BYTES, _random.Random.__basicsize__ - _HEADER_BYTES),
        python.gauss_next,  # pyright: ignore[reportAttributeAccessIssue]
        ctypes.string_at(numpy.ctypes.state_address, _MT19937_BYTES),
    )


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    # Under a dispatch mode, as of fake tensors, values are unknown and may differ.
    return not torch._C._len_torch_dispatch_stack() and torch.equal(a, b)


_stream_lock = threading.RLock()  # the streams are shared by all threads


@contextmanager
def random_states_preserved(device: torch.device) -> Iterator[RandomStates]:
    """Leaves the global random streams as if nothing had been drawn within."""
    with _stream_lock:
        before = RandomStates.read(device)
        try:
            yield before
        finally:
            before.restore(device)


@dataclass(slots=True)
class EvaluationRecord:
    """The inputs of one evaluation of a right-hand side other than the state and the parameters.

    Attributes:
        snapshots: those of the modules that it called, in their order.
        random: the states of the random streams before it, if it drew random numbers.
        context: the further inputs of the flow, such as a mask.
    """

    snapshots: tuple[Snapshot, ...]
    random: RandomStates | None
    context: Context = NO_CONTEXT

    def replicas(self) -> tuple[PooledReplica, ...]:
        """Copies of the modules, as they were before the evaluation."""
        return tuple(snapshot.replica() for snapshot in self.snapshots)


_last_reading: dict[str, RandomStates] = {}  # by device type, for `RandomStates.read`


class Recorder:
    """Records the evaluations of a forward pass in their order.

    Args:
        device: the device of the state.
        stochastic: whether evaluations may draw random numbers.
        pools: the pools of replicas of the modules that are called.
    """

    def __init__(self, device: torch.device, stochastic: bool, pools: ReplicaPools):
        self.device = device
        self.evaluations: list[EvaluationRecord] = []
        self._stochastic = stochastic
        self._pools = pools
        self._random: RandomStates | None = None  # the states after the last evaluation

    def begin(self, modules: list[nn.Module]) -> EvaluationRecord:
        """Called before an evaluation that calls these modules; returns its record."""
        if self._stochastic and self._random is None:
            self._random = RandomStates.read(self.device, _last_reading.get(self.device.type))
            _last_reading[self.device.type] = self._random
        return EvaluationRecord(tuple(Snapshot(self._pools.pool_of(m)) for m in modules), None)

    def end(self, evaluation: EvaluationRecord) -> None:
        """Called after the evaluation; completes its record."""
        if self._random is not None:
            # Nothing draws between two evaluations, so that one reading serves both.
            before = self._random
            self._random = RandomStates.read(self.device, before)
            if not before.equals(self._random):
                evaluation.random = before
        for snapshot in evaluation.snapshots:
            snapshot.finish()
        self.evaluations.append(evaluation)


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """A context manager in which a module and all modules within it are in evaluation mode."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True
