"""Code of a flow's class attributes, by which the runtime knows its equations and scheme."""

from odenet.analyse.facts import Facts
from odenet.derive import Derivation
from odenet.emit.expressions import number
from odenet.emit.layout import lay_out, string_literal, string_tuple
from odenet.emit.spectrum import stability_limit
from odenet.emit.symbols import SymbolTable
from odenet.model.tables.layers import LAYERS
from odenet.model.typed.scheme import TORCHDIFFEQ_METHODS


def class_attributes(facts: Facts, symbols: SymbolTable) -> list[str]:
    """The lines of the attributes that the runtime reads.

    Args:
        facts: model, derivation and certificate of a file with a `discretise` line.
        symbols: the Python names of the step.
    """
    model, derivation, discretisation = facts.model, facts.derivation, facts.model.discretisation
    parameters = model.parameters.values()
    declared = (*parameters, *model.maps.values())
    names = {
        "slots": symbols.slots,
        "states": tuple(map(symbols.state, model.system)),
        "operators": tuple(symbols.spec_name(p.name) for p in parameters if p.is_operator),
        "shared": tuple(symbols.spec_name(p.name) for p in declared if p.shared),
        "python_maps": tuple(symbols.spec_name(m.name) for m in model.given_maps),
        "varying": tuple(map(symbols.argument, symbols.varying)),
    }
    lines = [f"{key} = {string_tuple(values)}" for key, values in names.items() if values]
    if derivation.obstacle is not None:
        lines += ["reversible = False", f"obstacle = {string_literal(derivation.obstacle.message)}"]
    is_adaptive = discretisation.tolerance is not None
    if is_adaptive:
        lines.append(f'method = "{TORCHDIFFEQ_METHODS[model.scheme.name]}"')
    relabel = _relabel(symbols, derivation)
    if relabel:
        lines.append(f"relabel = {{{relabel}}}")
    layers = [layer for m in model.maps.values() for layer in m.layers]
    flags = {
        "stochastic": bool(model.given_maps) or any(LAYERS[layer.name].random for layer in layers),
        "timed": model.first_time_node is not None,
        "stretches": bool(derivation.volume_exponents),  # the state, by an exponential
        "exact": discretisation.exact,
    }
    lines += [f"{flag} = True" for flag, is_set in flags.items() if is_set]
    why, cure = discretisation.why_unrefinable
    if why:
        lines.append(f"unrefinable = {string_literal(f'{why}; {cure}')}")
    limit = stability_limit(facts)
    if limit is not None and not is_adaptive:
        lines.append(f"stability_limit = {number(limit)}")
    return [part for line in lines for part in lay_out(line, 4)]


def _relabel(symbols: SymbolTable, derivation: Derivation) -> str:
    """The dict items `"a": "b"`: after its shears, register a holds the new value of slot b.

    Under leapfrog the new value is computed in the register of `Y[n-1]`: `"Y_prev": "Y"`.
    """
    pairs = [
        (symbols.variable(r.name, r.offset, i), symbols.variable(s.name, s.offset, i))
        for r, s in derivation.relabel.items()
        for i in range(len(symbols.components(r.name)))
    ]
    return ", ".join(f'"{a}": "{b}"' for a, b in pairs if a != b)
