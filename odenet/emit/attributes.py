"""The attributes of a flow's class: what the runtime knows of its equations and its scheme."""

from odenet.analyse.facts import Facts
from odenet.derive import Derivation
from odenet.emit.expressions import number
from odenet.emit.frame import Frame
from odenet.emit.layout import lay_out, quoted, strings
from odenet.emit.spectrum import stability_limit
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.scheme import ADAPTIVE


def class_attributes(facts: Facts, frame: Frame) -> list[str]:
    """The lines of the attributes that the runtime reads.

    Args:
        facts: what is known of a file with steps.
        frame: the names.
    """
    model, derivation, chosen = facts.model, facts.derivation, facts.model.discretisation
    learned = model.parameters.values()
    every = (*learned, *model.maps.values())
    names = {
        "slots": frame.slots,
        "states": tuple(map(frame.state, model.system)),
        "operators": tuple(frame.names("spec", p.name) for p in learned if p.is_operator),
        "shared": tuple(frame.names("spec", p.name) for p in every if p.shared),
        "given": tuple(frame.names("spec", m.name) for m in model.given),
        "varying": tuple(map(frame.argument, frame.varying)),
    }
    lines = [f"{key} = {strings(found)}" for key, found in names.items() if found]
    if derivation.obstacle is not None:
        lines += ["reversible = False", f"obstacle = {quoted(derivation.obstacle.message)}"]
    adaptive = chosen.tolerance is not None
    if adaptive:
        lines.append(f'method = "{ADAPTIVE[model.scheme.name]}"')
    relabel = _relabel(frame, derivation)
    if relabel:
        lines.append(f"relabel = {{{relabel}}}")
    layers = [layer for m in model.maps.values() for layer in m.layers]
    flags = {
        "stochastic": bool(model.given) or any(LAYERS[layer.name].random for layer in layers),
        "timed": model.time is not None,
        "stretches": bool(derivation.exponents),
        "exact": chosen.exact,
    }
    lines += [f"{flag} = True" for flag, is_set in flags.items() if is_set]
    why, cure = chosen.unrefinable
    if why:
        lines.append(f"unrefinable = {quoted(f'{why}; {cure}')}")
    limit = stability_limit(facts)
    if limit is not None and not adaptive:
        lines.append(f"stability_limit = {number(limit)}")
    return [part for line in lines for part in lay_out(line, 4)]


def _relabel(frame: Frame, derivation: Derivation) -> str:
    """The registers that change places in a step, as the items of a dictionary."""
    pairs = [
        (frame.value(r.name, r.offset, i), frame.value(s.name, s.offset, i))
        for r, s in derivation.relabel.items()
        for i in range(len(frame.components(r.name)))
    ]
    return ", ".join(f'"{a}": "{b}"' for a, b in pairs if a != b)
