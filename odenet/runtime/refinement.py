"""Depth is time: the same flow with steps of half the size (Chang et al. 2018, ICLR)."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from odenet.runtime.learned.constants import as_numbers, halved
from odenet.runtime.learned.knots import Knotted

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow
    from odenet.runtime.unit import Entry


Stepping = TypeVar("Stepping", "Flow", "Entry")


def refined(flow: Flow, entered: bool = False) -> Flow:
    """A flow with steps of half the size, each of which has the weights of the one it replaces.

    Args:
        flow: of any steps.
        entered: the flow comes after the first step of a unit, whose second half is one more step
            of the flow.

    Raises:
        ValueError: if a weight is computed in a way that does not go step by step.
    """
    if flow.varying:
        finer = _with_halved_constants(flow)
    else:
        finer = with_half_the_step(flow, (flow.channels, 1))
    finer.steps = 2 * flow.steps + entered
    try:
        finer.require_numbers()
    except ValueError as error:
        raise ValueError(f"{type(flow).__name__} cannot be refined: {error}") from None
    finer._memory = flow._memory  # a share of a budget goes on to be one
    for name, stack in flow.named_parameters(recurse=False):
        if name not in flow.shared:
            setattr(finer, name, _more(stack, finer.steps))
    for name, modules in flow.named_children():
        if isinstance(modules, nn.ModuleList) and name not in flow.shared:
            origins = sources(len(modules), finer.steps)
            setattr(finer, name, nn.ModuleList(copy.deepcopy(modules[i]) for i in origins))
    for knotted in finer.children():
        if isinstance(knotted, Knotted):
            knotted.sample(finer.steps, finer.h)  # of the same K(t)
    for name, computed in _computed(flow).items():
        if name not in flow.shared:
            _refine_computed(finer, name, computed, getattr(flow, name))
    return finer


def _with_halved_constants(flow: Flow) -> Flow:
    """A copy in which both halves of a step have its constants, and half of its size each."""
    finer = copy.deepcopy(flow)
    for name in flow.varying:
        try:
            constant = halved(getattr(flow, name), 0.5 if name == "h" else 1.0)
        except ValueError as error:
            raise ValueError(f"{type(flow).__name__} cannot be refined: {error}") from None
        setattr(finer, name, constant)
    if "h" not in flow.varying:
        finer.__dict__.update(_numbers(flow, flow.h / 2, (flow.channels, 1), {}))
    return finer


def sources(before: int, after: int) -> list[int]:
    """For each step of a refined flow, the one of the flow before that it copies.

    One step more than twice as many are those of a unit. Its first step is not among them, and the
    second half of it copies the step after. As many as before are not steps that were refined.
    """
    if after == before:
        return list(range(after))
    return [max(step - after % (2 * before), 0) // 2 for step in range(after)]


def with_half_the_step(
    module: Stepping, sizes: tuple[int, ...], shape: dict[str, Any] | None = None
) -> Stepping:
    """A copy with half the step size, and the numbers that follow from it.

    Args:
        module: with a step size.
        sizes: the first arguments of its constructor.
        shape: further arguments that are none of the scheme's.
    """
    finer = copy.deepcopy(module)
    finer.__dict__.update(_numbers(module, module.h / 2, sizes, shape or {}))
    return finer


def _numbers(
    module: Flow | Entry, h: float, sizes: tuple[int, ...], shape: dict[str, Any]
) -> dict[str, Any]:
    """The step size and the numbers that follow from it, as the constructor has them."""
    shape = shape | dict.fromkeys(getattr(module, "given", ()), lambda channels: nn.Identity())
    given = list(inspect.signature(type(module).__init__).parameters)[3:]
    known = [name for name in given if name not in ("h", "T", *shape)]
    if not {"h", "T"} & set(given) or not all(hasattr(module, name) for name in known):
        return {"h": h}
    varying = getattr(module, "varying", ())
    constants: dict[str, Any] = {name: getattr(module, name) for name in known}
    constants |= {n: as_numbers(c, 1)[0] for n, c in constants.items() if n in varying}
    size = {"T": h} if "T" in given else {"h": h}
    make: Any = type(module)
    with torch.random.fork_rng(devices=[]):
        one_step = make(*sizes, **shape, **size, **constants)
    structure = {"channels", "steps", "space", "into", "stride"}
    own = vars(one_step).keys() - vars(nn.Module()).keys() - structure
    numbers = {name: vars(one_step)[name] for name in own if not name.startswith("_")}
    return {
        name: value
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _computed(flow: Flow) -> dict[str, ParametrizationList]:
    """The stacks that a parametrization computes from others."""
    found: Any = getattr(flow, "parametrizations", {})
    return dict(found.items())


def _refine_computed(finer: Flow, name: str, computed: ParametrizationList, before: Tensor) -> None:
    target = _computed(finer)[name]
    for own, stack in computed.named_parameters(recurse=False):
        if len(stack) == len(before):
            setattr(target, own, _more(stack, finer.steps))
    with torch.no_grad():
        after = getattr(finer, name)
        expected = before[sources(len(before), finer.steps)]
        if after.shape != expected.shape or not torch.allclose(after, expected):
            raise ValueError(
                f"{type(finer).__name__} cannot be refined: the parametrization of {name} does not "
                "compute each step from that step alone; remove it first "
                "(torch.nn.utils.parametrize.remove_parametrizations)"
            )


def _more(stack: nn.Parameter, steps: int) -> nn.Parameter:
    return nn.Parameter(stack.detach()[sources(len(stack), steps)], stack.requires_grad)
