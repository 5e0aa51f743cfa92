"""One step on registers: forward, undone, and undone with its gradients."""

from collections.abc import Callable

from torch import Tensor

from odenet.runtime.passes.shear import Coefficient, Registers, Shear, Term

Rate = Callable[[Term, str], Tensor]  # a term's right-hand side; the slot it is added to


def advance(
    shears: tuple[Shear, ...],
    state: Registers,
    rate: Rate,
    stretched: Callable[[str, Tensor], None] | None = None,
) -> None:
    """One step, shear by shear.

    Args:
        shears: the step.
        state: before it; becomes the state after it.
        rate: evaluates a right-hand side.
        stretched: told which slot was multiplied by the exponential of what.
    """
    for shear in shears:
        state.multiply(shear.target, shear.scale)
        for term in shear.exponents:
            exponent = rate(term, shear.target)
            state.stretch(shear.target, exponent)
            if stretched is not None:
                stretched(shear.target, exponent)
        for weight, slot in shear.adds:
            state.mix(shear.target, weight, slot)
        for term in shear.terms:
            state.increase(shear.target, rate(term, shear.target), term.factor)


def retreat(
    shears: tuple[Shear, ...],
    state: Registers,
    rate: Rate,
    grads: Registers | None = None,
    settled: Callable[[str], None] | None = None,
    pulled: list[Tensor | None] | None = None,
    exponent: Rate | None = None,
) -> None:
    """One step undone, and with ``grads`` its gradients pulled back.

    A shear is y = e^E(x) s y + Σ w z + Σ c F(x), where neither the z nor the x hold y. So its
    inverse subtracts in reverse order and divides by the factors, and its transpose leaves ȳ to the
    sums until the end: z̄ += w ȳ, x̄ += c (∂F/∂x)ᵀ ȳ, x̄ += (∂E/∂x)ᵀ (e^E s y ȳ), then ȳ = e^E s ȳ.

    Args:
        shears: the step.
        state: after the step; becomes the state before it.
        rate: evaluates a right-hand side; where there are ``grads``, it adds the gradients by what
            the term reads to those.
        grads: by the state after the step; become those by the state before it.
        settled: called with each slot as soon as it has its value from before the step.
        pulled: takes, with ``grads``, the gradients by the ``coefficients``, in their order; None
            for those that are numbers, and where nothing depends on one.
        exponent: does as ``rate`` does, for an exponent; the target is what it has stretched.
    """
    earliest = _earliest(shears)
    if settled:
        for slot in state.slots:
            if slot not in earliest:
                settled(slot)
    for index, shear in reversed(list(enumerate(shears))):
        for term in reversed(shear.terms):
            value = rate(term, shear.target)
            state.increase(shear.target, value, -term.factor)
            if pulled is not None:
                pulled.append(_by_coefficient(term.factor, grads, shear.target, value))
            del value  # before the next one is evaluated
        for weight, slot in reversed(shear.adds):
            if pulled is not None:
                value = state.read(slot)
                pulled.append(_by_coefficient(weight, grads, shear.target, value))
            state.mix(shear.target, -weight, slot)
            if grads is not None:
                grads.mix(slot, weight, shear.target)
        for term in reversed(shear.exponents):
            value = (exponent or rate)(term, shear.target)
            state.shrink(shear.target, value)
            if grads is not None:
                grads.stretch(shear.target, value)
            del value
        state.divide(shear.target, shear.scale)
        if pulled is not None:
            value = state.read(shear.target)
            pulled.append(_by_coefficient(shear.scale, grads, shear.target, value))
        if grads is not None:
            grads.multiply(shear.target, shear.scale)
        if settled and earliest[shear.target] == index:
            settled(shear.target)


def _by_coefficient(
    coefficient: Coefficient, grads: Registers | None, target: str, value: Tensor
) -> Tensor | None:
    """The gradient by a coefficient of what is added to the target: coefficient * value."""
    gradient = grads.find(target) if grads and isinstance(coefficient, Tensor) else None
    return None if gradient is None else (gradient * value).sum()


def _earliest(shears: tuple[Shear, ...]) -> dict[str, int]:
    """Slot -> the first of the shears that changes it."""
    return {shear.target: index for index, shear in reversed(list(enumerate(shears)))}
