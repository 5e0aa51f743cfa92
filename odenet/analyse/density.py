"""Whether a file's net is a density: an invertible map whose log-determinant is known."""

from odenet.analyse.scheme_on_dynamics import irreversible
from odenet.derive import Derivation
from odenet.derive.text import notation
from odenet.diagnostics import Diagnostic, Span
from odenet.model.expressions import expr
from odenet.model.fitting.fit import reads_input
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.program import Model, flows_of


def density_refused(model: Model, derivation: Derivation | None) -> Diagnostic | None:
    """Why the net is not a density, at its line; None if it is.

    Args:
        model: the typed program.
        derivation: of its scheme; None without one.
    """
    for layer in model.net:
        if layer.name != "flow" and not (layer.name in LAYERS and LAYERS[layer.name].invertible):
            known = ", ".join(row.name for row in LAYERS.values() if row.invertible)
            needs = f"layers that are undone, and {layer.name} is not"
            return _refused(needs, layer.span, f"a density is made of flow and {known}")
    flow = next(iter(flows_of(model.net)), None)
    if flow is None or derivation is None:
        where = model.net[-1].span if model.net else model.equations
        needs = "a flow, which learns the density"
        return _refused(needs, where, "write `net = input(2) -> flow(6)`")
    return _not_all_of_it(model) or _not_undone(model, derivation)


def _refused(needs: str, span: Span | None, help_: str) -> Diagnostic:
    return Diagnostic("not-a-density", f"`likelihood` needs {needs}", span, help_)


def _not_undone(model: Model, derivation: Derivation) -> Diagnostic | None:
    chosen, name = model.discretisation, model.scheme.name
    why = irreversible(model, derivation)
    if chosen.tolerance is not None:
        why = "its steps are solved to a tolerance"
    if why:
        needs = f"steps that are undone, and those of {name} are not: {why}"
        help_ = "take a reversible scheme, such as verlet: `odenet schemes` lists them"
        return _refused(needs, chosen.span, help_)
    beside = [slot for slot in model.scheme.slots if slot.offset or slot.name in model.scheme.aux]
    if beside:
        shown = notation(model.scheme).show(beside[0])
        needs = f"as many values as the input has, and {name} keeps {shown} as well"
        help_ = "take a scheme that keeps the states alone, such as verlet"
        return _refused(needs, chosen.span, help_)
    return None


def _not_all_of_it(model: Model) -> Diagnostic | None:
    """States that are not parts of the input, each number once, or that the output leaves out."""
    dynamics = model.dynamics
    if dynamics.exogenous:
        rate = next(rate for rate in model.system.values() if reads_input(rate))
        needs = "equations that read states alone, and this one reads `u`"
        return _refused(needs, rate.span, "leave out `u`: the states begin as it")
    for state in model.system:
        value = dynamics.initial[state]
        if not isinstance(value, expr.Split):
            needs = f"states that share the input, and {state.written}(0) is not a part of it"
            help_ = "leave the initial values out, or write `split(u)`"
            return _refused(needs, value.span or model.equations, help_)
    output = dynamics.output
    parts = output.parts if isinstance(output, expr.Concat) else (output,)
    if sorted(map(str, parts)) != sorted(map(str, model.system)):
        help_ = "leave out `output`, or write `output concat(Y, Z)`"
        return _refused("an output of all states, each once", output.span or model.equations, help_)
    return None
