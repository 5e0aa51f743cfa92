"""Converts the state of an optimizer over slices to and from that of one over whole parameters.

An optimizer in the backward pass works on the slices of stacked parameters. Saved as the state of
an ordinary optimizer, a checkpoint can be resumed with or without it.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

# For each parameter group, the number of slices of each parameter; 0 if it is not sliced.
SliceCounts = Sequence[Sequence[int]]
OptimizerState = dict[str, Any]  # as `Optimizer.state_dict` gives it


def stack_state(saved: OptimizerState, counts: SliceCounts) -> OptimizerState:
    """The state of an optimizer over slices as that of one over whole parameters.

    Args:
        saved: the state, with an entry for each slice.
        counts: the numbers of slices of the parameters.

    Raises:
        TypeError: if the states of slices cannot be combined.
    """
    state: dict[int, Any] = {}
    groups: list[dict[str, Any]] = []
    next_slice = next_parameter = 0
    for group, group_counts in zip(saved["param_groups"], counts, strict=True):
        first_parameter = next_parameter
        for count in group_counts:
            indices = range(next_slice, next_slice + max(1, count))
            next_slice = indices.stop
            slice_states = [saved["state"][i] for i in indices if i in saved["state"]]
            if slice_states:
                state[next_parameter] = _stack(slice_states) if count else slice_states[0]
            next_parameter += 1
        groups.append({**group, "params": list(range(first_parameter, next_parameter))})
    return {**saved, "state": state, "param_groups": groups}


def slice_state(saved: OptimizerState, counts: SliceCounts) -> OptimizerState:
    """The state of an optimizer over whole parameters as that of one over slices.

    Args:
        saved: the state, with an entry for each parameter; it is returned unchanged if it has other
            numbers of parameters.
        counts: the numbers of slices of the parameters.
    """
    if [len(g["params"]) for g in saved["param_groups"]] != [len(c) for c in counts]:
        return saved
    state: dict[int, Any] = {}
    groups: list[dict[str, Any]] = []
    next_slice = 0
    for group, group_counts in zip(saved["param_groups"], counts, strict=True):
        first_slice = next_slice
        for parameter, count in zip(group["params"], group_counts, strict=True):
            whole_state = saved["state"].get(parameter)
            for step in range(max(1, count)):
                if whole_state is not None:
                    state[next_slice] = _slice_at(whole_state, step) if count else whole_state
                next_slice += 1
        groups.append({**group, "params": list(range(first_slice, next_slice))})
    return {**saved, "state": state, "param_groups": groups}


def _stack(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: _combined(name, [state[name] for state in states]) for name in states[0]}


def _combined(name: str, values: Sequence[Any]) -> Any:
    """One value for all slices: tensors are stacked; numbers, as of steps, have to be equal."""
    first = values[0]
    if isinstance(first, Tensor) and first.ndim:
        return torch.stack(list(values))
    if all(type(value) is type(first) and bool(value == first) for value in values):
        return first
    raise TypeError(
        f"the optimizer keeps `{name}` for the steps of a stacked parameter, a "
        f"{type(first).__name__} that differs from step to step: it cannot be saved"
    )


def _slice_at(state: dict[str, Any], step: int) -> dict[str, Any]:
    return {
        name: value[step].clone() if isinstance(value, Tensor) and value.ndim else deepcopy(value)
        for name, value in state.items()
    }
