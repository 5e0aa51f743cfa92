"""Constants that differ from step to step: at which of the steps the scheme has an inverse."""

import math
from collections.abc import Iterator, Sequence

import sympy

from odenet.derive import Derivation
from odenet.derive.exact_numbers import as_sympy, substitute
from odenet.derive.scheme_notation import scheme_notation
from odenet.diagnostics import Diagnostic, SpecError
from odenet.model.expressions import expr
from odenet.model.tables.argument_kinds import show
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import STEP_NUMBER, Scheme
from odenet.model.typed.step_constants import (
    LearnedConstant,
    Ramp,
    StepConstant,
    StepNumber,
    StepValues,
    distinct_values,
    values_by_step,
)

MAX_STEPS = 12  # steps with different constants that are analysed; they take tenths of a second
ROOT_DIGITS = 30
MAX_IMAGINARY_PART = 1e-12  # of a root that counts as real


def distinct_steps(model: Model) -> list[StepValues]:
    """The distinct values of the constants over the steps of all flows, in order."""
    discretisation = model.discretisation
    return distinct_values(discretisation.numbers, discretisation.varying, model.depths or (1,))


def sample_steps(model: Model) -> list[StepValues]:
    """At most MAX_STEPS of the distinct steps, spread over the range of each constant."""
    steps = distinct_steps(model)
    if len(steps) <= MAX_STEPS:
        return steps
    samples: dict[str, StepValues] = {}
    names = list(model.discretisation.varying)
    count = MAX_STEPS // len(names)  # of samples for each constant
    for name in names:
        ordered = sorted(steps, key=lambda step: step.values.get(name, 0))
        indices = (round(i * (len(ordered) - 1) / max(count - 1, 1)) for i in range(count))
        samples |= {ordered[i].step_name: ordered[i] for i in indices}
    return list(samples.values())


def constants_by_step(model: Model, steps: int) -> Sequence[StepValues]:
    """The constants of each step of a flow, in order; empty if they are the same at all steps.

    A list of values that is shorter than `steps` ends the sequence.
    """
    discretisation = model.discretisation
    lengths = [c.length for c in discretisation.varying.values() if c.length]
    if not discretisation.varying:
        return ()
    return values_by_step(discretisation.numbers, discretisation.varying, min([steps, *lengths]))


def has_exponentials(scheme: Scheme) -> bool:
    """Whether a scheme has exponentials of numbers, which can underflow to 0."""
    values = [*(update.value for update in scheme.updates), *(value for _, value in scheme.lets)]
    return any(isinstance(node, expr.Exp) for value in values for node in value.walk())


def reason_not_invertible(model: Model, derivation: Derivation) -> str:
    """The first step without an inverse at its constants, and why; empty if there is none."""
    for step in distinct_steps(model):
        violated = derivation.violated_conditions(step.values)
        if violated:
            printer = scheme_notation(derivation.scheme)
            return f"at {step.step_name} it needs {printer.number(violated[0])} ≠ 0"
    return ""


def bits_kept(model: Model, derivation: Derivation) -> float | None:
    """The bits per value that an exact step keeps aside, averaged over the deepest flow.

    None if they depend on a value that is not known yet, as h = T/steps before the depth is.
    """
    steps = constants_by_step(model, max(model.depths, default=1))
    numbers = [step.values for step in steps] or [model.discretisation.numbers]
    bits_by_step = [derivation.bits_lost(values) for values in numbers]
    known = [bits for bits in bits_by_step if bits is not None]
    return sum(known) / len(known) if len(known) == len(bits_by_step) else None


def constant_errors(model: Model, derivation: Derivation) -> list[Diagnostic]:
    """Errors: constants at which a step has no inverse, and learned ones that could reach these.

    A ramp may begin or end at such a value, and a formula in the step number may take it: the
    states before these steps are then stored instead of rebuilt.
    """
    if not derivation.reversible:
        return []
    errors: dict[str, Diagnostic] = {}
    for step in distinct_steps(model):
        if underflowing := derivation.underflowing_scales(step.values):
            return [_underflow_error(model, derivation, underflowing[0], step)]
        for condition in derivation.violated_conditions(step.values):
            for name in _constants_in(derivation, condition):
                constant = model.discretisation.varying.get(name)
                if constant is not None and not isinstance(constant, Ramp | StepNumber):
                    error = _singularity_error(derivation, name, constant, condition, step)
                    errors.setdefault(name, error)
    for name, constant in model.discretisation.varying.items():
        if isinstance(constant, LearnedConstant) and name not in errors:
            try:
                invertible_range(model, derivation, name)
            except SpecError as error:
                errors[name] = error.diagnostics[0]
    return list(errors.values())


