"""One step on registers: forward, backward in time, and backward in time with its gradients.

Registers hold the slots of a state, its named tensors. The callbacks evaluate the right-hand sides,
so that each pass can do so in its own way.
"""

from collections.abc import Callable

from torch import Tensor

from odenet.runtime.passes.shear import Coefficient, Registers, Shear, Term

Evaluate = Callable[[Term, str], Tensor]  # a term's right-hand side; the slot it is added to


def advance(
    shears: tuple[Shear, ...],
    state: Registers,
    evaluate: Evaluate,
    on_stretch: Callable[[str, Tensor], None] | None = None,
) -> None:
    """One step, shear by shear.

    Args:
        shears: the step.
        state: the state before the step; becomes the one after it.
        evaluate: gives the value of a right-hand side.
        on_stretch: called with a slot and the exponent E whenever the slot was multiplied by e^E.
    """
    for shear in shears:
        state.multiply(shear.target, shear.scale)
        for term in shear.exponents:
            exponent = evaluate(term, shear.target)
            state.stretch(shear.target, exponent)
            if on_stretch is not None:
                on_stretch(shear.target, exponent)
        for weight, slot in shear.adds:
            state.mix(shear.target, weight, slot)
        for term in shear.terms:
            state.increase(shear.target, evaluate(term, shear.target), term.factor)


def retreat(
    shears: tuple[Shear, ...],
    state: Registers,
    evaluate: Evaluate,
    grads: Registers | None = None,
    on_rebuilt: Callable[[str], None] | None = None,
    coefficient_grads: list[Tensor | None] | None = None,
    evaluate_exponent: Evaluate | None = None,
) -> None:
    """Undoes one step; with ``grads`` it also pulls the gradients back through it.

    A shear is y = e^E(x) s y + Σ w z + Σ c F(x), where neither the z nor the x hold y. So its
    inverse subtracts in reverse order and divides by the factors, and its transpose leaves ȳ
    unchanged until the end: z̄ += w ȳ, x̄ += c (∂F/∂x)ᵀ ȳ, x̄ += (∂E/∂x)ᵀ (e^E s y ȳ), then
    ȳ = e^E s ȳ.

    Args:
        shears: the step.
        state: the state after the step; becomes the one before it.
        evaluate: gives the value of a right-hand side; with ``grads`` it also adds to them the
            gradients with respect to what the term reads.
        grads: the gradients with respect to the state after the step; become those before it.
        on_rebuilt: called with each slot as soon as it has its value from before the step.
        coefficient_grads: with ``grads``, the gradients with respect to the coefficients are
            appended here in the order of `coefficients_in_reverse`; None for numbers, and where
            the loss does not depend on a coefficient.
        evaluate_exponent: the same as ``evaluate`` for an exponent E, while the target still holds
            the value that was multiplied by e^E.
    """
    first_writers = _first_writers(shears)
    if on_rebuilt:
        for slot in state.slots:
            if slot not in first_writers:
                on_rebuilt(slot)
    for index, shear in reversed(list(enumerate(shears))):
        for term in reversed(shear.terms):
            value = evaluate(term, shear.target)
            state.increase(shear.target, value, -term.factor)
            if coefficient_grads is not None:
                coefficient_grads.append(_coefficient_grad(term.factor, grads, shear.target, value))
            del value  # before the next one is evaluated
        for weight, slot in reversed(shear.adds):
            if coefficient_grads is not None:
                value = state.read(slot)
                coefficient_grads.append(_coefficient_grad(weight, grads, shear.target, value))
            state.mix(shear.target, -weight, slot)
            if grads is not None:
                grads.mix(slot, weight, shear.target)
        for term in reversed(shear.exponents):
            value = (evaluate_exponent or evaluate)(term, shear.target)
            state.shrink(shear.target, value)
            if grads is not None:
                grads.stretch(shear.target, value)
            del value
        state.divide(shear.target, shear.scale)
        if coefficient_grads is not None:
            value = state.read(shear.target)
            coefficient_grads.append(_coefficient_grad(shear.scale, grads, shear.target, value))
        if grads is not None:
            grads.multiply(shear.target, shear.scale)
        if on_rebuilt and first_writers[shear.target] == index:
            on_rebuilt(shear.target)


def _coefficient_grad(
    coefficient: Coefficient, grads: Registers | None, target: str, value: Tensor
) -> Tensor | None:
    """The gradient with respect to a coefficient, where target += coefficient * value."""
    gradient = grads.read_or_none(target) if grads and isinstance(coefficient, Tensor) else None
    return None if gradient is None else (gradient * value).sum()


def _first_writers(shears: tuple[Shear, ...]) -> dict[str, int]:
    """Slot -> the index of the first shear that changes it."""
    return {shear.target: index for index, shear in reversed(list(enumerate(shears)))}
