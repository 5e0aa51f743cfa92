"""Objects that blocks hold, or receive as further inputs, are restored for a repeated evaluation.

The reference is an ordinary momentum network, differentiated by plain autograd.
"""

from __future__ import annotations

import itertools
import threading
import types
import weakref
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from tests.runtime.plain_autograd import (
    MODES,
    assert_matches_plain_autograd,
    backward_after_two_passes,
    build_network,
    make_input,
)


@dataclass
class KeptObject:
    """An object on a block, with a lock, which cannot be copied, and a reference to itself."""

    value: object = 0
    inner: list = field(default_factory=lambda: [{"n": 0}])
    lock: object = field(default_factory=threading.Lock)
    itself: object = None

    def __post_init__(self):
        self.itself = self


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value=0):
        self.value = value


class GeneratorList(list):
    """A list of random generators."""


def append(held):
    held.append(0)
    return len(held)


def count_up(held):
    held["n"] += 1
    return held["n"]


def increase(held):
    held.value = held.value + 1
    return held.value


def add_one_in_place(held):
    held[0] += 1
    return float(held[0])


def count_up_nested(held):
    held.itself.inner[0]["n"] += 1
    return held.inner[0]["n"]


OBJECTS = {
    "an array": (lambda: np.zeros(2), add_one_in_place),
    "bytes": (lambda: bytearray(1), add_one_in_place),
    "a deque": (lambda: deque(maxlen=20), append),
    "a counter": (Counter, count_up),
    "an ordered dictionary": (lambda: OrderedDict(n=0), count_up),
    "an object": (KeptObject, increase),
    "a namespace": (lambda: types.SimpleNamespace(value=0), increase),
    "slots": (Slotted, increase),
    "an object within": (KeptObject, count_up_nested),
    "a tensor in a list": (lambda: [torch.zeros(())], add_one_in_place),
    "a tensor in a tuple": (
        lambda: (torch.zeros(()),),
        lambda held: float(held[0].add_(1)),
    ),
    "a large tensor in an object": (
        lambda: KeptObject(torch.zeros(5000)),  # tensors of at most 4096 entries are always copied
        lambda held: float(held.value.add_(1)[0]),
    ),
    "a tensor in slots": (lambda: Slotted(torch.zeros(())), increase),
    "generators in a list": (
        lambda: GeneratorList([torch.Generator().manual_seed(1)]),
        lambda held: float(torch.rand((), generator=held[0])),
    ),
    "an iterator": (itertools.count, next),
    "a method of an object": (
        lambda: types.MethodType(increase, KeptObject()),
        lambda held: held(),
    ),
}


class KeepingBlock(nn.Module):
    """Its result depends on an object that it holds, which every evaluation changes."""

    def __init__(self, held, change):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.held = held
        self.change = change

    def forward(self, x):
        return torch.tanh(self.linear(x)) / (1 + self.change(self.held))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shared", [False, True], ids=["one for each block", "one for all blocks"])
@pytest.mark.parametrize(("make_object", "change"), OBJECTS.values(), ids=OBJECTS)
def test_objects_that_blocks_hold_are_restored_for_a_repeated_evaluation(
    make_object, change, shared, mode
):
    def use(network, x):
        shared_object = make_object()
        for block in network.f:
            block.held = shared_object if shared else make_object()
        backward_after_two_passes(network, x)
        return (torch.tensor(float(change(network.f[0].held))),)  # the backward pass left it alone

    assert_matches_plain_autograd(lambda: KeepingBlock(None, change), use, mode)


class WeightInListBlock(nn.Module):
    """Reads its weight from a list; also holds a weak reference to itself, and an object."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6) / 3)
        self.weights = [self.weight]
        self.parent = weakref.ref(self)
        self.kept = KeptObject()

    def forward(self, x):
        return torch.tanh(x @ self.weights[0])


@pytest.mark.parametrize("mode", MODES)
def test_weights_that_are_also_in_a_list_get_their_gradients(mode):
    assert_matches_plain_autograd(WeightInListBlock, backward_after_two_passes, mode)


class FurtherInputBlock(nn.Module):
    """Its result depends on a further input, which it may change."""

    def __init__(self, change):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.change = change

    def forward(self, x, held):
        return torch.tanh(self.linear(x)) / (1 + self.change(held))


FURTHER_INPUTS = {
    **{
        name: OBJECTS[name]
        for name in ("an array", "a counter", "an object", "slots", "an iterator")
    },
    "a generator": (
        lambda: torch.Generator().manual_seed(1),
        lambda held: float(torch.rand((), generator=held)),
    ),
    "a tensor in an object": (lambda: KeptObject(torch.ones(6)), lambda held: held.value),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("make_object", "change"), FURTHER_INPUTS.values(), ids=FURTHER_INPUTS)
def test_objects_among_the_further_inputs_are_restored_for_a_repeated_evaluation(
    make_object, change, mode
):
    def use(network, x):
        further_input = make_object()
        loss = network(x, further_input).square().sum()
        loss.backward(retain_graph=True)
        if isinstance(further_input, KeptObject):
            further_input.value = 100.0
        loss.backward()
        return (torch.tensor(float(torch.as_tensor(change(further_input)).sum())),)

    assert_matches_plain_autograd(lambda: FurtherInputBlock(change), use, mode)


def shift_in_place(held):
    held.add_(1.0)
    return held


@pytest.mark.parametrize("mode", MODES)
def test_a_further_input_that_blocks_change_in_place_is_refused(mode):
    network = build_network(mode, lambda: FurtherInputBlock(shift_in_place))
    with pytest.raises(RuntimeError, match="a block changed a tensor among the further inputs"):
        network(make_input(), torch.zeros(6))


@pytest.mark.parametrize("mode", MODES)
def test_a_tensor_of_an_object_that_changes_between_the_passes_is_noticed(mode):
    network, further_input = (
        build_network(mode, lambda: FurtherInputBlock(lambda held: held.value)),
        KeptObject(torch.ones(6)),
    )
    loss = network(make_input(), further_input).sum()
    further_input.value.fill_(3.0)
    with pytest.raises(RuntimeError, match=r"in place between|modified by an inplace"):
        loss.backward()