def _underflow_error(
    model: Model, derivation: Derivation, scale: sympy.Expr, step: StepValues
) -> Diagnostic:
    scale_text = scheme_notation(derivation.scheme).number(scale)
    where = f" at {step.step_name}" if model.discretisation.varying else ""
    message = f"{derivation.scheme.name} is undone by dividing by {scale_text}, which is 0{where}"
    span, help_ = model.discretisation.span, "write other numbers"
    return Diagnostic("no-inverse", message, span, help_, label="in double precision")


def _singularity_error(
    derivation: Derivation,
    name: str,
    constant: StepConstant,
    condition: sympy.Expr,
    step: StepValues,
) -> Diagnostic:
    printer = scheme_notation(derivation.scheme)
    needed = f"{printer.number(condition)} ≠ 0"
    value = f"{printer.name(name)} = {show(float(step.values[name]))}"
    if isinstance(constant, LearnedConstant):
        message = f"{value}: the inverse needs {needed}, and what is learned keeps away from there"
        return Diagnostic("no-inverse", message, constant.span, "begin with another value")
    message = f"{value} at {step.step_name}: the inverse needs {needed}"
    help_ = "write another value; with one number for all steps, they are stored where it fails"
    return Diagnostic("no-inverse", message, constant.span, help_)


def invertible_range(model: Model, derivation: Derivation, name: str) -> tuple[float, float]:
    """The open interval around a learned constant's initial value in which steps are invertible.

    Args:
        model: the typed program.
        derivation: what was derived from its scheme.
        name: the name of the constant.

    Raises:
        SpecError: the conditions depend on values that are not known.
    """
    constant = model.discretisation.varying[name]
    low, high = (0.0 if name == "h" else -math.inf), math.inf
    for condition in derivation.conditions:
        if name not in _constants_in(derivation, condition):
            continue
        for root in _singular_values(model, derivation, name, condition):
            if root < constant.first_value:
                low = max(low, root)
            else:
                high = min(high, root)
    return low, high


def _singular_values(
    model: Model, derivation: Derivation, name: str, condition: sympy.Expr
) -> Iterator[float]:
    """The values of a constant at which a condition `expression ≠ 0` fails at any of the steps."""
    varying, printer = model.discretisation.varying, scheme_notation(derivation.scheme)
    constant, condition_text = varying[name], f"{printer.number(condition)} ≠ 0"
    others = [other for other in _constants_in(derivation, condition) if other != name]
    changing = [n for n in others if isinstance(varying.get(n), LearnedConstant | Ramp)]
    unknown = [n for n in others if n not in model.discretisation.numbers]
    if changing or unknown:
        other = printer.name((changing or unknown)[0])
        message = f"{printer.name(name)} is learned within {condition_text}, and {other} is "
        message += "not known before training" if changing else "not known before the depth is"
        help_ = f"write {printer.name(name) if other == STEP_NUMBER else other} as a number"
        raise SpecError.of("no-inverse", message, constant.span, help_)
    symbol = sympy.Symbol(name)
    for step in distinct_steps(model):
        numbers = {sympy.Symbol(n): as_sympy(v) for n, v in step.values.items() if n != name}
        expression = substitute(_in_constants_only(derivation, condition), numbers)
        numerator = sympy.fraction(sympy.together(expression))[0]
        if not numerator.is_polynomial(symbol):
            message = f"{printer.name(name)} cannot be learned within {condition_text}"
            help_ = "write a number, or a list of them"
            raise SpecError.of("no-inverse", message, constant.span, help_)
        for root in sympy.Poly(numerator, symbol).nroots(n=ROOT_DIGITS, maxsteps=200):
            if abs(sympy.im(root)) < MAX_IMAGINARY_PART:
                yield float(sympy.re(root))


def _in_constants_only(derivation: Derivation, condition: sympy.Expr) -> sympy.Expr:
    """A condition with the scheme's own definitions substituted, in the constants alone."""
    for name, value in reversed(list(derivation.definitions.items())):
        condition = substitute(condition, {sympy.Symbol(name): value})
    return condition


def _constants_in(derivation: Derivation, condition: sympy.Expr) -> list[str]:
    """The constants that a condition depends on."""
    return sorted(map(str, _in_constants_only(derivation, condition).free_symbols))
