"""Reads constants of a scheme that differ from step to step, and checks them against the net.

Such a constant is a list, `uniform(…)`, `geometric(…)`, `learned(…)` or `ramp(…)`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from odenet.counted import counted
from odenet.diagnostics import Diagnostic, Report
from odenet.model.expressions.expr import Constant, Node, Time
from odenet.model.expressions.numbers import EvaluationError, evaluate, known_scalars
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

MOST_STEPS = 1000  # of a flow with such constants: each step is checked, for some milliseconds
STEP_NUMBER_HELP = "n is 0 in the first step, and counts up to the last"
_ANY = Number(float("-inf"), double=True)
_POSITIVE = Number(0, open_low=True, double=True)
CONSTANT_FORMS = {
    "uniform": {
        "low": Parameter(_ANY, "is the least value"),
        "high": Parameter(_ANY, "is the largest value"),
        "seed": Parameter(Number(0, whole=True), "starts the random numbers", 0),
    },
    "geometric": {
        "first": Parameter(_ANY, "is the value of the first step"),
        "ratio": Parameter(_POSITIVE, "is what each value is multiplied by for the next"),
    },
    "learned": {
        "value": Parameter(_ANY, "is what training begins with"),
        "shared": Parameter(Word(("yes", "no")), "says whether all steps have one value", "no"),
    },
    "ramp": {
        "start": Parameter(_ANY, "is the first value"),
        "end": Parameter(_ANY, "is the last value"),
        "epochs": Parameter(_POSITIVE, "is how many epochs it takes", 0.0),
        "steps": Parameter(
            Number(0, open_low=True, whole=True), "is how many steps of training it takes", 0
        ),
    },
}
_CHOICE = Choice("kind of constant", CONSTANT_FORMS)


def read_step_constant(value: Any, kind: Number, subject: Subject) -> StepConstant | None:
    """A constant that differs from step to step; None after reporting an error.

    Args:
        value: the evaluated argument: a list, or a call of one of the forms.
        kind: the numbers that are allowed.
        subject: which constant it is, for messages.
    """
    if is_list(value):
        constant = _constant_of_list(value, subject)
    else:
        call = _CHOICE.check(value, subject)
        constant = None if call is None else _constant_of_call(call, subject)
    if constant is None:
        return None
    for step, number in enumerate(_numbers(constant)):
        name = f"{subject.name} at step {step}" if isinstance(constant, Listed) else subject.name
        if kind.check(number, replace(subject, name=name)) is None:
            return None
    return constant


def is_step_constant(value: Any) -> bool:
    """Whether a value is a list or a call of one of the forms, which may have errors."""
    return isinstance(value, tuple) or (isinstance(value, Call) and value.name in CONSTANT_FORMS)


def _constant_of_list(values: Sequence[Any], subject: Subject) -> Listed | None:
    """The constant of a list with one value for each step; None after reporting an empty list."""
    if not values:
        return _report_error(subject, f"{subject.name} has no values", "list one a step")
    return Listed(values=tuple(values), text=_text(subject), span=subject.span)


def _constant_of_call(call: Call, subject: Subject) -> StepConstant | None:
    """The constant of a checked call; None after reporting arguments that contradict each other."""
    arguments = call.kwargs
    origin: dict[str, Any] = {"text": _text(subject), "span": subject.span}
    match call.name:
        case "uniform" if arguments["low"] >= arguments["high"]:
            low, high = show(arguments["low"]), show(arguments["high"])
            message = f"{subject.name} is drawn from {low} to {high}"
            help_ = "write the smaller number first, or one number for all steps"
            return _report_error(subject, message, help_, label="an empty range")
        case "uniform":
            return Uniform(**arguments, **origin)
        case "geometric":
            return Geometric(**arguments, **origin)
        case "learned":
            shared = arguments["shared"] == "yes"
            return LearnedConstant(value=arguments["value"], shared=shared, **origin)
        case _:
            return _ramp(call, subject, origin)


def _ramp(call: Call, subject: Subject, origin: dict[str, Any]) -> Ramp | None:
    """The constant of a call `ramp(…)`; None after reporting an error."""
    arguments = call.kwargs
    epochs, steps = arguments["epochs"] or None, arguments["steps"] or None
    if bool(epochs) == bool(steps):
        both_given = "has both epochs and steps: each says how long it takes"
        problem = both_given if epochs else "needs epochs or steps: how long it takes"
        help_ = "write one of them, as in ramp(0, 0.9, epochs = 10)"
        return _report_error(subject, f"the ramp of {subject.name} {problem}", help_)
    start, end = arguments["start"], arguments["end"]
    if start == end:
        message = f"the ramp of {subject.name} ends where it starts"
        return _report_error(subject, message, f"write {subject.name} = {show(end)}")
    return Ramp(start=start, end=end, epochs=epochs, steps=steps, **origin)


def _report_error(subject: Subject, message: str, help_: str, label: str = "") -> None:
    subject.report(Diagnostic("step-constants", message, subject.span, help_, label=label))


def _text(subject: Subject) -> str:
    """The source text of the constant, without its name."""
    return re.sub(r"^\w+ *= *", "", " ".join(subject.span.text.split()))


def _numbers(constant: StepConstant) -> tuple[Any, ...]:
    """The numbers in a constant, all of which have to be in its range."""
    match constant:
        case Listed(values=values):
            return values
        case Uniform(low=low, high=high):
            return low, high
        case Ramp(start=start, end=end):
            return start, end
        case _:
            return (constant.first_value,)


def undefined_number_message(scheme: Scheme, steps: Iterable[StepValues]) -> str:
    """A message about a number of a scheme without a value in some step; empty if there is none.

    Only numbers whose constants all have a value are evaluated; the step size may have none yet.

    Args:
        scheme: the scheme.
        steps: the values of its constants in each step to check.
    """
    formulas = [update.value for update in scheme.updates]
    for step in steps:
        values = dict(step.values)

        def has_no_value(node: Node, values: Mapping[str, Any] = values) -> bool:
            return isinstance(node, Constant) and node.name not in values

        try:
            for name, value in scheme.lets:
                if not any(has_no_value(node) for node in value.walk()):
                    values[name] = evaluate(value, values)
            for number in chain.from_iterable(known_scalars(f, has_no_value) for f in formulas):
                evaluate(number, values)
        except EvaluationError as error:
            constants = [f"{scheme.spellings.get(n, n)} = {v}" for n, v in step.values.items()]
            context = f"in {scheme.name} with {', '.join(constants)}: " if constants else ""
            problem = f"{context}{error}"
            return f"{step.step_name}: {problem}" if step.step_name else problem
    return ""


def check_steps(discretisation: Discretisation, net: tuple[Layer, ...], report: Report) -> None:
    """Report constants that do not fit the numbers of steps of the net's flows, or each other."""
    scheme, varying = discretisation.scheme, discretisation.varying
    lists = {name: c for name, c in varying.items() if isinstance(c, Listed)}
    errors_before = report.error_count
    # number of steps, span, and whether the flow has a step size of its own
    flows = [(int(f.arguments["N"]), f.span, bool(f.arguments["h"])) for f in flows_of(net)]
    for name, constant in lists.items():
        spelling = scheme.spellings.get(name, name)
        misfits = [
            (steps, span)
            for steps, span, has_own_h in flows
            if steps != constant.length and not (has_own_h and name == "h")
        ]
        if misfits:
            steps, span = misfits[0]
            flow = f"`{' '.join(span.text.split())}`" if span else "a flow"
            listed = counted(constant.length, "value")
            message = f"{spelling} has {listed}, and {flow} has {counted(steps, 'step')}"
            hint = "; flows of different lengths need uniform(…), geometric(…) or a number"
            help_ = f"list {counted(steps, 'value')}"
            help_ += hint if len({steps for steps, *_ in flows}) > 1 else ""
            report.error("step-constants", message, constant.span, help_)
    names_by_length = {c.length: name for name, c in lists.items()}
    if len(names_by_length) > 1 and not flows:
        (length_1, name_1), (length_2, name_2) = list(names_by_length.items())[:2]
        message = f"{scheme.spellings.get(name_2, name_2)} has {counted(length_2, 'value')}, and "
        message += f"{scheme.spellings.get(name_1, name_1)} has {length_1}"
        report.error("step-constants", message, lists[name_2].span, "list one value for each step")
    units = [layer for layer in flows_of(net) if layer.name == "unit"]
    for name, constant in varying.items() if units else ():
        message = f"{scheme.spellings.get(name, name)} differs from step to step, and the "
        message += "first step of a unit is built with one number for all"
        help_ = "write a layer and flow(…) in place of the unit"
        if not isinstance(constant, StepNumber):
            help_ = "write a number, or a layer and flow(…) in place of the unit"
        report.error("step-constants", message, constant.span, help_)
    if not varying or report.error_count > errors_before:
        return
    depths = dict.fromkeys(steps for steps, *_ in flows)
    if max(depths, default=0) > MOST_STEPS:
        message = f"a flow has {max(depths)} steps, and where constants differ from step to step"
        help_ = f"write at most {MOST_STEPS} steps, or numbers that are the same in all of them"
        return report.error("too-large", f"{message} each is looked at", discretisation.span, help_)
    values = distinct_values(discretisation.numbers, varying, depths)
    problem = undefined_number_message(scheme, values)
    if problem:
        help_ = STEP_NUMBER_HELP * scheme.uses_step_number
        report.error("undefined-number", problem, discretisation.span, help_)


