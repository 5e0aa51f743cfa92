"""Reads what a constant of a scheme may be in place of a number, and checks it against the net."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from odenet.diagnostics import Diagnostic, Report
from odenet.model.expressions.expr import Constant, Node, Time
from odenet.model.expressions.numbers import NotANumber, closed, evaluate
from odenet.model.tables.argument_kinds import Call, Number, Subject, Word, is_list, show
from odenet.model.tables.choices import Choice, Parameter
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import Layer
from odenet.model.tables.recipe import Recipe
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.program import Dynamics, flows_of
from odenet.model.typed.scheme import Scheme
from odenet.model.typed.step_constants import (
    Geometric,
    LearnedConstant,
    Listed,
    Ramp,
    StepConstant,
    StepNumber,
    StepValues,
    Uniform,
    distinct_values,
)

MOST_STEPS = 1000  # of a flow whose constants differ: each is looked at, some milliseconds long
_ANY = Number(float("-inf"), double=True)
_LENGTH = Number(0, open_low=True, double=True)
FORMS = {
    "uniform": {
        "low": Parameter(_ANY, "is the least value"),
        "high": Parameter(_ANY, "is the largest value"),
        "seed": Parameter(Number(0, whole=True), "starts the random numbers", 0),
    },
    "geometric": {
        "first": Parameter(_ANY, "is the value of the first step"),
        "ratio": Parameter(_LENGTH, "is what each value is multiplied by for the next"),
    },
    "learned": {
        "value": Parameter(_ANY, "is what training begins with"),
        "shared": Parameter(Word(("yes", "no")), "says whether all steps have one value", "no"),
    },
    "ramp": {
        "start": Parameter(_ANY, "is the first value"),
        "end": Parameter(_ANY, "is the last value"),
        "epochs": Parameter(_LENGTH, "is how many epochs it takes", 0.0),
        "steps": Parameter(
            Number(0, open_low=True, whole=True), "is how many steps of training it takes", 0
        ),
    },
}
_KINDS = Choice("kind of constant", FORMS)


def read_step_constant(value: Any, kind: Number, about: Subject) -> StepConstant | None:
    """A constant that differs from step to step; None after reporting what is wrong.

    Args:
        value: of the syntax tree: a list, or a call of one of the forms.
        kind: what each of its numbers has to be.
        about: which constant, and where.
    """
    if is_list(value):
        found = _given(value, about)
    else:
        call = _KINDS.check(value, about)
        found = None if call is None else _made(call, about)
    if found is None:
        return None
    for step, number in enumerate(_numbers(found)):
        name = f"{about.name} at step {step}" if isinstance(found, Listed) else about.name
        if kind.check(number, replace(about, name=name)) is None:
            return None
    return found


def is_step_constant(value: Any) -> bool:
    """Whether a value is one of these, right or wrong, and not a number."""
    return isinstance(value, tuple) or (isinstance(value, Call) and value.name in FORMS)


def _given(values: Sequence[Any], about: Subject) -> Listed | None:
    if not values:
        return _refuse(about, f"{about.name} has no values", "", "list one a step")
    return Listed(values=tuple(values), text=_text(about), span=about.span)


def _made(call: Call, about: Subject) -> StepConstant | None:
    """The constant of a checked call; None after reporting what contradicts itself."""
    given = call.kwargs
    written: dict[str, Any] = {"text": _text(about), "span": about.span}
    match call.name:
        case "uniform" if given["low"] >= given["high"]:
            message = f"{about.name} is drawn from {show(given['low'])} to {show(given['high'])}"
            help_ = "write the smaller number first, or one number for all steps"
            return _refuse(about, message, "an empty range", help_)
        case "uniform":
            return Uniform(**given, **written)
        case "geometric":
            return Geometric(**given, **written)
        case "learned":
            return LearnedConstant(value=given["value"], shared=given["shared"] == "yes", **written)
        case _:
            return _ramp(call, about, written)


def _ramp(call: Call, about: Subject, written: dict[str, Any]) -> Ramp | None:
    given = call.kwargs
    epochs, steps = given["epochs"] or None, given["steps"] or None
    if bool(epochs) == bool(steps):
        both = "has both epochs and steps: each says how long it takes"
        wrong = both if epochs else "needs epochs or steps: how long it takes"
        help_ = "write one of them, as in ramp(0, 0.9, epochs = 10)"
        return _refuse(about, f"the ramp of {about.name} {wrong}", "", help_)
    if given["start"] == given["end"]:
        message = f"the ramp of {about.name} ends where it starts"
        return _refuse(about, message, "", f"write {about.name} = {show(given['end'])}")
    return Ramp(start=given["start"], end=given["end"], epochs=epochs, steps=steps, **written)


def _refuse(about: Subject, message: str, label: str, help_: str) -> None:
    about.report(Diagnostic("step-constants", message, about.span, help_, label=label))


def _text(about: Subject) -> str:
    """The constant as it is written, without its name."""
    return re.sub(r"^\w+ *= *", "", " ".join(about.span.text.split()))


def _numbers(constant: StepConstant) -> tuple[Any, ...]:
    """The numbers whose range is that of the constant itself."""
    match constant:
        case Listed(values=values):
            return values
        case Uniform(low=low, high=high):
            return low, high
        case Ramp(start=start, end=end):
            return start, end
        case _:
            return (constant.first_value,)


def not_a_number(scheme: Scheme, steps: Iterable[StepValues]) -> str:
    """Which number of a scheme has no value in some step; empty where all have.

    Numbers are evaluated as far as they are known without the step size.
    """
    lines = [update.value for update in scheme.updates]
    for at in steps:
        known = dict(at.values)

        def unknown(node: Node, known: Mapping[str, Any] = known) -> bool:
            return isinstance(node, Constant) and node.name not in known

        try:
            for name, value in scheme.lets:
                if not any(unknown(node) for node in value.walk()):
                    known[name] = evaluate(value, known)
            for number in (number for line in lines for number in closed(line, unknown)):
                evaluate(number, known)
        except NotANumber as error:
            shown = [f"{scheme.spellings.get(n, n)} = {v}" for n, v in at.values.items()]
            where = f"in {scheme.name} with {', '.join(shown)}: {error}" if shown else str(error)
            return f"{at.step_name}: {where}" if at.step_name else where
    return ""


def check_steps(chosen: Discretisation, net: tuple[Layer, ...], report: Report) -> None:
    """Report constants that do not fit the numbers of steps of the net's flows, or one another."""
    given = {name: c for name, c in chosen.varying.items() if isinstance(c, Listed)}
    before = report.errors
    flows = [(int(f.arguments["N"]), f.span, bool(f.arguments["h"])) for f in flows_of(net)]
    for name, constant in given.items():
        shown = chosen.scheme.spellings.get(name, name)
        wrong = [
            (steps, span)
            for steps, span, own_h in flows
            if steps != constant.length and not (own_h and name == "h")
        ]
        if wrong:
            steps, span = wrong[0]
            where = f"`{' '.join(span.text.split())}`" if span else "a flow"
            message = f"{shown} has {_count(constant.length)}, and {where} has {steps} steps"
            other = "; flows of different lengths need uniform(…), geometric(…) or a number"
            help_ = f"list {_count(steps)}" + other * (len({steps for steps, *_ in flows}) > 1)
            report.error("step-constants", message, constant.span, help_)
    lengths = {c.length: name for name, c in given.items()}
    if len(lengths) > 1 and not flows:
        (first, one), (second, other) = list(lengths.items())[:2]
        spelled = chosen.scheme.spellings
        message = f"{spelled.get(other, other)} has {_count(second)}, and "
        message += f"{spelled.get(one, one)} has {first}"
        report.error("step-constants", message, given[other].span, "list one value for each step")
    units = [layer for layer in flows_of(net) if layer.name == "unit"]
    for name, constant in chosen.varying.items() if units else ():
        message = f"{chosen.scheme.spellings.get(name, name)} differs from step to step, and the "
        message += "first step of a unit is built with one number for all"
        help_ = "write a layer and flow(…) in place of the unit"
        if not isinstance(constant, StepNumber):
            help_ = "write a number, or a layer and flow(…) in place of the unit"
        report.error("step-constants", message, constant.span, help_)
    if not chosen.varying or report.errors > before:
        return
    depths = dict.fromkeys(steps for steps, *_ in flows)
    if max(depths, default=0) > MOST_STEPS:
        message = f"a flow has {max(depths)} steps, and where constants differ from step to step"
        help_ = f"write at most {MOST_STEPS} steps, or numbers that are the same in all of them"
        return report.error("too-large", f"{message} each is looked at", chosen.span, help_)
    wrong = not_a_number(chosen.scheme, distinct_values(chosen.numbers, chosen.varying, depths))
    if wrong:
        counted = (
            "n is 0 in the first step, and counts up to the last" * chosen.scheme.uses_step_number
        )
        report.error("undefined-number", wrong, chosen.span, counted)


