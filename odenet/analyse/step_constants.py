"""Constants that differ from step to step: the conditions of a scheme, step by step."""

import math
from collections.abc import Iterator, Sequence

import sympy

from odenet.derive import Derivation
from odenet.derive.exact_numbers import as_sympy, put_in
from odenet.derive.text import notation
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

MOST = 12  # steps of which each is looked at by itself: some tenths of a second
DIGITS = 30
REAL = 1e-12  # the imaginary part of a root that is taken for real


def steps_in_use(model: Model) -> list[StepValues]:
    """The distinct numbers of the steps of all flows, in the order of the steps."""
    chosen = model.discretisation
    return distinct_values(chosen.numbers, chosen.varying, model.depths or (1,))


def few_steps(model: Model) -> list[StepValues]:
    """The same, or some of them spread over the range of each constant where they are many."""
    every = steps_in_use(model)
    if len(every) <= MOST:
        return every
    found: dict[str, StepValues] = {}
    names = list(model.discretisation.varying)
    share = MOST // len(names)
    for name in names:
        ordered = sorted(every, key=lambda at: at.values.get(name, 0))
        places = (round(i * (len(ordered) - 1) / max(share - 1, 1)) for i in range(share))
        found |= {ordered[place].step_name: ordered[place] for place in places}
    return list(found.values())


def numbers_of_steps(model: Model, steps: int) -> Sequence[StepValues]:
    """The numbers of one step after the other of a flow; empty where all are the same.

    For as many steps as there are values, where a list has fewer.
    """
    chosen = model.discretisation
    lengths = [c.length for c in chosen.varying.values() if c.length]
    if not chosen.varying:
        return ()
    return values_by_step(chosen.numbers, chosen.varying, min([steps, *lengths]))


def has_exponentials(scheme: Scheme) -> bool:
    """Whether a scheme has numbers that may be 0 in double precision though none of them is 0."""
    values = [*(update.value for update in scheme.updates), *(value for _, value in scheme.lets)]
    return any(isinstance(inner, expr.Exp) for value in values for inner in value.walk())


def not_undone(model: Model, derivation: Derivation) -> str:
    """Which of the steps has no inverse at its constants, and why; empty if all have."""
    for at in steps_in_use(model):
        broken = derivation.violated(at.values)
        if broken:
            shown = notation(derivation.scheme)
            return f"at {at.step_name} it needs {shown.number(broken[0])} ≠ 0"
    return ""


def bits_kept(model: Model, derivation: Derivation) -> float | None:
    """The bits per value that a step destroys, on the average over those of the deepest flow."""
    steps = numbers_of_steps(model, max(model.depths, default=1))
    numbers = [at.values for at in steps] or [model.discretisation.numbers]
    found = [derivation.bits(one) for one in numbers]
    known = [bits for bits in found if bits is not None]
    return sum(known) / len(known) if len(known) == len(found) else None


def refused_constants(model: Model, derivation: Derivation) -> list[Diagnostic]:
    """Values at which a step has no inverse, and learned constants that cannot be kept from them.

    A ramp may begin or end there, and a rule in the number of the step may pass it: such steps are
    stored.
    """
    if not derivation.reversible:
        return []
    found: dict[str, Diagnostic] = {}
    for at in steps_in_use(model):
        if small := derivation.underflow(at.values):
            return [_too_small(model, derivation, small[0], at)]
        for condition in derivation.violated(at.values):
            for name in _in(derivation, condition):
                constant = model.discretisation.varying.get(name)
                if constant is not None and not isinstance(constant, Ramp | StepNumber):
                    found.setdefault(name, _outside(derivation, name, constant, condition, at))
    for name, constant in model.discretisation.varying.items():
        if isinstance(constant, LearnedConstant) and name not in found:
            try:
                ends(model, derivation, name)
            except SpecError as error:
                found[name] = error.diagnostics[0]
    return list(found.values())


