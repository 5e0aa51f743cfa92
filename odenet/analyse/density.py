"""Whether a file's net defines a density: an invertible map with a known log-determinant."""

from odenet.analyse.scheme_on_dynamics import reason_irreversible
from odenet.derive import Derivation
from odenet.derive.scheme_notation import scheme_notation
from odenet.diagnostics import Diagnostic, Span
from odenet.model.expressions import expr
from odenet.model.fitting.fit import reads_input
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.program import Model, flows_of


def density_error(model: Model, derivation: Derivation | None) -> Diagnostic | None:
    """The error of a net that does not define a density, at its line; None if it does.

    Args:
        model: the typed program.
        derivation: what was derived from its scheme; None if it has no scheme.
    """
    for layer in model.net:
        if layer.name != "flow" and not (layer.name in LAYERS and LAYERS[layer.name].invertible):
            invertible = ", ".join(row.name for row in LAYERS.values() if row.invertible)
            requirement = f"layers that are undone, and {layer.name} is not"
            return _error(requirement, layer.span, f"a density is made of flow and {invertible}")
    flow = next(iter(flows_of(model.net)), None)
    if flow is None or derivation is None:
        span = model.net[-1].span if model.net else model.end_span
        requirement = "a flow, which learns the density"
        return _error(requirement, span, "write `net = input(2) -> flow(6)`")
    return _states_error(model) or _inverse_error(model, derivation)


def _error(requirement: str, span: Span | None, help_: str) -> Diagnostic:
    """The error; `requirement` completes the sentence "`likelihood` needs …"."""
    return Diagnostic("not-a-density", f"`likelihood` needs {requirement}", span, help_)


def _inverse_error(model: Model, derivation: Derivation) -> Diagnostic | None:
    discretisation, name = model.discretisation, model.scheme.name
    reason = reason_irreversible(model, derivation)
    if discretisation.tolerance is not None:
        reason = "its steps are solved to a tolerance"
    if reason:
        requirement = f"steps that are undone, and those of {name} are not: {reason}"
        help_ = "take a reversible scheme, such as verlet: `odenet schemes` lists them"
        return _error(requirement, discretisation.span, help_)
    # Slots are the tensors that a step passes on: states, past states and auxiliary values.
    extra_slots = [s for s in model.scheme.slots if s.offset or s.name in model.scheme.aux]
    if extra_slots:
        slot_text = scheme_notation(model.scheme).show(extra_slots[0])
        requirement = f"as many values as the input has, and {name} keeps {slot_text} as well"
        help_ = "take a scheme that keeps the states alone, such as verlet"
        return _error(requirement, discretisation.span, help_)
    return None


def _states_error(model: Model) -> Diagnostic | None:
    """The error of states that do not start as parts of the input, or are not all in the output."""
    dynamics = model.dynamics
    if dynamics.reads_input:
        rate = next(rate for rate in model.system.values() if reads_input(rate))
        requirement = "equations that read states alone, and this one reads `u`"
        return _error(requirement, rate.span, "leave out `u`: the states begin as it")
    for state in model.system:
        value = dynamics.initial[state]
        if not isinstance(value, expr.Split):
            requirement = f"states that share the input, and {state.text}(0) is not a part of it"
            help_ = "leave the initial values out, or write `split(u)`"
            return _error(requirement, value.span or model.end_span, help_)
    output = dynamics.output
    parts = output.parts if isinstance(output, expr.Concat) else (output,)
    if sorted(map(str, parts)) != sorted(map(str, model.system)):
        help_ = "leave out `output`, or write `output concat(Y, Z)`"
        return _error("an output of all states, each once", output.span or model.end_span, help_)
    return None