def check_times(
    chosen: Discretisation,
    dynamics: Dynamics,
    parameters: Mapping[str, DeclaredParameter],
    report: Report,
) -> None:
    """Report what depends on the time where it is a sum of learned numbers."""
    if not isinstance(chosen.varying.get("h"), LearnedConstant):
        return
    help_ = "write h as a number, a list, uniform(…) or geometric(…)"
    nodes = (node for rate in dynamics.rates.values() for node in rate.walk())
    read = next((node for node in nodes if isinstance(node, Time)), None)
    if read is not None:
        message = "`t` is the sum of the step sizes before a step, and they are learned"
        report.error("no-time", message, read.span, help_)
    for learned in parameters.values():
        if learned.knots:
            message = f"`{learned.name}` moves in time between its knots, and the step sizes are "
            message += "learned"
            report.error("no-time", message, learned.span, help_)


def check_ramps(chosen: Discretisation, recipe: Recipe, report: Report) -> None:
    """Report ramps that training ends before."""
    for name, constant in chosen.varying.items():
        if isinstance(constant, Ramp) and (constant.epochs or 0) > recipe.epochs:
            shown = chosen.scheme.spellings.get(name, name)
            message = f"the ramp of {shown} takes {show(constant.epochs)} epochs"
            message += f", and training has {recipe.epochs}"
            help_ = f"write a shorter one, or epochs = {show(constant.epochs)} in train {{ … }}"
            report.error("step-constants", message, constant.span, help_)


def _count(values: int) -> str:
    return "1 value" if values == 1 else f"{values} values"
