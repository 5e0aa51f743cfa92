"""What blocks keep, and are given, in any kind of object is repeated as an evaluation found it.

The reference is a momentum network that is written out, differentiated by plain autograd.
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

from tests.runtime.plain import MODES, assert_as_plain, network, state, twice


@dataclass
class Note:
    """What a block keeps apart from torch, with things in it that cannot be copied."""

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


class Streams(list):
    """Of random numbers."""


def appended(held):
    held.append(0)
    return len(held)


def counted(held):
    held["n"] += 1
    return held["n"]


def increased(held):
    held.value = held.value + 1
    return held.value


def changed_in_place(held):
    held[0] += 1
    return float(held[0])


def counted_within(held):
    held.itself.inner[0]["n"] += 1
    return held.inner[0]["n"]


HELD = {
    "an array": (lambda: np.zeros(2), changed_in_place),
    "bytes": (lambda: bytearray(1), changed_in_place),
    "a deque": (lambda: deque(maxlen=20), appended),
    "a counter": (Counter, counted),
    "an ordered dictionary": (lambda: OrderedDict(n=0), counted),
    "an object": (Note, increased),
    "a namespace": (lambda: types.SimpleNamespace(value=0), increased),
    "slots": (Slotted, increased),
    "an object within": (Note, counted_within),
    "a tensor in a list": (lambda: [torch.zeros(())], changed_in_place),
    "a tensor in a tuple": (
        lambda: (torch.zeros(()),),
        lambda held: float(held[0].add_(1)),
    ),
    "a large tensor in an object": (
        lambda: Note(torch.zeros(5000)),
        lambda held: float(held.value.add_(1)[0]),
    ),
    "a tensor in slots": (lambda: Slotted(torch.zeros(())), increased),
    "streams in a list": (
        lambda: Streams([torch.Generator().manual_seed(1)]),
        lambda held: float(torch.rand((), generator=held[0])),
    ),
    "an iterator": (itertools.count, next),
    "a method of an object": (
        lambda: types.MethodType(increased, Note()),
        lambda held: held(),
    ),
}


class Keeping(nn.Module):
    """Its result depends on what it keeps, which every evaluation changes."""

    def __init__(self, held, change):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.held = held
        self.change = change

    def forward(self, x):
        return torch.tanh(self.linear(x)) / (1 + self.change(self.held))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shared", [False, True], ids=["each its own", "one for all"])
@pytest.mark.parametrize(("make", "change"), HELD.values(), ids=HELD)
def test_what_blocks_keep_in_any_kind_of_object(make, change, shared, mode):
    def use(net, x):
        one = make()
        for block in net.f:
            block.held = one if shared else make()
        twice(net, x)
        return (torch.tensor(float(change(net.f[0].held))),)  # which the backward left alone

    assert_as_plain(lambda: Keeping(None, change), use, mode)


class Listing(nn.Module):
    """Has its weight in a list as well."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6) / 3)
        self.weights = [self.weight]
        self.parent = weakref.ref(self)
        self.note = Note()

    def forward(self, x):
        return torch.tanh(x @ self.weights[0])


@pytest.mark.parametrize("mode", MODES)
def test_weights_that_stand_in_a_list_as_well(mode):
    assert_as_plain(Listing, twice, mode)


class Given(nn.Module):
    """Its result depends on a further input, which it may change."""

    def __init__(self, change):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.change = change

    def forward(self, x, held):
        return torch.tanh(self.linear(x)) / (1 + self.change(held))


GIVEN = {
    **{name: HELD[name] for name in ("an array", "a counter", "an object", "slots", "an iterator")},
    "a generator": (
        lambda: torch.Generator().manual_seed(1),
        lambda held: float(torch.rand((), generator=held)),
    ),
    "a tensor in an object": (lambda: Note(torch.ones(6)), lambda held: held.value),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("make", "change"), GIVEN.values(), ids=GIVEN)
def test_objects_among_the_further_inputs(make, change, mode):
    def use(net, x):
        given = make()
        loss = net(x, given).square().sum()
        loss.backward(retain_graph=True)
        if isinstance(given, Note):
            given.value = 100.0
        loss.backward()
        return (torch.tensor(float(torch.as_tensor(change(given)).sum())),)

    assert_as_plain(lambda: Given(change), use, mode)


def shift(held):
    held.add_(1.0)
    return held


@pytest.mark.parametrize("mode", MODES)
def test_a_further_input_that_blocks_change_in_place_is_refused(mode):
    net = network(mode, lambda: Given(shift))
    with pytest.raises(RuntimeError, match="a block changed a tensor among the further inputs"):
        net(state(), torch.zeros(6))


@pytest.mark.parametrize("mode", MODES)
def test_a_tensor_of_an_object_that_is_changed_between_the_passes_is_noticed(mode):
    net, given = network(mode, lambda: Given(lambda held: held.value)), Note(torch.ones(6))
    loss = net(state(), given).sum()
    given.value.fill_(3.0)
    with pytest.raises(RuntimeError, match=r"in place between|modified by an inplace"):
        loss.backward()
