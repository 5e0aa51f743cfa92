"""The state of an optimizer over slices, saved and loaded as that of one over whole stacks.

So a checkpoint does not tell whether the optimizer acted in the backward pass, and goes on either
way.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

Counts = Sequence[Sequence[int]]  # by group, by parameter: how many slices; 0 is not taken apart
Saved = dict[str, Any]  # what `Optimizer.state_dict` gives


def joined(saved: Saved, counts: Counts) -> Saved:
    """The state by slices as one by stacks.

    Raises:
        TypeError: if states of slices cannot be put together.
    """
    state: dict[int, Any] = {}
    groups: list[dict[str, Any]] = []
    place = stacks = 0
    for group, own in zip(saved["param_groups"], counts, strict=True):
        begun = stacks
        for count in own:
            taken = range(place, place + max(1, count))
            place = taken.stop
            found = [saved["state"][i] for i in taken if i in saved["state"]]
            if found:
                state[stacks] = _stacked(found) if count else found[0]
            stacks += 1
        groups.append({**group, "params": list(range(begun, stacks))})
    return {**saved, "state": state, "param_groups": groups}


def parted(saved: Saved, counts: Counts) -> Saved:
    """A state by stacks as one by slices; as it is where it is of other parameters."""
    if [len(g["params"]) for g in saved["param_groups"]] != [len(own) for own in counts]:
        return saved
    state: dict[int, Any] = {}
    groups: list[dict[str, Any]] = []
    place = 0
    for group, own in zip(saved["param_groups"], counts, strict=True):
        begun = place
        for old, count in zip(group["params"], own, strict=True):
            found = saved["state"].get(old)
            for one in range(max(1, count)):
                if found is not None:
                    state[place] = _slice(found, one) if count else found
                place += 1
        groups.append({**group, "params": list(range(begun, place))})
    return {**saved, "state": state, "param_groups": groups}


def _stacked(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: _together(name, [state[name] for state in states]) for name in states[0]}


def _together(name: str, values: Sequence[Any]) -> Any:
    """Tensors are stacked; numbers, such as a count of steps, are those of every slice."""
    first = values[0]
    if isinstance(first, Tensor) and first.ndim:
        return torch.stack(list(values))
    if all(type(value) is type(first) and bool(value == first) for value in values):
        return first
    raise TypeError(
        f"the optimizer keeps `{name}` for the steps of a stacked parameter, a "
        f"{type(first).__name__} that differs from step to step: it cannot be saved"
    )


def _slice(state: dict[str, Any], one: int) -> dict[str, Any]:
    return {
        name: value[one].clone() if isinstance(value, Tensor) and value.ndim else deepcopy(value)
        for name, value in state.items()
    }