def _too_small(
    model: Model, derivation: Derivation, scale: sympy.Expr, at: StepValues
) -> Diagnostic:
    shown = notation(derivation.scheme).number(scale)
    where = f" at {at.step_name}" if model.discretisation.varying else ""
    message = f"{derivation.scheme.name} is undone by dividing by {shown}, which is 0{where}"
    return Diagnostic(
        "no-inverse",
        message,
        model.discretisation.span,
        "write other numbers",
        label="in double precision",
    )


def _outside(
    derivation: Derivation, name: str, constant: StepConstant, condition: sympy.Expr, at: StepValues
) -> Diagnostic:
    shown = notation(derivation.scheme)
    needed = f"{shown.number(condition)} ≠ 0"
    value = f"{shown.name(name)} = {show(float(at.values[name]))}"
    if isinstance(constant, LearnedConstant):
        message = f"{value}: the inverse needs {needed}, and what is learned keeps away from there"
        return Diagnostic("no-inverse", message, constant.span, "begin with another value")
    message = f"{value} at {at.step_name}: the inverse needs {needed}"
    help_ = "write another value; with one number for all steps, they are stored where it fails"
    return Diagnostic("no-inverse", message, constant.span, help_)


def ends(model: Model, derivation: Derivation, name: str) -> tuple[float, float]:
    """Between which a learned constant is kept, so that every step has an inverse.

    Args:
        model: the file.
        derivation: of its scheme.
        name: of the constant, which begins between them.

    Raises:
        SpecError: if its conditions depend on what is not known.
    """
    constant = model.discretisation.varying[name]
    low, high = (0.0 if name == "h" else -math.inf), math.inf
    for condition in derivation.conditions:
        if name not in _in(derivation, condition):
            continue
        for root in _roots(model, derivation, name, condition):
            if root < constant.first_value:
                low = max(low, root)
            else:
                high = min(high, root)
    return low, high


def _roots(
    model: Model, derivation: Derivation, name: str, condition: sympy.Expr
) -> Iterator[float]:
    """The values of a constant at which a condition fails, in whichever step."""
    chosen, shown = model.discretisation, notation(derivation.scheme)
    constant, written = chosen.varying[name], f"{shown.number(condition)} ≠ 0"
    others = [other for other in _in(derivation, condition) if other != name]
    moved = [n for n in others if isinstance(chosen.varying.get(n), LearnedConstant | Ramp)]
    unknown = [n for n in others if n not in chosen.numbers]
    if moved or unknown:
        other = shown.name((moved or unknown)[0])
        message = f"{shown.name(name)} is learned within {written}, and {other} is "
        message += "not known before training" if moved else "not known before the depth is"
        help_ = f"write {shown.name(name) if other == STEP_NUMBER else other} as a number"
        raise SpecError.of("no-inverse", message, constant.span, help_)
    symbol = sympy.Symbol(name)
    for at in steps_in_use(model):
        numbers = {sympy.Symbol(n): as_sympy(v) for n, v in at.values.items() if n != name}
        above = sympy.fraction(sympy.together(put_in(_plain(derivation, condition), numbers)))[0]
        if not above.is_polynomial(symbol):
            message = f"{shown.name(name)} cannot be learned within {written}"
            help_ = "write a number, or a list of them"
            raise SpecError.of("no-inverse", message, constant.span, help_)
        for root in sympy.Poly(above, symbol).nroots(n=DIGITS, maxsteps=200):
            if abs(sympy.im(root)) < REAL:
                yield float(sympy.re(root))


def _plain(derivation: Derivation, condition: sympy.Expr) -> sympy.Expr:
    """A condition in the constants alone."""
    for name, value in reversed(list(derivation.definitions.items())):
        condition = put_in(condition, {sympy.Symbol(name): value})
    return condition


def _in(derivation: Derivation, condition: sympy.Expr) -> list[str]:
    """The constants that a condition depends on."""
    return sorted(map(str, _plain(derivation, condition).free_symbols))