def check_times(
    discretisation: Discretisation,
    dynamics: Dynamics,
    parameters: Mapping[str, DeclaredParameter],
    report: Report,
) -> None:
    """Report formulas and parameters that depend on the time if the step sizes are learned."""
    if not isinstance(discretisation.varying.get("h"), LearnedConstant):
        return
    help_ = "write h as a number, a list, uniform(…) or geometric(…)"
    nodes = (node for rate in dynamics.rates.values() for node in rate.walk())
    time = next((node for node in nodes if isinstance(node, Time)), None)
    if time is not None:
        message = "`t` is the sum of the step sizes before a step, and they are learned"
        report.error("no-time", message, time.span, help_)
    for parameter in parameters.values():
        if parameter.knots:
            message = f"`{parameter.name}` moves in time between its knots, and the step sizes are "
            message += "learned"
            report.error("no-time", message, parameter.span, help_)


def check_ramps(discretisation: Discretisation, recipe: Recipe, report: Report) -> None:
    """Report ramps that take more epochs than training."""
    for name, constant in discretisation.varying.items():
        if isinstance(constant, Ramp) and (constant.epochs or 0) > recipe.epochs:
            spelling = discretisation.scheme.spellings.get(name, name)
            message = f"the ramp of {spelling} takes {show(constant.epochs)} epochs"
            message += f", and training has {recipe.epochs}"
            help_ = f"write a shorter one, or epochs = {show(constant.epochs)} in train {{ … }}"
            report.error("step-constants", message, constant.span, help_)
