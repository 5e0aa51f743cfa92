"""Refinement: a flow over the same time with steps of half the size (Chang et al. 2018, ICLR)."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from odenet.runtime.learned.constants import as_numbers, refine_constant
from odenet.runtime.learned.knots import Knotted

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow
    from odenet.runtime.unit import Entry


Stepper = TypeVar("Stepper", "Flow", "Entry")


def refined(flow: Flow, after_entry: bool = False) -> Flow:
    """A flow with steps of half the size, each with the weights of the step that it halves.

    Args:
        flow: the flow.
        after_entry: the flow follows the first step of a unit. The second half of that step
            becomes one more step of the flow.

    Raises:
        ValueError: if a parametrization computes the weights of a step from those of other steps.
    """
    if flow.varying:
        finer = _with_halved_constants(flow)
    else:
        finer = with_half_the_step(flow, (flow.channels, 1))
    finer.steps = 2 * flow.steps + after_entry
    try:
        finer.require_numbers()
    except ValueError as error:
        raise ValueError(f"{type(flow).__name__} cannot be refined: {error}") from None
    finer._memory = flow._memory  # no copy: a share of a budget (budget.py) belongs to one budget
    for name, stack in flow.named_parameters(recurse=False):
        if name not in flow.shared:
            setattr(finer, name, _refined_stack(stack, finer.steps))
    for name, modules in flow.named_children():
        if isinstance(modules, nn.ModuleList) and name not in flow.shared:
            origins = source_steps(len(modules), finer.steps)
            setattr(finer, name, nn.ModuleList(copy.deepcopy(modules[i]) for i in origins))
    for knotted in finer.children():
        if isinstance(knotted, Knotted):
            knotted.resample(finer.steps, finer.h)  # K(t) stays the same
    for name, parametrization in _parametrizations(flow).items():
        if name not in flow.shared:
            _refine_computed(finer, name, parametrization, getattr(flow, name))
    return finer


def _with_halved_constants(flow: Flow) -> Flow:
    """A copy with twice as many constants: both halves of a step have its constants and h/2."""
    finer = copy.deepcopy(flow)
    for name in flow.varying:
        try:
            constant = refine_constant(getattr(flow, name), 0.5 if name == "h" else 1.0)
        except ValueError as error:
            raise ValueError(f"{type(flow).__name__} cannot be refined: {error}") from None
        setattr(finer, name, constant)
    if "h" not in flow.varying:
        finer.__dict__.update(_derived_numbers(flow, flow.h / 2, (flow.channels, 1), {}))
    return finer


def source_steps(steps_before: int, steps_after: int) -> list[int]:
    """For each step of a refined flow, the step of the original flow that it copies.

    Args:
        steps_before: number of steps of the original flow.
        steps_after: number of steps of the refined flow: twice as many; in a unit one more, since
            the second half of its entry is a step too, which copies the step after the entry; or
            equally many, for weights that all steps share.
    """
    if steps_after == steps_before:
        return list(range(steps_after))
    return [max(step - steps_after % (2 * steps_before), 0) // 2 for step in range(steps_after)]


def with_half_the_step(
    module: Stepper, sizes: tuple[int, ...], options: dict[str, Any] | None = None
) -> Stepper:
    """A copy with half the step size, and with the numbers that are computed from it.

    Args:
        module: a flow, or the first step of a unit, with a step size h.
        sizes: the first two arguments of its constructor: channels, then steps or output channels.
        options: further arguments of its constructor that are not constants of the scheme.
    """
    finer = copy.deepcopy(module)
    finer.__dict__.update(_derived_numbers(module, module.h / 2, sizes, options or {}))
    return finer


def _derived_numbers(
    module: Flow | Entry, h: float, sizes: tuple[int, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """The attributes that depend on the step size, read off an instance with another h."""
    options = options | dict.fromkeys(getattr(module, "python_maps", ()), lambda c: nn.Identity())
    parameters = list(inspect.signature(type(module).__init__).parameters)[3:]  # after the sizes
    scheme_args = [name for name in parameters if name not in ("h", "T", *options)]
    if not {"h", "T"} & set(parameters) or not all(hasattr(module, name) for name in scheme_args):
        return {"h": h}
    varying = getattr(module, "varying", ())
    constants: dict[str, Any] = {name: getattr(module, name) for name in scheme_args}
    constants |= {n: as_numbers(c, steps=1)[0] for n, c in constants.items() if n in varying}
    step_size = {"T": h} if "T" in parameters else {"h": h}
    constructor: Any = type(module)
    with torch.random.fork_rng(devices=[]):
        one_step = constructor(*sizes, **options, **step_size, **constants)
    structure = {"channels", "steps", "space", "into", "stride"}
    attributes = vars(one_step).keys() - vars(nn.Module()).keys() - structure
    numbers = {name: vars(one_step)[name] for name in attributes if not name.startswith("_")}
    return {
        name: value
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _parametrizations(flow: Flow) -> dict[str, ParametrizationList]:
    """The parametrizations, by the names of the stacked parameters that they compute."""
    parametrizations: Any = getattr(flow, "parametrizations", {})
    return dict(parametrizations.items())


def _refine_computed(finer: Flow, name: str, coarse: ParametrizationList, old: Tensor) -> None:
    """Refines the parameters from which the parametrization `coarse` computes the stack `old`."""
    target = _parametrizations(finer)[name]
    for original_name, stack in coarse.named_parameters(recurse=False):
        if len(stack) == len(old):
            setattr(target, original_name, _refined_stack(stack, finer.steps))
    with torch.no_grad():
        stack = getattr(finer, name)
        expected = old[source_steps(len(old), finer.steps)]
        if stack.shape != expected.shape or not torch.allclose(stack, expected):
            raise ValueError(
                f"{type(finer).__name__} cannot be refined: the parametrization of {name} does not "
                "compute each step from that step alone; remove it first "
                "(torch.nn.utils.parametrize.remove_parametrizations)"
            )


def _refined_stack(stack: nn.Parameter, steps: int) -> nn.Parameter:
    return nn.Parameter(stack.detach()[source_steps(len(stack), steps)], stack.requires_grad)
