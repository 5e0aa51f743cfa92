"""Code of the class attributes of a flow, which tell the runtime about equations and scheme."""

from odenet.analyse.facts import Facts
from odenet.derive import Derivation
from odenet.emit.expressions import number
from odenet.emit.frame import Frame
from odenet.emit.layout import lay_out, string_literal, string_tuple
from odenet.emit.spectrum import stability_limit
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.scheme import TORCHDIFFEQ_METHODS


def class_attributes(facts: Facts, frame: Frame) -> list[str]:
    """The lines of the attributes that the runtime reads.

    Args:
        facts: model, derivation and certificate of a file with a `discretise` line.
        frame: the names.
    """
    model, derivation, discretisation = facts.model, facts.derivation, facts.model.discretisation
    parameters = model.parameters.values()
    declared = (*parameters, *model.maps.values())
    names = {
        "slots": frame.slots,
        "states": tuple(map(frame.state, model.system)),
        "operators": tuple(frame.names("spec", p.name) for p in parameters if p.is_operator),
        "shared": tuple(frame.names("spec", p.name) for p in declared if p.shared),
        "python_maps": tuple(frame.names("spec", m.name) for m in model.given_maps),
        "varying": tuple(map(frame.argument, frame.varying)),
    }
    lines = [f"{key} = {string_tuple(values)}" for key, values in names.items() if values]
    if derivation.obstacle is not None:
        lines += ["reversible = False", f"obstacle = {string_literal(derivation.obstacle.message)}"]
    adaptive = discretisation.tolerance is not None
    if adaptive:
        lines.append(f'method = "{TORCHDIFFEQ_METHODS[model.scheme.name]}"')
    relabel = _relabel(frame, derivation)
    if relabel:
        lines.append(f"relabel = {{{relabel}}}")
    layers = [layer for m in model.maps.values() for layer in m.layers]
    flags = {
        "stochastic": bool(model.given_maps) or any(LAYERS[layer.name].random for layer in layers),
        "timed": model.first_time_node is not None,
        "stretches": bool(derivation.volume_exponents),
        "exact": discretisation.exact,
    }
    lines += [f"{flag} = True" for flag, is_set in flags.items() if is_set]
    why, cure = discretisation.why_unrefinable
    if why:
        lines.append(f"unrefinable = {string_literal(f'{why}; {cure}')}")
    limit = stability_limit(facts)
    if limit is not None and not adaptive:
        lines.append(f"stability_limit = {number(limit)}")
    return [part for line in lines for part in lay_out(line, 4)]


def _relabel(frame: Frame, derivation: Derivation) -> str:
    """The slots whose registers (stored values) change places in a step, as items of a dict."""
    pairs = [
        (frame.variable(r.name, r.offset, i), frame.variable(s.name, s.offset, i))
        for r, s in derivation.relabel.items()
        for i in range(len(frame.components(r.name)))
    ]
    return ", ".join(f'"{a}": "{b}"' for a, b in pairs if a != b)
