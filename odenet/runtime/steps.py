"""One step of a flow on registers: forward, undone, and undone with its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from odenet.runtime.shear import Registers, Shear, Term
from odenet.runtime.weights import Key, StepWeights

Arguments = Callable[[Term], list]  # the learned values that a term's rate takes


class Pulled(NamedTuple):
    """A share of a weight's gradient: factor * gradient."""

    key: Key
    gradient: Tensor
    factor: float


def advance(shears: tuple[Shear, ...], state: Registers, arguments: Arguments) -> None:
    """One step, shear by shear."""
    for shear in shears:
        state.multiply(shear.target, shear.scale)
        for weight, slot in shear.adds:
            state.mix(shear.target, weight, slot)
        for term in shear.terms:
            state.increase(shear.target, _rate(term, state, arguments), term.factor)


def retreat(shears: tuple[Shear, ...], state: Registers, arguments: Arguments) -> None:
    """One step undone."""
    for shear in reversed(shears):
        for term in reversed(shear.terms):
            state.increase(shear.target, _rate(term, state, arguments), -term.factor)
        for weight, slot in shear.adds:
            state.mix(shear.target, -weight, slot)
        state.divide(shear.target, shear.scale)


def pull_back(
    shears: tuple[Shear, ...],
    state: Registers,
    grads: Registers,
    weights: StepWeights,
    prepare: Callable[[], object],
) -> list[Pulled]:
    """One step undone, and its gradients pulled back, from one evaluation of each rate.

    They are pulled through the bare rates; factors come in where they add up.

    Args:
        shears: the step.
        state: after the step; becomes the state before it.
        grads: by the state after the step; become those by the state before it.
        weights: the learned values.
        prepare: called before each evaluation.

    Returns:
        The gradients by the weights, in shares.
    """
    shares = []
    for shear in reversed(shears):
        for term in reversed(shear.terms):
            prepare()
            keys = weights.keys(term)
            rate, pulled = _differentiated(term, state, weights, keys, grads.read(shear.target))
            state.increase(shear.target, rate, -term.factor)
            for slot, gradient in zip(term.reads, pulled, strict=False):
                grads.increase(slot, gradient, term.factor)
            gradients = pulled[len(term.reads) :]
            shares += [Pulled(*pair, term.factor) for pair in zip(keys, gradients, strict=True)]
        for weight, slot in shear.adds:
            state.mix(shear.target, -weight, slot)
            grads.mix(slot, weight, shear.target)
        state.divide(shear.target, shear.scale)
        grads.multiply(shear.target, shear.scale)
    return shares


def _rate(term: Term, state: Registers, arguments: Arguments) -> Tensor:
    return term.rate(*(state.read(slot) for slot in term.reads), *arguments(term))


def _differentiated(
    term: Term, state: Registers, weights: StepWeights, keys: list[Key], cotangent: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A rate, and its vector-Jacobian product by the slots it reads and the weights ``keys``."""
    inputs = [*(state.read(slot) for slot in term.reads), *(weights.tensors[key] for key in keys)]

    def rate(*inputs: Tensor) -> Tensor:
        reads, given = inputs[: len(term.reads)], inputs[len(term.reads) :]
        return term.rate(*reads, *weights.arguments(term, dict(zip(keys, given, strict=True))))

    if torch.compiler.is_compiling():  # a compiler follows torch.func, but not a graph within
        value, pull, *_ = torch.func.vjp(rate, *inputs)
        return value, pull(_fitted(cotangent, value))
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    with torch.enable_grad():
        value = rate(*leaves)
    if not value.requires_grad:
        return value, tuple(map(torch.zeros_like, leaves))
    fitted = _fitted(cotangent, value)
    return value.detach(), torch.autograd.grad(value, leaves, fitted, materialize_grads=True)


def _fitted(cotangent: Tensor, value: Tensor) -> Tensor:
    """A rate may be smaller than the slot it is broadcast to, and of lower precision."""
    return cotangent.sum_to_size(value.shape).to(value.dtype)
